"""The experiments behind chapter 9: what is done to units, and that the stored runs are these."""

import json

import pytest
import torch

from cnnlib import book
from cnnlib.data import ImageSet
from cnnlib.models import senet
from cnnlib.models.layers import SqueezeExcitation
from experiments import senet_gain, senet_parts, senet_times

SMALL = {"blocks": (1, 1), "block": "basic", "widths": (4, 8), "stem": "small"}


@pytest.fixture
def images():
    """Three images of each of ten classes."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % 10
    names = tuple(f"{number}" for number in range(10))
    return ImageSet("few", torch.rand(30, 1, 8, 8, generator=draw), labels, names)


def network(**options):
    torch.manual_seed(0)
    return senet_parts.changed(**{"reduction": 2, **SMALL, **options}).eval()


def test_partners_are_of_the_same_and_of_another_class(images):
    same, other = senet_gain.partners(images.labels)
    assert (images.labels[same] == images.labels).all()
    assert (same != torch.arange(30)).all() and sorted(same.tolist()) == list(range(30))
    assert (images.labels[other] != images.labels).all()
    with pytest.raises(ValueError, match="as many images of each class"):
        senet_gain.partners(images.labels[:-1])


def test_a_unit_is_replaced_for_a_while_only(images):
    model = network()
    unit = senet_gain.unit_of(model, "conv3_x.0.se")
    before = model(images.images)
    with senet_gain.replaced(unit, torch.zeros_like):
        changed = model(images.images)
    assert not torch.equal(before, changed)
    assert torch.equal(before, model(images.images))


def test_an_excitation_of_its_own_changes_nothing_and_frozen_ones_are_constant(images):
    model = network()
    found = senet_gain.look_inside(model, images, images)
    assert set(map(len, found["means"][0])) == {4} and len(found["means"]) == 2
    assert len(found["frozen_error"]) == 3  # each unit, and both
    constant = senet.excitations(model, images.images)  # look_inside has frozen it for good
    assert all((values == values[0]).all() for values in constant.values())


def test_a_blind_unit_does_not_see_and_a_softmax_gives_shares(images):
    blind = senet.excitations(network(blind=True), images.images)
    assert all((values == values[0]).all() for values in blind.values())
    shares = senet.excitations(network(gate="softmax"), images.images)
    assert all(torch.allclose(v.sum(1), torch.ones(30)) for v in shares.values())
    seeing = senet.excitations(network(), images.images)
    assert not any((values == values[0]).all() for values in seeing.values())


def test_with_the_same_seed_both_networks_share_their_first_weights():
    torch.manual_seed(0)
    plain = senet_gain.build(None, **SMALL).state_dict()
    shared = network().state_dict()
    assert all(torch.equal(weight, shared[name]) for name, weight in plain.items())


def test_the_spread_is_zero_where_all_classes_are_alike():
    labels = torch.arange(40) % 10
    alike = torch.arange(4.0).repeat_interleave(10)[:, None]
    assert senet_gain.spread(alike, labels) == pytest.approx(0)
    apart = labels[:, None].double()
    assert senet_gain.spread(apart, labels) == pytest.approx(torch.arange(10.0).std().item())


@pytest.mark.parametrize("script", [senet_gain, senet_parts, senet_times])
def test_the_stored_runs_are_those_of_the_script(script):
    stored = book.stored_runs(script.__name__.rpartition(".")[2])
    described = script.arms()
    assert [arm.name for arm in stored.arms] == [arm["name"] for arm in described]
    for arm, expected in zip(stored.arms, described, strict=True):
        assert arm.options == json.loads(json.dumps(expected["options"]))
        assert arm.recipe == expected["recipe"]
        assert (arm.parameters, arm.more["macs"]) == (expected["parameters"], expected["macs"])
        assert arm.values("seed") == [0, 1, 2, 3, 4]


def test_training_and_use_are_timed_on_networks_that_work():
    images = torch.randn(4, 1, 14, 14)
    model = senet_gain.build(2, **SMALL)
    units = [m for m in model.modules() if isinstance(m, SqueezeExcitation)]
    before = units[0].expand.weight.clone()
    assert senet_times.seconds(senet_times.answering(model, images)) > 0
    assert torch.equal(before, units[0].expand.weight)
    assert senet_times.seconds(senet_times.training(model, images)) > 0
    assert not torch.equal(before, units[0].expand.weight)
