"""The stored runs of chapter 14 belong to the networks that their settings build."""

import pytest

from cnnlib import book
from cnnlib.inspection import count_macs, count_parameters
from experiments import looking_back

RUNS = book.stored_runs("looking_back")


def test_every_network_has_three_runs_and_seven_have_three_more():
    names = [*looking_back.NETWORKS, *(f"{name}, lr 0.01" for name in looking_back.TWICE)]
    assert [arm.name for arm in RUNS.arms] == names
    assert all(arm.values("seed") == [0, 1, 2] for arm in RUNS.arms)
    assert {arm.recipe for arm in RUNS.arms} == {looking_back.RECIPE, looking_back.GENTLE}


@pytest.mark.parametrize("arm", RUNS.arms, ids=lambda arm: arm.name)
def test_an_arm_is_the_network_that_it_says(arm):
    _, model, options = looking_back.NETWORKS[arm.more["network"]]
    assert arm.options == {"model": model, "options": options}
    network = looking_back.build(arm.options)
    side = looking_back.side(arm.options)
    assert count_parameters(network) == arm.parameters
    assert count_macs(network, (1, side, side)) == arm.more["macs"]


@pytest.mark.parametrize("arm", RUNS.arms, ids=lambda arm: arm.name)
def test_the_pictures_got_wrong_are_as_many_as_the_error_says(arm):
    for run in arm.runs:
        assert len(run["wrong"]) == 500
        assert int(run["wrong"], 16).bit_count() == round(2000 * run["test_error"])


def test_networks_but_lenet_have_about_a_million_macs():
    macs = {arm.name: arm.more["macs"] for arm in RUNS.arms}
    assert all(0.9e6 < macs[name] < 1.4e6 for name in looking_back.NETWORKS if name != "LeNet-5")
    assert macs["LeNet-5"] < 0.9e6


def test_lenet_sees_every_pixel_four_times():
    small, large = (looking_back.pictures("test", repeated) for repeated in (False, True))
    assert small.images.shape[2:] == (16, 16) and large.images.shape[2:] == (32, 32)
    for row in (0, 1):
        for column in (0, 1):
            assert (large.images[:, :, row::2, column::2] == small.images).all()
