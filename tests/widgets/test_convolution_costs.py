"""The widget makes the bill that ``cnnlib.inspection`` makes, in Python and in its script."""

import itertools
import re

import pytest
import torch

from cnnlib.inspection import convolutions, count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.models.mobilenet import TABLE_1, MobileNet
from cnnlib.papers.mobilenet import ALPHAS, RESOLUTIONS, TABLE_6, TABLE_7
from cnnlib.widgets import ConvolutionCosts
from cnnlib.widgets.convolution_costs import BATCHES, CHANNELS, GROUPS, KERNELS, ORDERS, SIZES


@pytest.fixture(scope="module")
def widget():
    return ConvolutionCosts()


def settings():
    """Every size with some of everything else."""
    others = list(itertools.product(KERNELS, GROUPS, ORDERS, BATCHES))
    for number, (channels, size) in enumerate(itertools.product(CHANNELS, SIZES)):
        for kernel, groups, order, batch in others[number % 5 :: 5]:
            yield {
                "channels": channels,
                "size": size,
                "kernel": kernel,
                "groups": groups,
                "order": order,
                "batch": batch,
            }


def test_the_script_makes_the_same_bill(node_tests, widget):
    layers = []
    for given in settings():
        here = ConvolutionCosts(**given)
        costs = {
            kind: {**cost._asdict(), "intensity": cost.intensity}
            for kind, cost in here.costs().items()
        }
        layers.append({"settings": given, "costs": costs, "times": here.microseconds()})
    networks = []
    for alpha, side in itertools.product((0.25, 0.3, 0.5, 0.55, 0.75, 1.0), (96, 128, 160, 224)):
        macs, parameters = ConvolutionCosts(alpha=alpha, side=side).network()
        networks.append({"alpha": alpha, "side": side, "macs": macs, "parameters": parameters})
    assert any(None in layer["times"].values() for layer in layers)
    cases = {
        "layers": layers,
        "networks": networks,
        "times": widget.times,
        "choices": widget.choices,
        "rows": widget.rows,
    }
    node_tests("convolution_costs.test.mjs", script=ConvolutionCosts._esm, cases=cases)


def test_the_costs_are_those_of_layers_that_run():
    here = ConvolutionCosts(64, 14, kernel=5, groups=8)
    for kind, cost in here.costs().items():
        layers = convolutions.make(kind, 64, 64, 5, 8)
        assert layers(torch.zeros(1, 64, 14, 14)).shape == (1, 64, 14, 14)
        assert cost.macs == count_macs(layers, (64, 14, 14))
        assert cost.parameters == count_parameters(layers)


@pytest.mark.parametrize("channels, kernel", list(itertools.product(CHANNELS, KERNELS)))
def test_separable_against_full_is_the_papers_ratio(channels, kernel):
    costs = ConvolutionCosts(channels, kernel=kernel).costs()
    ratio = costs["separable"].macs / costs["full"].macs
    assert ratio == pytest.approx(1 / channels + 1 / kernel**2)


def test_the_network_is_that_of_the_paper(widget):
    with torch.device("meta"):
        model = create_model("mobilenet_v1_1_224")
    assert widget.network() == (count_macs(model, (3, 224, 224)), count_parameters(model))
    assert widget.rows == [list(row) for row in TABLE_1]
    with torch.device("meta"):
        model = MobileNet(width_multiplier=0.55)
    assert ConvolutionCosts(alpha=0.55).network()[1] == count_parameters(model)


def test_the_grid_holds_the_sixteen_networks_and_the_printed_accuracies(widget):
    found = {(network["alpha"], network["side"]): network for network in widget.grid}
    assert sorted(found) == sorted(itertools.product(map(float, ALPHAS), RESOLUTIONS))
    for name, row in {**TABLE_6, **TABLE_7}.items():
        alpha, side = re.fullmatch(r"([\d.]+) MobileNet-(\d+)", name).groups()
        assert found[float(alpha), int(side)]["accuracy"] == row.accuracy
    assert all(0 < n["milliseconds"]["optimized"] for n in widget.grid)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"channels": 100}, "channels must be one of 16, 32, 64, 128, 256, 512; got 100"),
        ({"size": 8}, "size must be one of 7, 14, 28, 56; got 8"),
        ({"kernel": 1}, "kernel must be one of 3, 5; got 1"),
        ({"groups": 3}, "groups must be one of 2, 4, 8, 16; got 3"),
        ({"quantity": "flops"}, "quantity must be one of macs, parameters, intensity"),
        ({"order": "NHWC"}, "order must be one of NCHW, channels last; got 'NHWC'"),
        ({"batch": 2}, "batch must be one of 1, 8; got 2"),
        ({"view": "both"}, "view must be one of layer, network; got 'both'"),
        ({"alpha": 1.4}, "alpha must be 0.25 to 1.0, got 1.4"),
        ({"side": 32}, "side must be 96 to 224, got 32"),
    ],
)
def test_bad_input_is_explained(options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ConvolutionCosts(**options)


def test_a_change_is_checked_like_the_start():
    here = ConvolutionCosts()
    for trait, value in {"size": 9, "alpha": 0.1, "order": "", "quantity": "x"}.items():
        before = getattr(here, trait)
        with pytest.raises(ValueError, match="must be"):
            setattr(here, trait, value)
        assert getattr(here, trait) == before


def test_the_fallback_has_every_number():
    here = ConvolutionCosts(512, 56)
    html = here.fallback_html()
    for cost in here.costs().values():
        assert f">{cost.macs:,}</td>" in html and f">{cost.parameters:,}</td>" in html
    assert ">–</td>" in html  # this size was not measured
    assert f">{here.network()[0]:,}</td>" in html
    time = ConvolutionCosts().microseconds()["full"]
    assert f">{time:g}</td>" in ConvolutionCosts().fallback_html()


def test_the_repr_tells_both_views():
    assert repr(ConvolutionCosts()) == (
        "ConvolutionCosts(128 maps of 28 x 28, window 3; MobileNet with alpha 1 at 224 pixels)"
    )
