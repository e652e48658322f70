"""The optimisers of the papers: their settings as data, and RMSprop as TensorFlow computes it."""

# pyright: reportPrivateImportUsage=false
# (the functions torch._foreach_... on lists of tensors, with which torch's own optimisers are made)
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .checks import check_flag, check_number

Groups = list[dict[str, Any]]  # parameters with their weight decay, as torch's optimisers take them

FUSED_ON = ("cpu", "cuda")  # devices for which torch has fused SGD and Adam


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent with momentum, in torch's form.

    Args:
        momentum: share of the last update that is kept, at least 0 and below 1.
        nesterov: Nesterov's momentum instead of the classical one.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self) -> None:
        _check_share("SGD.momentum", self.momentum)
        check_flag("SGD.nesterov", self.nesterov)
        if self.nesterov and self.momentum == 0:
            raise ValueError("Nesterov's method needs momentum: set momentum > 0 or nesterov=False")

    def build(self, groups: Groups, lr: float, fused: bool | None) -> torch.optim.Optimizer:
        """The optimiser of these parameters; see `Recipe.make_optimizer`."""
        optimizer = torch.optim.SGD(
            groups, lr, self.momentum, nesterov=self.nesterov, fused=_fused(groups, fused)
        )
        # torch begins a momentum with the first gradient. Zeros before it say the same, and spare
        # the fused form two faults: if the first step is skipped, as by a gradient scaler, it goes
        # on from memory that nobody wrote; and it stops where a parameter gets its first gradient
        # later than others.
        if self.momentum > 0:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return optimizer


