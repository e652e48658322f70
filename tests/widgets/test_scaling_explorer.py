"""The widget counts what ``cnnlib.inspection`` counts, in Python and in its script."""

import re

import numpy as np
import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.efficientnet import VARIANTS, EfficientNet, compound_scaling, efficientnet
from cnnlib.widgets import ScalingExplorer


def whole(explorer):
    """Multiply-adds and parameters of the whole network."""
    with torch.device("meta"):
        model = EfficientNet(width_multiplier=explorer.width, depth_multiplier=explorer.depth)
    side = explorer.resolution
    return count_macs(model, (3, side, side)), count_parameters(model)


def explorers():
    """All released networks, some by the rule, and factors that are nobody's."""
    draw = np.random.default_rng(0)
    for name in VARIANTS:
        yield ScalingExplorer(name)
    for phi in (0.25, 1, 2.5, 4, 7):
        yield ScalingExplorer(phi=phi)
    for _ in range(12):
        depth, width = (round(float(value), 1) for value in draw.uniform(0.5, 4, 2))
        yield ScalingExplorer(depth=depth, width=width, resolution=int(draw.integers(64, 641)))


@pytest.mark.parametrize("name", ["b0", "b1", "b4"])
def test_the_stages_add_up_to_the_network(name):
    explorer = ScalingExplorer(name)
    counted = explorer.counts()
    macs, parameters = sum(s.macs for s in counted), sum(s.parameters for s in counted)
    assert (macs, parameters) == whole(explorer)
    with torch.device("meta"):
        released = efficientnet(name)
    assert parameters == count_parameters(released)


def test_the_stages_of_b0_are_those_of_table_1():
    rows = [(one.layers, one.channels, one.side) for one in ScalingExplorer().counts()]
    assert rows == [
        (1, 32, 112),
        (1, 16, 112),
        (2, 24, 56),
        (2, 40, 28),
        (3, 80, 14),
        (3, 112, 14),
        (4, 192, 7),
        (1, 320, 7),
        (1, 1280, 1),
    ]


def test_the_script_makes_the_same_counts(node_tests):
    start = ScalingExplorer()
    cases = []
    for explorer in explorers():
        counted = explorer.counts()
        cases.append(
            {
                "factors": explorer.scaling()._asdict(),
                "variant": (explorer.variant() or "").upper() or None,
                "phi": explorer.phi(),
                "stages": [stage._asdict() for stage in counted],
            }
        )
    shared = {name: getattr(start, name) for name in ("rows", "variants", "rule")}
    node_tests(
        "scaling_explorer.test.mjs",
        script=ScalingExplorer._esm,
        cases=shared | {"cases": cases},
    )


def test_the_released_networks_are_recognised_and_so_is_the_rule():
    for name in VARIANTS:
        assert ScalingExplorer(name).variant() == name
    assert ScalingExplorer("b1").phi() is None  # no phi gives the factors of B1
    assert ScalingExplorer("b0").phi() == 0
    explorer = ScalingExplorer(phi=2)
    assert (explorer.variant(), explorer.phi()) == (None, 2)
    assert explorer.scaling() == compound_scaling(2)
    explorer.depth = 1.5
    assert explorer.phi() is None


def test_a_start_may_mix_a_variant_and_factors_of_ones_own():
    explorer = ScalingExplorer("b3", resolution=224)
    assert explorer.scaling() == VARIANTS["b3"]._replace(resolution=224)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"variant": "b8"}, "no variant 'b8'; there are b0, b1"),
        ({"phi": 8}, "phi must be 0 to 7, got 8"),
        ({"depth": 0.4}, "depth must be 0.5 to 4, got 0.4"),
        ({"width": 4.1}, "width must be 0.5 to 4, got 4.1"),
        ({"resolution": 32}, "resolution must be 64 to 640, got 32"),
    ],
)
def test_bad_input_is_explained(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ScalingExplorer(**options)


def test_a_change_is_checked_like_the_start():
    explorer = ScalingExplorer()
    for trait, value in {"depth": 9.0, "width": 0.1, "resolution": 1000}.items():
        before = getattr(explorer, trait)
        with pytest.raises(ValueError, match="must be"):
            setattr(explorer, trait, value)
        assert getattr(explorer, trait) == before


def test_the_fallback_has_the_counts_and_all_released_networks():
    explorer = ScalingExplorer("b2")
    html = explorer.fallback_html()
    for number in (*whole(explorer), *(stage.macs for stage in explorer.counts())):
        assert f"{number:,}" in html
    assert all(f">{name.upper()}</th>" in html for name in VARIANTS)
    assert html.count("<tr>") == 1 + 9 + 1 + len(VARIANTS)


def test_the_repr_tells_the_network():
    assert repr(ScalingExplorer("b1")) == (
        "ScalingExplorer(B1, as released: depth x 1.1, width x 1, 240 pixels)"
    )
    assert repr(ScalingExplorer(phi=1)) == (
        "ScalingExplorer(by the rule, φ = 1: depth x 1.2, width x 1.1, 258 pixels)"
    )
    assert repr(ScalingExplorer(depth=2)).startswith("ScalingExplorer(own factors: depth x 2,")
