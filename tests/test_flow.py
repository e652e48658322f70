"""Signal and gradient behind the units of a network are torch's, and measuring changes nothing."""

import pytest
import torch
from torch import nn

from cnnlib.inspection.flow import unit_flow
from cnnlib.models.preact_resnet import FIGURE_4, PreActResNet


def small(**options) -> PreActResNet:
    """Two units of one stage."""
    torch.manual_seed(0)
    shape = {"blocks": (2,), "widths": (4,), "stem": "small", "block": "basic"}
    return PreActResNet(10, 1, **(shape | options))


def batch(dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(6, 1, 6, 6, dtype=dtype), torch.tensor([0, 1, 2, 3, 4, 5])


def test_measuring_leaves_the_network_as_it_was():
    model = small(shortcut="dropout").eval()
    model.conv2_x.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images, labels = batch()
    random = torch.get_rng_state()
    flow = unit_flow(model, [*model.residual_units()], images, labels)
    assert len(flow) == 2 and all(entry.direct > 0 for entry in flow)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.conv2_x.training and not model.training and not model.fc.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.conv2_x[0]._forward_hooks


def test_the_gradient_behind_the_last_unit_is_torchs():
    model, (images, labels) = small().double(), batch(torch.float64)
    last = unit_flow(model, [*model.residual_units()], images, labels)[-1]
    x = model.conv2_x(model.conv1(images)).detach().requires_grad_()
    scores = model.fc(model.last_activation(x).mean((2, 3)))
    torch.nn.functional.cross_entropy(scores, labels).backward()
    assert last.gradient == pytest.approx(x.grad.norm().item())
    assert last.direct == pytest.approx(last.gradient)
    assert last.signal == pytest.approx(x.square().mean().sqrt().item())


def test_units_without_a_residual_branch_are_refused():
    images, labels = batch()
    with pytest.raises(ValueError, match="units is empty"):
        unit_flow(nn.Flatten(), [], images, labels)
    with pytest.raises(ValueError, match=r"unit 0 \(ReLU\) has no branch 'residual'"):
        unit_flow(nn.Flatten(), [nn.ReLU()], images, labels)


@pytest.mark.parametrize("order", FIGURE_4)
def test_only_a_clean_path_brings_the_whole_gradient(order):
    model = small(order=order, blocks=(6,)).double()
    flow = unit_flow(model, [*model.residual_units()], *batch(torch.float64))
    share = flow[0].direct / flow[-1].direct
    assert (share == pytest.approx(1)) == (FIGURE_4[order].after == "")


def test_halved_shortcuts_halve_the_direct_gradient_in_each_unit():
    model = small(shortcut="scaling", blocks=(6,)).double()
    flow = unit_flow(model, [*model.residual_units()], *batch(torch.float64))
    assert flow[0].direct / flow[-1].direct == pytest.approx(0.5**5)


def test_dropout_draws_the_same_numbers_in_both_passes():
    model = small(shortcut="dropout").double()
    flow = unit_flow(model, [*model.residual_units()], *batch(torch.float64))
    assert flow[-1].direct == pytest.approx(flow[-1].gradient)