@dataclass(frozen=True)
class RMSprop:
    """Gradients divided by the root of their mean square, with momentum (`TensorFlowRMSprop`).

    Args:
        decay: share of the last mean square that is kept, at least 0 and below 1.
        momentum: share of the last update that is kept, at least 0 and below 1.
        epsilon: added to the mean square, under the root; positive.
        initial: mean square before the first step, at least 0.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    decay: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0
    initial: float = 1.0

    def __post_init__(self) -> None:
        _check_share("RMSprop.decay", self.decay)
        _check_share("RMSprop.momentum", self.momentum)
        _check_positive("RMSprop.epsilon", self.epsilon)
        words = "at least 0"
        check_number("RMSprop.initial", self.initial, lambda start: 0 <= start < math.inf, words)

    def build(self, groups: Groups, lr: float, fused: bool | None) -> torch.optim.Optimizer:
        """The optimiser of these parameters; see `Recipe.make_optimizer`."""
        if fused:
            raise ValueError("RMSprop has no fused implementation: choose fused=None or False")
        return TensorFlowRMSprop(
            groups, lr, self.decay, self.momentum, self.epsilon, initial=self.initial
        )


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2015), weight decay being part of the gradient.

    Args:
        beta1: share of the last mean gradient that is kept, at least 0 and below 1.
        beta2: share of the last mean square that is kept, at least 0 and below 1.
        epsilon: added to the root of the mean square; positive.

    Raises:
        TypeError, ValueError: a setting of the wrong kind or outside its range.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        name = type(self).__name__
        _check_share(f"{name}.beta1", self.beta1)
        _check_share(f"{name}.beta2", self.beta2)
        _check_positive(f"{name}.epsilon", self.epsilon)

    def build(self, groups: Groups, lr: float, fused: bool | None) -> torch.optim.Optimizer:
        """The optimiser of these parameters; see `Recipe.make_optimizer`."""
        return torch.optim.Adam(
            groups, lr, (self.beta1, self.beta2), self.epsilon, fused=_fused(groups, fused)
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""

    def build(self, groups: Groups, lr: float, fused: bool | None) -> torch.optim.Optimizer:
        """The optimiser of these parameters; see `Recipe.make_optimizer`."""
        return torch.optim.AdamW(
            groups, lr, (self.beta1, self.beta2), self.epsilon, fused=_fused(groups, fused)
        )


# How to build an optimiser is written beside its settings; which parameters it gets, and with how
# much weight decay, is the recipe's business.
OptimizerSettings = SGD | RMSprop | Adam | AdamW
OPTIMIZERS = (SGD, RMSprop, Adam, AdamW)


class TensorFlowRMSprop(torch.optim.Optimizer):
    """RMSprop as the papers from MobileNet to EfficientNet mean it: TensorFlow's.

    With gradient g, learning rate r, momentum m, decay d and epsilon e::

        square <- d square + (1 - d) g^2
        update <- m update + r g / sqrt(square + e)
        weight <- weight - update

    Three things are otherwise in ``torch.optim.RMSprop``: epsilon stands under the root, the
    running update has the learning rate in it, so that a drop of the rate takes effect little by
    little, and the mean square begins at 1, which makes the first steps small (TensorFlow 1.x,
    ``python/training/rmsprop.py``: the docstring of the module, and ``_create_slots`` for the 1).
    With the epsilon of 1 that several of the papers take, the difference is not a detail.

    Args:
        params: parameters, or groups of them with settings of their own.
        lr: learning rate; may be set anew in ``param_groups`` before each step.
        decay: share of the last mean square that is kept.
        momentum: share of the last update that is kept; 0 needs no memory for it.
        epsilon: added to the mean square, under the root.
        initial: mean square before the first step.
        weight_decay: this times the weight is added to the gradient.

    Raises:
        ValueError: a setting outside its range, or no parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
        *,
        initial: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        RMSprop(decay, momentum, epsilon, initial)  # refuses what makes no sense
        for name, value in (("lr", lr), ("weight_decay", weight_decay)):
            check_number(name, value, lambda number: 0 <= number < math.inf, "at least 0")
        defaults = {"lr": lr, "decay": decay, "momentum": momentum, "epsilon": epsilon}
        defaults |= {"initial": initial, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step for all parameters that have a gradient.

        Args:
            closure: computes the loss and the gradients anew.

        Returns:
            What the closure returned.

        Raises:
            RuntimeError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            if trained:
                self._step(trained, group)
        return loss

    def _step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        # The functions _foreach_... take lists: few calls instead of several for each parameter.
        grads: list[Tensor] = [p.grad for p in params if p.grad is not None]
        if any(grad.is_sparse for grad in grads):
            raise RuntimeError("TensorFlowRMSprop takes no sparse gradients")
        for p in params:
            if not self.state[p]:
                self.state[p]["square"] = torch.full_like(p, group["initial"])
                if group["momentum"] > 0:
                    self.state[p]["update"] = torch.zeros_like(p)
        squares = [self.state[p]["square"] for p in params]

        if group["weight_decay"] > 0:
            grads = list(torch._foreach_add(grads, params, alpha=group["weight_decay"]))
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, grads, grads, value=1 - group["decay"])
        roots = torch._foreach_add(squares, group["epsilon"])
        torch._foreach_sqrt_(roots)
        steps = torch._foreach_div(grads, roots)
        if group["momentum"] > 0:
            updates = [self.state[p]["update"] for p in params]
            torch._foreach_mul_(updates, group["momentum"])
            torch._foreach_add_(updates, steps, alpha=group["lr"])
            torch._foreach_sub_(params, updates)
        else:
            torch._foreach_add_(params, steps, alpha=-group["lr"])


def _fused(groups: Groups, wanted: bool | None) -> bool | None:
    """What torch's optimisers want to hear: None is their usual implementation.

    The fused one spares a CUDA device thousands of small kernels, and a processor most passes over
    memory: there it takes a third to 60 % of the time, which is 1 to 6 % of a step of LeNet or
    ResNet-20 and 30 to 40 % where linear layers hold most weights (benchmarks/train_loop.py). It
    rounds otherwise in the last digit.
    """
    if wanted is None:
        parameters = [p for group in groups for p in group["params"]]
        wanted = all(p.is_floating_point() and p.device.type in FUSED_ON for p in parameters)
    return wanted or None


def _check_share(name: str, value: object) -> None:
    check_number(name, value, lambda share: 0 <= share < 1, "at least 0 and below 1")


def _check_positive(name: str, value: object) -> None:
    check_number(name, value, lambda number: 0 < number < math.inf, "a positive number")
