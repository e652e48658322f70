"""The optimisers against steps computed by hand and against other implementations."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnlib.train import SGD, Adam, AdamW, Recipe, RMSprop, TensorFlowRMSprop


def net(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).to(dtype)


def train(model, optimizer, steps=5, rates=None):
    """Some steps on images that are drawn anew each time, the same for every model."""
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] if rates is None else rates[step]
        images = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
        labels = torch.randint(3, (6,), generator=generator)
        optimizer.zero_grad()
        parameter = next(model.parameters())
        scores = model(images.to(parameter))
        nn.functional.cross_entropy(scores, labels.to(parameter.device)).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# RMSprop


def test_two_steps_of_rmsprop_are_those_computed_by_hand():
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = TensorFlowRMSprop([weight], lr=0.1, decay=0.9, momentum=0.5, epsilon=0.01)
    weight.grad = torch.tensor([3.0], dtype=torch.float64)
    optimizer.step()
    square = 0.9 * 1 + 0.1 * 9  # 1.8: begins at 1
    update = 0.1 * 3 / math.sqrt(1.81)  # epsilon under the root
    assert weight.item() == pytest.approx(2 - update, rel=1e-14)

    optimizer.param_groups[0]["lr"] = 0.2  # the old update keeps its old learning rate
    weight.grad = torch.tensor([-1.0], dtype=torch.float64)
    optimizer.step()
    square = 0.9 * square + 0.1 * 1
    second = 0.5 * update + 0.2 * -1 / math.sqrt(square + 0.01)
    assert weight.item() == pytest.approx(2 - update - second, rel=1e-14)


def test_weight_decay_adds_the_weight_to_the_gradient():
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = TensorFlowRMSprop([weight], lr=0.1, epsilon=1.0, initial=0.0, weight_decay=0.5)
    weight.grad = torch.tensor([3.0], dtype=torch.float64)
    optimizer.step()  # gradient 3 + 0.5 * 2 = 4, mean square 0.1 * 16
    assert weight.item() == pytest.approx(2 - 0.1 * 4 / math.sqrt(1.6 + 1), rel=1e-14)
    assert weight.grad.item() == 3  # left as it was


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_rmsprop_is_that_of_timm(momentum, weight_decay):
    timm = pytest.importorskip("timm.optim")
    ours, theirs = net(), net()
    rates = [0.01, 0.02, 0.02, 0.005, 0.001, 0.001]
    mine = TensorFlowRMSprop(
        ours.parameters(), 0.01, 0.9, momentum, epsilon=1e-3, weight_decay=weight_decay
    )
    other = timm.RMSpropTF(
        theirs.parameters(), 0.01, alpha=0.9, eps=1e-3, momentum=momentum, weight_decay=weight_decay
    )
    torch.testing.assert_close(
        train(ours, mine, 6, rates), train(theirs, other, 6, rates), rtol=1e-12, atol=1e-14
    )


def test_torchs_own_rmsprop_is_another_method():
    ours, theirs = net(), net()
    mine = TensorFlowRMSprop(ours.parameters(), 0.01, momentum=0.9, epsilon=1.0)
    other = torch.optim.RMSprop(theirs.parameters(), 0.01, alpha=0.9, eps=1.0, momentum=0.9)
    assert (train(ours, mine) - train(theirs, other)).abs().max() > 1e-4


@pytest.mark.parametrize(
    "settings", [SGD(), SGD(0.0, False), RMSprop(), RMSprop(momentum=0.0), Adam(), AdamW()]
)
def test_an_optimiser_continues_from_its_state_as_if_nothing_had_been(settings):
    recipe = Recipe(lr=0.01, optimizer=settings, weight_decay=0.01)
    through = net()
    optimizer = recipe.make_optimizer(through)
    train(through, optimizer, 3)
    halfway = copy.deepcopy(through)
    resumed = recipe.make_optimizer(halfway)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert torch.equal(train(through, optimizer, 4), train(halfway, resumed, 4))


def test_the_state_of_rmsprop_is_tensors_and_numbers_alone():
    model = net()
    optimizer = RMSprop().build([{"params": list(model.parameters())}], 0.01, None)
    train(model, optimizer, 1)
    state = optimizer.state_dict()
    assert {type(v) for entry in state["state"].values() for v in entry.values()} == {torch.Tensor}
    kinds = {type(v) for group in state["param_groups"] for v in group.values()}
    assert kinds <= {int, float, bool, list, type(None)}


def test_parameters_without_gradient_stay_and_have_no_state():
    used, unused = (nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = TensorFlowRMSprop([used, unused], 0.1)
    used.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(unused, torch.ones(2)) and unused not in optimizer.state
    assert (used < 1).all()


def test_groups_of_rmsprop_keep_their_own_settings():
    fast, slow = (nn.Parameter(torch.ones(1)) for _ in range(2))
    optimizer = TensorFlowRMSprop([{"params": [fast]}, {"params": [slow], "lr": 0.01}], 0.1)
    fast.grad, slow.grad = torch.ones(1), torch.ones(1)
    optimizer.step()
    assert (1 - fast).item() == pytest.approx(10 * (1 - slow).item(), rel=1e-3)


def test_a_closure_is_called_with_gradients_and_its_loss_returned():
    weight = nn.Parameter(torch.tensor([2.0]))
    optimizer = TensorFlowRMSprop([weight], 0.1)

    def closure():
        optimizer.zero_grad()
        loss = (weight**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4
    assert weight.item() < 2


def test_sparse_gradients_are_refused():
    weight = nn.Parameter(torch.ones(3))
    weight.grad = torch.sparse_coo_tensor([[0]], [1.0], (3,), check_invariants=False)
    with pytest.raises(RuntimeError, match="no sparse gradients"):
        TensorFlowRMSprop([weight], 0.1).step()


def test_rmsprop_follows_the_dtype_of_the_weights():
    model = net(torch.float32)
    optimizer = TensorFlowRMSprop(model.parameters(), 0.01, momentum=0.9)
    weights = train(model, optimizer, 3)
    assert weights.dtype == torch.float32 and weights.isfinite().all()
    assert {v.dtype for entry in optimizer.state.values() for v in entry.values()} == {
        torch.float32
    }


@given(st.floats(-1e3, 1e3), st.floats(1e-6, 1.0), st.floats(0, 0.99))
def test_a_first_step_of_rmsprop_goes_downhill_and_is_bounded(gradient, epsilon, decay):
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = TensorFlowRMSprop([weight], 1.0, decay, epsilon=epsilon)
    weight.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.step()
    assert weight.item() * gradient <= 0
    assert abs(weight.item()) <= 1 / math.sqrt(1 - decay) * (1 + 1e-12)


# Settings


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(momentum=1.0), "SGD.momentum must be at least 0 and below 1, got 1.0"),
        (lambda: SGD(momentum=0.0), "set momentum > 0 or nesterov=False"),
        (lambda: RMSprop(decay=1.0), "RMSprop.decay must be at least 0 and below 1"),
        (lambda: RMSprop(epsilon=0.0), "RMSprop.epsilon must be a positive number, got 0.0"),
        (lambda: RMSprop(initial=-1.0), "RMSprop.initial must be at least 0"),
        (lambda: RMSprop(momentum=math.nan), "RMSprop.momentum must be at least 0 and below 1"),
        (lambda: Adam(beta1=1.5), "Adam.beta1 must be at least 0 and below 1"),
        (lambda: AdamW(beta2=-0.1), "AdamW.beta2 must be at least 0 and below 1"),
        (lambda: AdamW(epsilon=-1e-8), "AdamW.epsilon must be a positive number"),
        (lambda: TensorFlowRMSprop([nn.Parameter(torch.ones(1))], -1.0), "lr must be at least 0"),
        (lambda: TensorFlowRMSprop([], 0.1), "empty parameter list"),
    ],
)
def test_a_setting_out_of_range_says_which_and_what_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SGD(momentum="0.9"), "SGD.momentum must be a number, got '0.9'"),
        (lambda: SGD(nesterov=1), "SGD.nesterov must be True or False, got 1"),
        (lambda: RMSprop(decay=True), "RMSprop.decay must be a number"),
        (lambda: Adam(epsilon=None), "Adam.epsilon must be a number, got None"),
    ],
)
def test_a_setting_of_the_wrong_kind_says_what_it_needs(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_settings_reach_torchs_optimisers():
    groups = [{"params": [nn.Parameter(torch.ones(2, 2))], "weight_decay": 0.1}]
    adam = AdamW(0.8, 0.95, 1e-6).build(groups, 0.02, None)
    assert type(adam) is torch.optim.AdamW
    assert (adam.defaults["lr"], adam.defaults["betas"]) == (0.02, (0.8, 0.95))
    assert adam.defaults["eps"] == 1e-6 and adam.param_groups[0]["weight_decay"] == 0.1
    assert type(Adam().build(groups, 0.02, None)) is torch.optim.Adam
    sgd = SGD(0.5, nesterov=False).build(groups, 0.02, None)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.5, False)


# Fused


@pytest.mark.parametrize("settings", [SGD(), Adam(), AdamW()])
def test_fused_steps_are_the_usual_ones_to_rounding(settings):
    recipe = Recipe(lr=0.01, optimizer=settings, weight_decay=0.01)
    usual, fused = net(), net()
    optimizer = recipe.make_optimizer(fused, fused=True)
    assert optimizer.defaults["fused"] is True
    torch.testing.assert_close(
        train(usual, recipe.make_optimizer(usual, fused=False)),
        train(fused, optimizer),
        rtol=1e-10,
        atol=1e-12,
    )


def test_steps_are_fused_unless_that_is_not_wanted_or_not_possible():
    assert Recipe().make_optimizer(net()).defaults["fused"] is True
    usual = Recipe().make_optimizer(net(), fused=False)
    assert usual.defaults["fused"] is None and usual.defaults["foreach"] is None
    without_numbers = Recipe().make_optimizer(net().to("meta"))
    assert without_numbers.defaults["fused"] is None


@pytest.mark.parametrize("settings", [SGD(), SGD(0.0, nesterov=False), Adam(), AdamW()])
@pytest.mark.parametrize("skipped", [0, 2])
def test_a_step_that_a_gradient_scaler_skips_leaves_no_trace(settings, skipped):
    model, plain = net(), net()
    recipe = Recipe(lr=0.01, optimizer=settings)
    optimizer, usual = recipe.make_optimizer(model), recipe.make_optimizer(plain, fused=False)
    scaler = torch.amp.GradScaler("cpu")
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        images = torch.randn(8, 1, 8, 8, generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        loss = model(images).square().mean() * (torch.inf if step == skipped else 1)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step != skipped:
            usual.zero_grad()
            plain(images).square().mean().backward()
            usual.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("settings", [SGD(), Adam(), AdamW()])
def test_a_parameter_may_get_its_first_gradient_later_than_others(settings):
    results = []
    for fused in (None, False):
        early, late = (nn.Linear(2, 2).double() for _ in range(2))
        for layer in (early, late):
            nn.init.constant_(layer.weight, 0.5)
            nn.init.zeros_(layer.bias)
        layers = nn.ModuleList([early, late])
        optimizer = Recipe(lr=0.01, optimizer=settings).make_optimizer(layers, fused=fused)
        for used in (early, late, early, late):
            optimizer.zero_grad()
            used(torch.ones(1, 2, dtype=torch.float64)).square().sum().backward()
            optimizer.step()
        results.append(torch.cat([p.detach().flatten() for p in layers.parameters()]))
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_rmsprop_cannot_be_fused_and_says_so():
    recipe = Recipe(optimizer=RMSprop())
    recipe.make_optimizer(net(), fused=False)
    with pytest.raises(ValueError, match="RMSprop has no fused implementation"):
        recipe.make_optimizer(net(), fused=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("settings", [SGD(), RMSprop(), Adam(), AdamW()])
def test_on_cuda_steps_are_fused_where_possible_and_equal_those_of_the_cpu(settings):
    recipe = Recipe(lr=0.01, optimizer=settings, weight_decay=0.01)
    on_cpu, on_cuda = net(), net().cuda()
    optimizer = recipe.make_optimizer(on_cuda)
    assert optimizer.defaults.get("fused", False) is (settings != RMSprop())

    torch.testing.assert_close(
        train(on_cuda, optimizer).cpu(),
        train(on_cpu, recipe.make_optimizer(on_cpu)),
        rtol=1e-8,
        atol=1e-10,
    )
