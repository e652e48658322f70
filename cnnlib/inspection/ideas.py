"""Which of the book's ideas a network contains, found by running it and not by reading its name.

``ideas(model, shape)`` runs a copy on two images of the ``meta`` device, where tensors have shapes
but no numbers, and watches every elementary operation: a convolution whose groups are as many as
its channels is depthwise, a sum of two equally large stacks of maps is a shortcut, and so on. Two
things leave no trace outside training, dropout and stochastic depth; their modules are looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cnnlib.inspection import no_collection, without_numbers

IDEAS = {  # name: what makes a network have it
    "convolution": "a window of weights that is moved over an image or over maps",
    "ReLU": "units that cut off at zero, ReLU6 included",
    "dropout": "units dropped at random in training",
    "response norm": "local response normalisation across maps",
    "grouped convolution": "each group of maps sees only a part of the maps before",
    "1×1 convolution": "mixes the maps at each place; or a fully connected layer at each place",
    "concatenation": "maps put side by side",
    "global average": "one mean per map instead of fully connected layers",
    "batch norm": "batch normalisation",
    "shortcut": "two equally large stacks of maps are added",
    "squeeze and excitation": "each map multiplied by a number that depends on the whole image",
    "depthwise convolution": "each map is filtered alone",
    "smooth activation": "swish, hard-swish or GELU",
    "stochastic depth": "paths dropped at random in training",
    "layer norm": "normalisation over the channels of an image or of a place",
    "attention": "every place looks at every other one, by weights that depend on both",
}

_OF_OPERATION = {  # elementary operations of torch that settle the matter by their name alone
    "relu": "ReLU",
    "hardtanh": "ReLU",  # ReLU6 is one
    "silu": "smooth activation",
    "hardswish": "smooth activation",
    "gelu": "smooth activation",
    "native_layer_norm": "layer norm",
    "_softmax": "attention",
    "_safe_softmax": "attention",
    "_native_multi_head_attention": "attention",
}
_OF_MODULE = {  # class name: what it is there for
    "ResponseNorm": "response norm",
    "LocalResponseNorm": "response norm",
    "MultiheadAttention": "attention",
}
_IN_TRAINING = {
    "Dropout": "dropout",
    "DropPath": "stochastic depth",
    "StochasticDepth": "stochastic depth",
}


def ideas(model: nn.Module, shape: Sequence[int]) -> list[str]:
    """Names of the ideas, in the order of ``IDEAS``.

    Args:
        model: any module that takes a batch of images; it is not changed.
        shape: (C, H, W) of one image.
    """
    with no_collection():
        twin = without_numbers(model).eval()
        if callable(schedule := getattr(twin, "set_progress", None)):
            schedule(1)  # what is dropped at the end of training
        watch = _Watch()
        for module in twin.modules():
            watch.look_at(module)
        images = torch.empty(2, *shape, device="meta", dtype=_dtype(twin))
        with torch.no_grad(), watch:
            twin(images)
    return [idea for idea in IDEAS if idea in watch.found]


def _dtype(model: nn.Module) -> torch.dtype:
    kinds = [p.dtype for p in model.parameters() if p.is_floating_point()]
    return kinds[0] if kinds else torch.get_default_dtype()


class _Watch(TorchDispatchMode):
    """Collects ideas from the operations that pass by."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.inside = 0  # response normalisations, whose own sums are no shortcuts

    def look_at(self, module: nn.Module) -> None:
        """Notes what a module is, and what the operations cannot tell."""
        kind = type(module).__name__
        if kind in _OF_MODULE:
            self.found.add(_OF_MODULE[kind])
            module.register_forward_pre_hook(lambda *_: self._step(1))
            module.register_forward_hook(lambda *_: self._step(-1))
        if kind in _IN_TRAINING and getattr(module, "p", getattr(module, "rate", 0.0)) > 0:
            self.found.add(_IN_TRAINING[kind])
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(self._fully_connected)

    def _step(self, by: int) -> None:
        self.inside += by

    def _fully_connected(self, module: nn.Module, inputs: tuple[Tensor]) -> None:
        if inputs[0].ndim > 2:  # applied at each place
            self.found.add("1×1 convolution")

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.removesuffix("_")
        if name in _OF_OPERATION:
            self.found.add(_OF_OPERATION[name])
        elif "batch_norm" in name:
            self.found.add("batch norm")
        elif "scaled_dot_product" in name:
            self.found.add("attention")
        elif name == "convolution":
            self._convolution(args[0], args[1], args[8])
        elif name == "cat":
            if args[0][0].ndim == 4 and len(args) > 1 and args[1] == 1 and len(args[0]) > 1:
                self.found.add("concatenation")
        elif name in ("add", "mul") and len(args) > 1 and isinstance(args[1], Tensor):
            self._pair(name, args[0], args[1])
        elif name in ("mean", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d"):
            maps = args[0]
            if maps.ndim == 4 and maps.shape[2] > 1 and out.numel() == maps.shape[:2].numel():
                self.found.add("global average")
        return out

    def _convolution(self, maps: Tensor, weight: Tensor, groups: int) -> None:
        self.found.add("convolution")
        if groups > 1:
            alone = groups == maps.shape[1]
            self.found.add("depthwise convolution" if alone else "grouped convolution")
        elif weight.shape[2:].numel() == 1 and maps.shape[2:].numel() > 1:
            self.found.add("1×1 convolution")

    def _pair(self, name: str, a: Tensor, b: Tensor) -> None:
        if self.inside:
            return
        if name == "add" and a.shape == b.shape and a.ndim >= 3 and a.shape[0] == 2:
            self.found.add("shortcut")
        if name == "mul" and a.ndim == b.ndim == 4:
            small, large = sorted((a, b), key=Tensor.numel)
            gate = (*large.shape[:2], 1, 1)
            if small.shape == gate and large.shape != gate:
                self.found.add("squeeze and excitation")
