"""Every network of the registry against its published figures, by the code of the command."""

import dataclasses

import pytest
import timm
import torch
import torchvision
from torch import nn

from cnnlib import verify as module
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.models.layers import SqueezeExcitation
from cnnlib.published import Published, networks, parse, published
from cnnlib.verify import Check, Verdict, table, verify
from tests.models.building import on_meta


@pytest.mark.parametrize("name", networks())
def test_the_network_has_the_published_size(name):
    verdict = verify(name)
    assert verdict.passed, verdict.failures
    record = published(name)
    expected = {"parameters": record.parameters, "macs": record.macs, "scores": record.classes}
    exact = {check.quantity: check for check in verdict.checks if check.exact}
    for quantity, count in expected.items():
        if count is not None:
            assert exact[quantity].ours == count


# Networks without an independent count in the record, counted on other people's networks


TORCHVISION = {
    "densenet201": "densenet201",
    "efficientnet_b3": "efficientnet_b3",
    "efficientnet_b7": "efficientnet_b7",
    "vgg_b_bn": "vgg13_bn",
}
TIMM = {
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "mobilenet_v2_0.35": "mobilenetv2_035",
    "mobilenet_v3_small_0.75": "tf_mobilenetv3_small_075",
    "preact_resnet34": "resnetv2_34",
    "se_resnet34": "legacy_seresnet34",
    "se_resnext101_32x4d": "legacy_seresnext101_32x4d",
    "senet154": "legacy_senet154",
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_network_has_the_same_size(name):
    ours = verify(name)
    theirs = on_meta(torchvision.models.get_model, TORCHVISION[name])
    assert count_parameters(theirs) == ours.parameters
    assert count_macs(theirs, ours.input) == ours.macs


@pytest.mark.parametrize("name", TIMM)
def test_timms_network_has_the_same_size(name):
    ours = verify(name)
    theirs = on_meta(timm.create_model, TIMM[name])
    assert count_parameters(theirs) == ours.parameters
    assert count_macs(theirs, ours.input) == ours.macs


def test_nasnet_has_as_many_parameters_as_other_peoples_though_the_paper_prints_more():
    theirs = on_meta(timm.create_model, "nasnetalarge")
    assert count_parameters(theirs) == verify("nasnet_a_large").parameters == 88_753_150


def test_resnet101_is_torchvisions_but_for_its_strides():
    ours, theirs = verify("resnet101"), on_meta(torchvision.models.resnet101)
    assert ours.parameters == count_parameters(theirs)
    # The first 1 x 1 of three blocks has a quarter of the output, and so has the 3 x 3 its input:
    # 1 x 1 of 256 to 128 at 28 instead of 56, and so on; each of the three saves as much.
    assert count_macs(theirs, ours.input) - ours.macs == 3 * (56**2 - 28**2) * 256 * 128


# Reasons why figures differ are figures too


def extra_operations(name: str) -> dict[str, int]:
    """Numbers in the maps that gates scale, and in those that shortcuts are added to."""
    model = on_meta(create_model, name).eval()
    seen = {"gates": 0, "blocks": 0}

    def gate(layer, images, output):
        seen["gates"] += images[0].numel()

    for layer in model.modules():
        if isinstance(layer, SqueezeExcitation):
            layer.register_forward_hook(gate)
    with torch.no_grad():
        model(torch.empty(1, *published(name).input, device="meta"))
    return seen


@pytest.mark.parametrize(
    "name", [n for n, r in networks().items() if r.paper == "senet" and "macs" in r.differs]
)
def test_senets_print_counts_the_additions_and_products_around_the_gate(name):
    around = extra_operations(name)["gates"]  # as many numbers are added to the shortcut
    assert parse(networks()[name].printed_macs).fits(verify(name).macs + 3 * around)


@pytest.mark.parametrize("name", ["efficientnet_b1", "mobilenet_v3_small_0.75"])
def test_two_figures_count_the_sums_and_products_around_the_gate(name):
    around = extra_operations(name)["gates"]
    assert parse(networks()[name].printed_macs).fits(verify(name).macs + 2 * around)


@pytest.mark.parametrize(
    "name", ["se_resnet50_r4", "se_resnet50_r8", "se_resnet50_r32", "efficientnet_b2"]
)
def test_four_sizes_include_the_running_statistics(name):
    model = on_meta(create_model, name)
    statistics = sum(b.numel() for b in model.buffers() if b.ndim)  # without the step counters
    assert parse(networks()[name].printed_parameters).fits(count_parameters(model) + statistics)


@pytest.mark.parametrize("name", ["preact_resnet1001_cifar", "mobilenet_v2_1"])
def test_two_sizes_leave_out_batch_normalisation(name):
    model = on_meta(create_model, name)
    kinds = (nn.Conv2d,) if name.startswith("preact") else (nn.Conv2d, nn.Linear)
    weights = [p for m in model.modules() if isinstance(m, kinds) for p in m.parameters()]
    count = sum(w.numel() for w in weights)
    assert parse(networks()[name].printed_parameters).fits(count)


def test_the_full_convolution_twin_is_printed_without_its_classifier():
    classifier = 1024 * 1000
    count = verify("mobilenet_v1_fullconv").macs - classifier
    assert parse("4866M").fits(count)


def test_squeezenet_prints_two_operations_per_multiply_add_at_227_pixels():
    model = on_meta(create_model, "squeezenet1_0", conv10_padding=1)
    macs = count_macs(model, (3, 227, 227))
    assert macs == 861_339_936
    assert parse(networks()["squeezenet1_0"].printed_macs).fits(2 * macs)
    newer = verify("squeezenet1_1").macs
    assert parse("0.72 GFLOPs").fits(round(1.72e9 / 2.4)) and parse("0.70 GFLOPs").fits(2 * newer)


def test_googlenets_table_prints_less_for_its_first_convolution():
    rows = verify("googlenet").macs
    assert abs(rows - 118_013_952 + 34_000_000 - parse("1,502M").value) < 4e6


# Verdicts


@pytest.fixture
def pretend(monkeypatch):
    """Other published figures for LeNet-5."""

    def change(**figures) -> Verdict:
        record: Published = dataclasses.replace(published("lenet5"), **figures)
        monkeypatch.setattr(module, "published", lambda name: record)
        return verify("lenet5")

    return change


@pytest.mark.parametrize(
    "figures, sentence",
    [
        ({"parameters": 60_001}, "lenet5: parameters 60,000, published 60,001"),
        ({"macs": 1}, "lenet5: macs 326,520, published 1"),
        ({"printed_macs": "0.4M"}, "lenet5: macs 326,520, published 0.4M"),
        ({"classes": 11}, "lenet5: scores 10, published 11"),
        ({"differs": {"parameters": "Why."}}, "it agrees, though it should differ: Why."),
    ],
)
def test_a_wrong_figure_fails_and_says_so(pretend, figures, sentence):
    verdict = pretend(**figures)
    assert not verdict.passed
    assert len(verdict.failures) == 1 and sentence in verdict.failures[0]
    assert "WRONG" in table([verdict]) and "1 verified; wrong: lenet5" in table([verdict])


def test_a_known_difference_passes_and_is_explained(pretend):
    verdict = pretend(printed_macs="0.4M", differs={"macs": "Misprint."})
    assert verdict.passed and verdict.failures == []
    assert "* lenet5, macs: 0.4M. Misprint." in table([verdict])
    assert "none wrong" in table([verdict])


def test_what_was_not_published_is_counted_all_the_same():
    verdict = verify("lenet5_modern")
    assert (verdict.parameters, verdict.macs) == (61_706, 416_520)
    assert [check.quantity for check in verdict.checks] == ["scores"]
    line = next(line for line in table([verdict]).splitlines() if "lenet5_modern" in line)
    assert line.split()[-1] == "counted" and "61,706" in line


def test_heads_that_run_in_training_only_are_counted():
    with_heads, without = verify("googlenet_aux"), verify("googlenet")
    heads = with_heads.macs - without.macs
    convolutions = 4 * 4 * 128 * (512 + 528)
    assert heads == convolutions + 2 * (2048 * 1024 + 1024 * 1000)


def test_a_typo_in_a_name_gets_the_nearest_one():
    with pytest.raises(ValueError, match="did you mean 'resnet50'"):
        verify("resnet_50")


def test_a_check_passes_if_it_agrees_or_differs_for_a_reason():
    def passed(agrees: bool, reason: str | None) -> bool:
        return Check("macs", 1, 2, True, agrees, reason).passed

    assert passed(True, None) and passed(False, "Why.")
    assert not passed(False, None) and not passed(True, "Why.")
