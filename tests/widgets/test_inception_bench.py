"""The widget makes the bill that ``cnnlib.inspection`` makes, in Python and in its script."""

import re

import numpy as np
import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.googlenet import TABLE_1, Inception, NaiveInception, Widths, googlenet
from cnnlib.widgets import InceptionBench
from cnnlib.widgets.inception_bench import QUANTITIES


def whole(kind, bench):
    """Multiply-adds, parameters and maps of a module as a whole."""
    with torch.device("meta"):
        block = kind(bench.in_channels, Widths(*bench.widths), wide_kernel=bench.wide_kernel)
    shape = (bench.in_channels, bench.size, bench.size)
    return count_macs(block, shape), count_parameters(block), block.out_channels


def benches():
    """All presets with all windows, and widths that are nobody's."""
    draw = np.random.default_rng(0)
    for row in TABLE_1:
        for kernel in (3, 5, 7):
            yield InceptionBench(row, wide_kernel=kernel)
    for _ in range(40):
        channels = int(draw.integers(8, 1025))
        size = int(draw.integers(7, 57))
        widths = draw.integers(8, 513, 6).tolist()
        kernel = int(draw.choice([3, 5, 7]))
        yield InceptionBench(in_channels=channels, size=size, widths=widths, wide_kernel=kernel)


@pytest.mark.parametrize("row", TABLE_1)
def test_the_branches_add_up_to_the_module(row):
    bench = InceptionBench(row)
    for form, kind in (("naive", NaiveInception), ("reduced", Inception)):
        branches = bench.costs()[form].values()
        assert tuple(map(sum, zip(*branches, strict=True))) == whole(kind, bench)


def test_the_script_makes_the_same_bill(node_tests):
    cases = []
    for bench in benches():
        names = ("in_channels", "size", "widths", "wide_kernel")
        cases.append(
            {
                "module": {name: getattr(bench, name) for name in names},
                "preset": bench.preset(),
                "costs": {
                    form: {name: cost._asdict() for name, cost in branches.items()}
                    for form, branches in bench.costs().items()
                },
            }
        )
    presets = InceptionBench().presets
    node_tests(
        "inception_bench.test.mjs",
        script=InceptionBench._esm,
        cases={"cases": cases, "presets": presets},
    )


def test_the_presets_are_what_comes_into_the_modules_of_the_network():
    seen = {}
    with torch.device("meta"):
        network = googlenet()
    for name, module in network.named_children():
        if isinstance(module, Inception):
            module.register_forward_pre_hook(
                lambda _, given, name=name: seen.update({name[-2:]: given[0].shape[1:]})
            )
    network.to_empty(device="meta")(torch.empty(1, 3, 224, 224, device="meta"))
    assert list(seen) == list(TABLE_1)
    for row, (channels, height, width) in seen.items():
        bench = InceptionBench(row)
        assert (bench.in_channels, bench.size, bench.size) == (channels, height, width)
        assert bench.preset() == row and bench.widths == list(TABLE_1[row])


def test_a_changed_width_is_no_preset():
    bench = InceptionBench("4c")
    bench.widths = [*bench.widths[:-1], 72]
    assert bench.preset() is None
    assert repr(bench).startswith("InceptionBench(own widths: 512 maps of 14 x 14")


@pytest.mark.parametrize(
    "options, words",
    [
        ({"module": "6a"}, "no module '6a' in table 1; there are 3a, 3b"),
        ({"in_channels": 0}, "in_channels must be 8 to 1024, got 0"),
        ({"size": 57}, "size must be 7 to 56, got 57"),
        ({"widths": [64, 96, 128]}, "widths must be six numbers (n1x1, n3x3_reduce"),
        ({"widths": [64, 96, 128, 16, 32, 0]}, "pool_proj must be 8 to 512, got 0"),
        ({"wide_kernel": 4}, "wide_kernel must be one of (3, 5, 7), got 4"),
        ({"quantity": "time"}, "quantity must be one of macs, parameters, maps; got 'time'"),
    ],
)
def test_bad_input_is_explained(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        InceptionBench(**options)


def test_a_change_is_checked_like_the_start():
    bench = InceptionBench()
    for trait, value in {"size": 6, "widths": [1] * 6, "wide_kernel": 1, "quantity": ""}.items():
        before = getattr(bench, trait)
        with pytest.raises(ValueError, match="must be"):
            setattr(bench, trait, value)
        assert getattr(bench, trait) == before


def test_the_fallback_is_the_whole_bill():
    bench = InceptionBench("3b")
    html = bench.fallback_html()
    for kind in (NaiveInception, Inception):
        for number in whole(kind, bench):
            assert f">{number:,}</td>" in html
    assert html.count("<tr>") == 1 + 2 * 5 and len(QUANTITIES) * 10 == html.count("<td ")


def test_the_repr_tells_the_module():
    assert repr(InceptionBench()) == (
        "InceptionBench(3a: 192 maps of 28 x 28, widths 64, 96, 128, 16, 32, 32, wide window 5)"
    )
