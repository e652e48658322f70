"""One small example of every interactive, for the tests that all of them have to pass."""

from collections.abc import Callable, Mapping
from functools import partial

import torch

from cnnlib import book
from cnnlib.models import create_model
from cnnlib.models.lenet import LeNet5
from cnnlib.search import RandomSearch, load_table, run
from cnnlib.widgets import (
    ActivationExplorer,
    CellEditor,
    CompressionPipeline,
    ConvolutionCosts,
    ConvStepper,
    DenseConnections,
    DigitPad,
    ExcitationBrowser,
    FieldCalculator,
    InceptionBench,
    InsideBrowser,
    NetworkMap,
    OrderComparer,
    ResidualPaths,
    RunCurves,
    ScalingExplorer,
    TopK,
    Widget,
)

CURVES = [{"facets": {"Layers": "14"}, "seeds": {"loss": [[2.0, 1.0]]}}]
EXCITATIONS = [[[[0.5, 0.4, 0.6], [0.5, 0.5, 0.5]], [[0.1, 0.9], [0.8, 0.2]]]]
GUESSES = {"chelsea": [("tabby", 0.6), ("tiger", 0.2), ("lynx", 0.1), ("fox", 0.05), ("cup", 0.05)]}


SMALL = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 12,
    "hidden_units": 24,
    "image_size": 28,
    "stem": "small",
    "initial": "he",
}


def _inside(**options) -> InsideBrowser:
    torch.manual_seed(0)
    network = create_model("zfnet", **SMALL)
    images = torch.rand(8, 1, 28, 28)
    return InsideBrowser(book.predictions(), network, images, units=2, patches=2, **options)


def _cells(**options) -> CellEditor:
    table = load_table()
    return CellEditor(table, {"random": run(RandomSearch(), table, 5)}, **options)


PIPELINE = {
    "name": "LeNet",
    "dense": 4000,
    "errors": [0.1, 0.2],
    "levels": [
        {
            "level": level,
            "kept": level,
            "cut": [0.5, 0.7],
            "errors": [0.2, 0.3],
            "sparse": 3000,
            "cells": [{"bits": 5, "errors": [0.2, 0.4], "plain": 900, "parts": [9, 8, 7, 6, 5, 4]}],
        }
        for level in (1.0, 0.1)
    ],
}


WIDGETS: Mapping[str, Callable[..., Widget]] = {
    "activations": ActivationExplorer,
    "bench": InceptionBench,
    "cells": _cells,
    "costs": ConvolutionCosts,
    "connections": DenseConnections,
    "curves": partial(RunCurves, CURVES, {"loss": "Loss"}, [1, 2]),
    "excitations": partial(ExcitationBrowser, EXCITATIONS, ("shirt", "shoe")),
    "fields": FieldCalculator,
    "inside": _inside,
    "map": NetworkMap,
    "orders": lambda **options: OrderComparer.of_runs(book.stored_runs("preact_flow"), **options),
    "pipeline": partial(CompressionPipeline, [PIPELINE]),
    "pad": lambda **options: DigitPad(LeNet5(), **options),
    "paths": partial(ResidualPaths, [[0.1] * 4], [[0.2] * 4]),
    "scaling": ScalingExplorer,
    "stepper": ConvStepper,
    "stepper, large": partial(ConvStepper, [[-12.345] * 10] * 10, [[-1.234] * 5] * 5, padding=2),
    "top k": partial(TopK, GUESSES),
}
