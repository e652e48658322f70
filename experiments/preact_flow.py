"""Signal and gradient behind every unit of 110-layer networks, before training.

    python -m experiments.preact_flow [--processes 2] [--output FILE]

Every order of Figure 4 of He et al. (2016, "Identity Mappings in Deep Residual Networks") with
every shortcut of its Figure 2, the gates also open by half: what the interactive of the chapter
draws. All 54 units are of one stage: equations 4 to 8 of the paper are about such a stretch, in
which no shortcut has to change the shape. Nothing is trained. Half a minute of one core.
"""

from __future__ import annotations

from typing import Any

import torch

from cnnlib.data import load
from cnnlib.inspection import count_parameters
from cnnlib.inspection.flow import unit_flow
from cnnlib.models.preact_resnet import FIGURE_4, PreActResNet
from cnnlib.train import Recipe, seed_everything
from experiments.common import Arm, main

IMAGES = 2  # per class

SHORTCUTS: dict[str, dict[str, Any]] = {  # as the interactive calls them -> options
    "identity": {"shortcut": "identity"},
    "scaling": {"shortcut": "scaling"},
    "exclusive_gating_0": {"shortcut": "exclusive_gating", "gate_bias": 0.0},
    "exclusive_gating_6": {"shortcut": "exclusive_gating", "gate_bias": -6.0},
    "shortcut_only_gating_0": {"shortcut": "shortcut_only_gating", "gate_bias": 0.0},
    "shortcut_only_gating_6": {"shortcut": "shortcut_only_gating", "gate_bias": -6.0},
    "conv": {"shortcut": "conv"},
    "dropout": {"shortcut": "dropout"},
}

ABOUT = {
    "protocol": (
        f"the first {IMAGES} images per class of load('fashion_6k').balanced(200).pooled(2)"
        ".normalized(), in float64. A measurement is: torch.set_default_dtype(torch.float64); "
        "seed_everything(seed); model = PreActResNet(**options); "
        "unit_flow(model, [*model.residual_units()], images, labels)"
    ),
    "arms.options": "arguments of cnnlib.models.preact_resnet.PreActResNet",
    "arms.recipe": "unused: nothing is trained",
    "arms.facets": "order, and shortcut as the interactive calls it",
    "runs.signal": "behind each unit, first unit first: see cnnlib.inspection.flow.Flow",
    "runs.gradient": "the same",
    "runs.direct": "the same",
}


def arms() -> list[Arm]:
    """All pairs of an order and a shortcut."""
    common = {
        "num_classes": 10,
        "in_channels": 1,
        "blocks": [54],
        "block": "basic",
        "widths": [16],
        "stem": "small",
    }
    listed = []
    for order in FIGURE_4:
        for name, shortcut in SHORTCUTS.items():
            options: dict[str, Any] = common | {"order": order} | shortcut
            listed.append(
                {
                    "name": f"{order} {name}",
                    "options": options,
                    "loss": "cross_entropy",
                    "recipe": Recipe(),
                    "parameters": count_parameters(PreActResNet(**options)),
                    "facets": {"order": order, "shortcut": name},
                }
            )
    return listed


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One measurement, to six digits."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    images = load("fashion_6k").balanced(200).pooled(2).normalized().balanced(IMAGES)
    images = images.to(dtype=torch.float64)
    seed_everything(seed)
    model = PreActResNet(**arm["options"])
    flow = unit_flow(model, [*model.residual_units()], images.images, images.labels)
    return {
        key: [float(f"{value:.6g}") for value in values]
        for key, values in zip(flow[0]._fields, zip(*flow, strict=True), strict=True)
    }


if __name__ == "__main__":
    main("preact_flow", arms(), run, ABOUT, seeds=(0,), show=())
