import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from cnnlib import compress
from cnnlib.data import ImageSet
from cnnlib.models import create_model
from cnnlib.train import Recipe, fit


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 6 * 6, 20),
        nn.ReLU(),
        nn.Linear(20, 3),
    )


def examples(count=64):
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(count, 1, 8, 8, generator=draw)
    return ImageSet("noise", images, torch.arange(count) % 3, ("a", "b", "c"), background=0.0)


def learn(model):
    fit(model, examples(), recipe=Recipe(epochs=2, lr=0.05, batch_size=16), seed=0)


def test_the_largest_weights_stay_and_the_rest_is_zero():
    model = network()
    before = model[4].weight.detach().clone()
    compress.prune(model, {"4": 0.1})
    weight = model[4].weight
    kept = weight != 0
    assert int(kept.sum()) == round(0.1 * before.numel())
    assert torch.equal(weight[kept], before[kept])
    assert before[kept].abs().min() >= before[~kept].abs().max()
    assert (model[0].weight != 0).all() and (model[6].weight != 0).all()


def test_training_moves_what_is_kept_and_leaves_zeros_zero():
    model = network()
    compress.prune(model, 0.3)
    before = [model[i].weight.detach().clone() for i in (0, 4, 6)]
    learn(model)
    for was, layer in zip(before, (model[0], model[4], model[6]), strict=True):
        assert torch.equal(layer.weight == 0, was == 0)
        assert not torch.equal(layer.weight, was)


def test_pruning_again_prunes_further():
    model = network()
    compress.prune(model, 0.5)
    first = model[4].weight != 0
    learn(model)
    compress.prune(model, 0.2)
    second = model[4].weight != 0
    assert int(second.sum()) == round(0.2 * second.numel())
    assert not (second & ~first).any()


def test_pruning_less_than_before_brings_nothing_back():
    model = network()
    compress.prune(model, 0.2)
    before = model[4].weight.detach().clone()
    compress.prune(model, 0.9)
    assert torch.equal(model[4].weight, before)


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_few_values_are_left_after_sharing(bits):
    model = network()
    compress.prune(model, 0.4)
    compress.share(model, bits)
    values = model[4].weight.unique()
    assert len(values[values != 0]) <= 2**bits - 1
    assert int((model[4].weight != 0).sum()) == round(0.4 * model[4].weight.numel())


def test_shared_weights_are_near_those_that_they_replace():
    model = network()
    before = model[4].weight.detach().clone()
    compress.share(model, 6)
    step = (before.max() - before.min()) / (2**6 - 2)
    assert (model[4].weight - before).abs().max() <= step


def test_shared_weights_stay_shared_when_they_are_trained():
    model = network()
    compress.prune(model, 0.4)
    compress.share(model, 3)
    before = model[4].weight.detach().clone()
    learn(model)
    after = model[4].weight
    assert not torch.equal(after, before)
    for value in before.unique():
        assert len(after[before == value].unique()) == 1
    assert (after[before == 0] == 0).all()


def test_the_gradient_of_a_shared_value_is_the_sum_over_its_cluster():
    model = network().double()
    compress.share(model, 3)
    plain = copy.deepcopy(model)
    compress.settle(plain)
    images = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    model(images).square().sum().backward()
    plain(images).square().sum().backward()
    codes = model[4].parametrizations.weight[0].codes
    gradient = model[4].parametrizations.weight.original.grad
    for code in codes.unique():
        expected = plain[4].weight.grad[codes == code].sum()
        assert torch.allclose(gradient[code - 1], expected)


def test_settling_leaves_the_same_function_and_plain_weights():
    model = network().eval()
    compress.prune(model, 0.3)
    compress.share(model, {"4": 4})
    images = torch.randn(5, 1, 8, 8)
    before = model(images)
    compress.settle(model)
    assert torch.equal(model(images), before)
    assert list(model.state_dict()) == list(network().state_dict())
    assert all(type(p) is nn.Parameter for p in model.parameters())
    assert type(model[4]) is nn.Linear


def test_a_compressed_model_can_be_copied():
    model = network()
    compress.prune(model, 0.3)
    compress.share(model, {"6": 2})
    twin = copy.deepcopy(model).eval()
    images = torch.randn(5, 1, 8, 8)
    assert torch.equal(twin(images), model.eval()(images))
    learn(twin)
    assert not torch.equal(twin[6].weight, model[6].weight)
    compress.settle(twin)  # and settled without a trace in the other one
    assert model(images).shape == twin(images).shape
    assert [row.bits for row in compress.report(model)] == [None, None, 2]


def test_frozen_weights_stay_frozen():
    model = network()
    model[4].weight.requires_grad_(False)
    compress.prune(model, 0.3)
    compress.settle(model)
    assert not model[4].weight.requires_grad
    assert model[6].weight.requires_grad


def test_the_report_says_what_is_left():
    model = network()
    compress.prune(model, {"[46]": 0.25})
    compress.share(model, {"4": 5, "0": 8})
    rows = compress.report(model)
    assert [(row.layer, row.kind, row.bits) for row in rows] == [
        ("0", "convolution", 8),
        ("4", "fully connected", 5),
        ("6", "fully connected", None),
    ]
    assert [row.share for row in rows] == [1, 0.25, 0.25]
    assert rows[1].weights == 4 * 36 * 20


def test_networks_of_the_book_can_be_pruned_and_shared():
    for name in ("lenet5", "squeezenet1_1", "densenet121"):
        with torch.device("meta"):
            names = {n for n, m in create_model(name).named_modules() if isinstance(m, nn.Conv2d)}
        model = create_model(name)
        compress.prune(model, 0.5)
        assert names <= {row.layer for row in compress.report(model)}
        assert all(
            abs(row.share - 0.5) < 0.02 for row in compress.report(model) if row.weights > 30
        )


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda m: compress.prune(m, 0), ValueError, "above 0 and at most 1, got 0 for '0'"),
        (lambda m: compress.prune(m, {"4": 1.5}), ValueError, "got 1.5 for '4'"),
        (lambda m: compress.prune(m, {"features.*": 0.5}), ValueError, "'features.*' names no"),
        (lambda m: compress.prune(m, "half"), TypeError, "keep must be a number.*got 'half'"),
        (lambda m: compress.prune(m, {"4": None}), TypeError, "keep must be a number"),
        (lambda m: compress.share(m, 0), ValueError, "from 1 to 16, got 0 for '0'"),
        (lambda m: compress.share(m, 2.5), ValueError, "from 1 to 16, got 2.5"),
        (lambda m: compress.share(m, 4, initial="best"), ValueError, "one of linear, density"),
        (lambda m: compress.prune(nn.ReLU(), 0.5), ValueError, "ReLU has no nn.Conv2d"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_changed(call, error, message):
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        call(model)
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in before.items())


def test_the_order_of_the_steps_is_told():
    model = network()
    compress.share(model, {"4": 4})
    with pytest.raises(ValueError, match="'4' are shared already; prune before you share"):
        compress.prune(model, 0.5)
    with pytest.raises(ValueError, match="'4' are shared already"):
        compress.share(model, 4)
    assert [row.bits for row in compress.report(model)] == [None, 4, None]


def test_weights_that_others_compute_or_share_are_refused():
    model = network()
    model[4] = spectral_norm(model[4])
    with pytest.raises(
        ValueError, match="parameters of ParametrizedLinear are computed by _SpectralNorm already"
    ):
        compress.prune(model, 0.5)
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="'0' and '1' are one weight"):
        compress.prune(tied, 0.5)
