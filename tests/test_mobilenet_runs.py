"""The stored runs of chapter 11 are those of their scripts and show what the chapter says."""

from statistics import fmean

import pytest
import torch

from cnnlib import book
from experiments import common, mobilenet_bottlenecks, mobilenet_nets

SCRIPTS = {"mobilenet_nets": mobilenet_nets, "mobilenet_bottlenecks": mobilenet_bottlenecks}


@pytest.mark.parametrize("name", SCRIPTS)
def test_stored_runs_are_those_of_the_script(name):
    runs, arms = book.stored_runs(name), SCRIPTS[name].arms()
    assert [arm.name for arm in runs.arms] == [arm["name"] for arm in arms]
    for stored, arm in zip(runs.arms, arms, strict=True):
        assert (stored.options, stored.recipe) == (arm["options"], arm["recipe"])
        assert (stored.parameters, stored.more["macs"]) == (arm["parameters"], arm["macs"])
        assert [run["seed"] for run in stored.runs] == list(common.SEEDS)


def test_the_thinned_network_has_the_cost_of_the_separable_one():
    runs = book.stored_runs("mobilenet_nets")
    for own, other in (("separable, lr 0.4", "thinned, lr 0.4"), ("shallow", "alpha 0.65")):
        assert runs[own].more["macs"] == pytest.approx(runs[other].more["macs"], rel=0.02)
    large = [runs[f"{name}, large maps"].more["macs"] for name in ("separable", "thinned")]
    assert large[0] == pytest.approx(large[1], rel=0.02)


def test_the_order_of_separable_and_thinned_hangs_on_rate_and_job():
    runs = book.stored_runs("mobilenet_nets")

    def errors(name, key="test_error"):
        return runs[name].values(key)

    for ending in ("lr 0.2", "lr 0.4", "large maps"):
        own, other = (errors(f"{n}, {ending}", "train_error") for n in ("separable", "thinned"))
        assert max(own) < min(other), ending
    assert fmean(errors("separable, lr 0.1")) > fmean(errors("thinned, lr 0.1")) + 0.01
    assert max(errors("separable, large maps")) < min(errors("thinned, large maps"))


def test_a_linear_end_is_better_where_no_shortcut_helps():
    runs = book.stored_runs("mobilenet_bottlenecks")
    linear, cut = (runs[f"{n}, no shortcut"].values("test_error") for n in ("linear", "ReLU6"))
    assert max(linear) < min(cut)


def test_images_are_scaled_down_before_they_are_normalised():
    train, test = mobilenet_nets.clothes(16)
    assert train.images.shape == (3000, 1, 16, 16) and len(test) == 2000
    assert abs(train.images.mean().item()) < 1e-6
    assert train.images.std().item() == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_a_stored_run_is_computed_again():
    arm = next(a for a in mobilenet_nets.arms() if a["dtype"] == "float64")
    before = torch.get_default_dtype(), torch.get_num_threads()
    try:
        again = mobilenet_nets.run(arm, 0)
    finally:
        torch.set_default_dtype(before[0])
        torch.set_num_threads(before[1])
    stored = book.stored_runs("mobilenet_nets")[arm["name"]].runs[0]
    for key in ("train_loss", "test_loss"):
        assert again[key] == pytest.approx(stored[key], rel=1e-6)
