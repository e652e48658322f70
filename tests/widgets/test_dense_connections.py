"""The widget counts what ``cnnlib`` counts, in Python and in its script."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model, list_models
from cnnlib.widgets import DenseConnections
from cnnlib.widgets.dense_connections import BLOCKS, RANGES

OPTIONS = ("blocks", "growth_rate", "bottleneck", "compression", "stem")


def networks():
    """All presets, and networks that are nobody's."""
    draw = np.random.default_rng(0)
    for name, _, _ in DenseConnections().presets:
        yield DenseConnections(name)
    for _ in range(12):
        yield DenseConnections(
            blocks=draw.integers(1, 20, draw.integers(1, BLOCKS + 1)).tolist(),
            growth_rate=int(draw.integers(1, 49)),
            bottleneck=bool(draw.integers(2)),
            compression=round(float(draw.integers(1, 11)) / 10, 1),
            stem=str(draw.choice(["imagenet", "small"])),
        )


def test_the_presets_are_the_networks_of_the_registry():
    names = [name for name, _, _ in DenseConnections().presets]
    assert sorted(names) == sorted([*list_models("densenet*"), "small"])
    for name in names[:-1]:
        widget = DenseConnections(name)
        with torch.device("meta"):
            model = create_model(name)
        shape = (3, 224, 224) if widget.stem == "imagenet" else (3, 32, 32)
        counts = widget.counts()
        assert (counts.parameters, counts.macs) == (
            count_parameters(model),
            count_macs(model, shape),
        )
        assert widget.preset() == name


def test_the_titles_tell_depth_kind_and_growth_rate():
    titles = {name: title for name, title, _ in DenseConnections().presets}
    assert titles["densenet121"] == "DenseNet-121"
    assert titles["densenet264_k48"] == "DenseNet-264, k = 48"
    assert titles["densenet_bc_cifar_l250_k24"] == "DenseNet-BC, L = 250, k = 24"
    assert titles["densenet_c_cifar_l40_k12"] == "DenseNet-C, L = 40, k = 12"
    assert len(set(titles.values())) == len(titles)


def test_the_script_counts_the_same(node_tests):
    cases = [
        {
            "network": {name: getattr(widget, name) for name in OPTIONS},
            "preset": widget.preset(),
            "kind": widget.kind(),
            "counts": widget.counts()._asdict(),
            "reads": widget.reads(),
            "compared": [
                {way: block._asdict() for way, block in widget.added(number).items()}
                for number in range(1, len(widget.blocks) + 1)
            ],
        }
        for widget in networks()
    ]
    widget = DenseConnections()
    facts = {name: getattr(widget, name) for name in ("images", "classes", "bottleneck_width")}
    content = {"cases": cases, "facts": facts, "presets": widget.presets}
    node_tests("dense_connections.test.mjs", script=DenseConnections._esm, cases=content)


def test_an_L_layer_block_has_L_times_L_plus_1_over_2_connections_and_none_cross_a_transition():
    counts = DenseConnections("densenet121").counts()
    assert counts.connections == sum(n * (n + 1) // 2 for n in (6, 12, 24, 16))
    assert counts.connections < 58 * 59 // 2 and counts.depth == 121
    one = DenseConnections(blocks=[40], stem="small", bottleneck=False, compression=1.0).counts()
    assert one.connections == 40 * 41 // 2 and one.depth == 42


def test_layers_read_k_maps_more_each_and_a_transition_keeps_a_share():
    reads = DenseConnections("densenet121").reads()
    assert reads[0] == list(range(64, 257, 32)) and reads[1][0] == 128
    assert [block[-1] for block in reads] == [256, 512, 1024, 1024]


@pytest.mark.parametrize("bottleneck", [False, True])
def test_an_added_block_reads_and_writes_what_came_in(bottleneck):
    widget = DenseConnections("small", blocks=[4, 3], bottleneck=bottleneck)
    for number, layers in ((1, 4), (2, 3)):
        first, last = widget.reads()[number - 1][0], widget.reads()[number - 1][-1]
        pair = widget.added(number)
        inner = 4 * 6 if bottleneck else first
        unit = [nn.BatchNorm2d(inner), nn.Conv2d(inner, first, 3, bias=False)]
        if bottleneck:
            unit = [nn.BatchNorm2d(first), nn.Conv2d(first, inner, 1, bias=False), *unit]
        assert pair["added"] == (first, first, layers * count_parameters(nn.Sequential(*unit)))
        assert pair["dense"].maps == last == first + layers * 6
        block = getattr(widget.network(), f"block{number}")
        assert pair["dense"].parameters == count_parameters(block)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"network": "densenet120"}, "no network 'densenet120'; there are densenet121"),
        ({"blocks": []}, "layers of 1 to 4 blocks, got []"),
        ({"blocks": [1] * 5}, "layers of 1 to 4 blocks"),
        ({"blocks": [6, 0]}, "layers of block 2 must be 1 to 64, got 0"),
        ({"growth_rate": 49}, "growth_rate must be 1 to 48, got 49"),
        ({"compression": 0.0}, "compression must be 0.1 to 1.0, got 0.0"),
        ({"stem": "large"}, "stem must be one of imagenet, small; got 'large'"),
        ({"selected": [5, 1]}, "selected must be [block, layer] of blocks with [6, 12, 24, 16]"),
        ({"selected": [1, 7]}, "counted from 1; got [1, 7]"),
        ({"selected": [1]}, "counted from 1; got [1]"),
    ],
)
def test_bad_input_is_explained(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        DenseConnections(**options)


def test_a_change_is_checked_like_the_start():
    widget = DenseConnections()
    for trait, value in {"blocks": [0], "growth_rate": 0, "compression": 2.0, "stem": ""}.items():
        before = getattr(widget, trait)
        with pytest.raises(ValueError, match="must"):
            setattr(widget, trait, value)
        assert getattr(widget, trait) == before


def test_a_changed_option_is_nobodys_network():
    widget = DenseConnections("densenet_cifar_l40_k12")
    widget.growth_rate = RANGES["growth_rate"][1]
    assert widget.preset() is None and widget.kind() == "DenseNet"
    assert repr(widget).startswith("DenseConnections(own: DenseNet, blocks of 12, 12, 12 layers")


def test_the_fallback_tells_growth_and_bill():
    widget = DenseConnections("densenet121")
    html = widget.fallback_html()
    for number in widget.counts():
        assert f">{number:,}</td>" in html
    for block in widget.reads():
        assert f">{block[0]:,}</td>" in html and f">{block[-1]:,}</td>" in html


def test_the_repr_tells_the_network():
    assert repr(DenseConnections()) == (
        "DenseConnections(densenet121: DenseNet-BC, blocks of 6, 12, 24, 16 layers, k = 32, "
        "theta = 0.5, imagenet stem)"
    )
