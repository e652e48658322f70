"""Equal weights in two implementations of a network: are they the same function?

Every implementation names its layers differently, but all have the same layers. So weights travel
by the order in which layers run, or by that in which they are registered, and shapes must agree.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn


def randomize(model: nn.Module, seed: int = 0, gain: float = 2.0) -> nn.Module:
    """The model in float64 and ``eval`` mode, with all its numbers drawn anew.

    Running statistics and scales too: left at 0 and 1, they would hide layers that were swapped.

    Args:
        seed: of the numbers.
        gain: weights have variance gain / fan-in. Some very deep networks amplify rounding until it
            shows; a little less than 2 calms them.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: Tensor) -> Tensor:
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)

    model.double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.1 * draw(module.running_mean))
                module.running_var.copy_(1 + 0.3 * torch.tanh(draw(module.running_var)))
                if module.affine:
                    module.weight.copy_(1 + 0.1 * draw(module.weight))
                    module.bias.copy_(0.1 * draw(module.bias))
            elif isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.copy_(draw(module.weight) * (gain / fan_in) ** 0.5)
                if module.bias is not None:
                    module.bias.copy_(0.1 * draw(module.bias))
    return model


def layers_with_numbers(
    model: nn.Module, image: Tensor, order: Literal["execution", "registration"]
) -> list[nn.Module]:
    """Modules that own parameters or statistics, each once."""
    owners = [m for m in model.modules() if m._parameters or m._buffers]
    if order == "registration":
        return owners
    ran: dict[nn.Module, None] = {}
    hooks = [m.register_forward_pre_hook(lambda m, _: ran.setdefault(m)) for m in owners]
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    return list(ran)


def transplant(
    theirs: nn.Module,
    ours: nn.Module,
    image: Tensor,
    *,
    order: Literal["execution", "registration"] = "execution",
    arrange: Callable[[list[nn.Module]], Sequence[nn.Module]] = list,
) -> None:
    """Copies every number of ``theirs`` into ``ours``, layer by layer.

    Args:
        image: (1, C, H, W), to see in which order layers run.
        order: in which layers are paired.
        arrange: puts their layers into our order where the two differ.
    """
    origin = arrange(layers_with_numbers(theirs, image, order))
    target = layers_with_numbers(ours, image, order)
    assert len(origin) == len(target), f"{len(origin)} layers there, {len(target)} here"
    for number, (there, here) in enumerate(zip(origin, target, strict=True)):
        numbers, wanted = there.state_dict(), here.state_dict()
        assert numbers.keys() == wanted.keys(), f"layer {number}: {there} there, {here} here"
        fitted = {}
        for name, tensor in numbers.items():
            shape = wanted[name].shape  # a linear layer may be written as a 1 x 1 convolution
            same = tensor.shape == shape or tensor.squeeze().shape == wanted[name].squeeze().shape
            assert same, f"layer {number}, {name}: {there} there, {here} here"
            fitted[name] = tensor.reshape(shape)
        here.load_state_dict(fitted)


def assert_same_function(
    ours: nn.Module,
    theirs: nn.Module,
    shape: tuple[int, int, int],
    *,
    order: Literal["execution", "registration"] = "execution",
    arrange: Callable[[list[nn.Module]], Sequence[nn.Module]] = list,
    gain: float = 2.0,
) -> None:
    """Random numbers for ``theirs``, the same for ``ours``: equal outputs in float64.

    Also requires that the outputs differ between two images, so that not both are constant.

    Args:
        shape: (C, H, W) of the images on which the outputs are compared.
        order: see ``transplant``.
        arrange: see ``transplant``.
        gain: see ``randomize``.
    """
    randomize(theirs, gain=gain)
    ours.double().eval()
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    transplant(theirs, ours, images[:1], order=order, arrange=arrange)
    with torch.no_grad():
        expected, actual = theirs(images), ours(images)
    spread = (expected[0] - expected[1]).abs().max()
    assert spread > 1e-6, "both images give the same scores: nothing is compared"
    # float64 keeps 16 digits; the order of sums over some 100 layers costs a few of them
    torch.testing.assert_close(actual, expected, rtol=1e-8, atol=float(spread) * 1e-8)
