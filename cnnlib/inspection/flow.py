"""How signal and gradient come through the units of a residual network.

Before any training, a network must let two things pass: the image on its way to the classifier,
and the gradient on its way back. Both are measured here behind every unit, on a batch of images.
The gradient is measured a second time with the residual branches cut, so that it has nothing but
the shortcuts to run along: what is left is the term "1" of He et al. (2016, "Identity Mappings in
Deep Residual Networks", eq. 5), or the product of scalings that takes its place (eq. 8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Flow(NamedTuple):
    """What passes behind one unit.

    Attributes:
        signal: root mean square of the unit's output.
        gradient: norm of the gradient of the loss with respect to that output.
        direct: the same if it comes back along the shortcuts alone.
    """

    signal: float
    gradient: float
    direct: float


def unit_flow(
    model: nn.Module,
    units: Sequence[nn.Module],
    images: Tensor,
    labels: Tensor,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> list[Flow]:
    """Signal and gradient behind each unit, first unit first, for one batch in training mode.

    Batch normalisation uses the statistics of the batch, as it does in training; its running
    averages, the gradients of the weights and the global random state stay as they are. Dropout
    draws the same numbers in both passes.

    Args:
        model: maps images to scores.
        units: modules of the model, each with a branch ``residual`` and one output. Such are the
            ``residual_units()`` of a ``PreActResNet``.
        images: (N, C, H, W), on the model's device and of its dtype.
        labels: (N,), int64.
        loss: maps scores and labels to one number.

    Returns:
        One entry per unit.

    Raises:
        ValueError: there are no units, or one has no branch of that name.
    """
    if not units:
        raise ValueError("there is nothing to measure: units is empty")
    for number, unit in enumerate(units):
        if not isinstance(getattr(unit, "residual", None), nn.Module):
            raise ValueError(f"unit {number} ({type(unit).__name__}) has no branch 'residual'")
    with _as_it_was(model):
        signals, gradients = _pass(model, units, images, labels, loss, cut=False)
    with _as_it_was(model):  # so that both passes draw the same random numbers
        _, direct = _pass(model, units, images, labels, loss, cut=True)
    return [Flow(*numbers) for numbers in zip(signals, gradients, direct, strict=True)]


def _pass(
    model: nn.Module,
    units: Sequence[nn.Module],
    images: Tensor,
    labels: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    cut: bool,
) -> tuple[list[float], list[float]]:
    """Root mean squares of the units' outputs, and norms of the gradients that reach them."""
    outputs: list[Tensor] = []
    hooks = [unit.register_forward_hook(lambda *of: outputs.append(of[2])) for unit in units]
    if cut:
        hooks += [
            unit.get_submodule("residual").register_forward_hook(lambda *of: of[2].detach())
            for unit in units
        ]
    try:
        # Without a gradient on the input, a cut branch would leave nothing to go back to.
        value = loss(model(images.detach().clone().requires_grad_()), labels)
        gradients = torch.autograd.grad(value, outputs)
    finally:
        for hook in hooks:
            hook.remove()
    signals = [output.detach().square().mean().sqrt().item() for output in outputs]
    return signals, [gradient.norm().item() for gradient in gradients]


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Training mode for a while; buffers, modes and the random state are put back afterwards."""
    modes = {module: module.training for module in model.modules()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        with torch.random.fork_rng():
            model.train()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
