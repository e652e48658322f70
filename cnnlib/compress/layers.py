"""Pruning and sharing the weights of a model in place, so that training goes on respecting it.

Both are parametrisations (``torch.nn.utils.parametrize``): the layer's ``weight`` is computed from
what is trained, at each step. So zeros stay zeros and shared values move together under any
optimiser, and the gradient of a shared value is the sum over its cluster (section 3.3), because
that is what the chain rule says.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cnnlib.compress.clustering import cluster

Layer = nn.Conv2d | nn.Linear  # what is compressed


class Pruned(nn.Module):
    """weight = trained weight, with zeros where the mask is False."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return torch.where(self.mask, weight, torch.zeros_like(weight))

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight


class Shared(nn.Module):
    """weight = shared values, looked up by code; code 0 is the zero of what is pruned.

    Args:
        codes: weight-shaped int64, from 0 to the number of shared values.
        centres: (K,) the shared values as they start; they are what is trained.
        bits: of a code, K < 2^bits.
    """

    codes: Tensor

    def __init__(self, codes: Tensor, centres: Tensor, bits: int) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self._start = centres
        self.bits = bits

    def forward(self, centres: Tensor) -> Tensor:
        return torch.cat([centres.new_zeros(1), centres])[self.codes]

    def right_inverse(self, weight: Tensor) -> Tensor:
        return self._start.to(weight)

    @property
    def mask(self) -> Tensor:
        """False where the weight is zero for good."""
        return self.codes > 0


class LayerReport(NamedTuple):
    """What is left of a layer.

    Attributes:
        layer: its path in the model.
        kind: "convolution" or "fully connected".
        weights: how many it has, without biases.
        kept: how many are not pruned.
        bits: per weight; None as long as weights are not shared.
    """

    layer: str
    kind: str
    weights: int
    kept: int
    bits: int | None

    @property
    def share(self) -> float:
        """Fraction of the weights that is kept."""
        return self.kept / self.weights


def compressible(model: nn.Module) -> dict[str, Layer]:
    """The layers whose weights are compressed, by path: convolutions and fully connected ones.

    Raises:
        ValueError: the model has none, or two of them share one weight.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Layer)}
    if not layers:
        raise ValueError(f"{type(model).__name__} has no nn.Conv2d and no nn.Linear to compress")
    seen: dict[int, str] = {}
    for name, layer in layers.items():
        original = parameter(layer)
        if id(original) in seen:
            raise ValueError(
                f"layers {seen[id(original)]!r} and {name!r} are one weight; "
                "compress each weight in one layer"
            )
        seen[id(original)] = name
    return layers


def kind(layer: Layer) -> str:
    """What the layer is: "convolution" or "fully connected"."""
    return "convolution" if isinstance(layer, nn.Conv2d) else "fully connected"


def parametrisation(layer: Layer) -> Pruned | Shared | None:
    """What computes the layer's weight, or None if it is a plain one.

    Raises:
        ValueError: it is computed by something that is not ours, as spectral normalisation.
    """
    if not parametrize.is_parametrized(layer):
        return None
    steps = [
        step
        for steps_of_one in layer.get_submodule("parametrizations").children()
        for step in steps_of_one.children()
    ]
    if len(steps) == 1 and isinstance(steps[0], Pruned | Shared):
        return steps[0]
    names = ", ".join(type(step).__name__ for step in steps)
    raise ValueError(f"parameters of {type(layer).__name__} are computed by {names} already")


def parameter(layer: Layer) -> Tensor:
    """What is trained: the weight, or what it is computed from."""
    if parametrize.is_parametrized(layer, "weight"):
        return layer.get_parameter("parametrizations.weight.original")
    return layer.weight


def chosen(model: nn.Module, values: float | Mapping[str, float], what: str) -> dict[str, float]:
    """One number for each layer, from one for all or from patterns of their paths.

    Args:
        model: whose layers are meant.
        values: a number, or a mapping from patterns such as "features.*" (``fnmatch``) to numbers;
            of several patterns that fit, the first counts.
        what: the argument's name, for messages.

    Returns:
        the number of each layer that is meant, by the layer's path.

    Raises:
        ValueError: a pattern that names no layer.
        TypeError: neither a number nor a mapping of numbers.
    """
    names = list(compressible(model))
    if isinstance(values, Mapping):
        patterns = dict(values)
    else:
        patterns = {"*": values}
    for pattern, value in patterns.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(
                f"{what} must be a number, or a dictionary from patterns of layers' names to "
                f"numbers; got {values!r}"
            )
        if not fnmatch.filter(names, str(pattern)):
            raise ValueError(f"{what}: {pattern!r} names no layer; there are {', '.join(names)}")
    found: dict[str, float] = {}
    for pattern, value in patterns.items():
        for name in fnmatch.filter(names, pattern):
            found.setdefault(name, value)
    return found


@torch.no_grad()
def prune(model: nn.Module, keep: float | Mapping[str, float]) -> None:
    """Set the smallest weights of each layer to zero, and keep them there while it is trained.

    Pruning again prunes further: what is zero counts as smallest. Biases and batch normalisation
    stay as they are.

    Args:
        model: changed in place.
        keep: fraction of each layer's weights that stays, in (0, 1]; one for all layers, or by
            patterns of their names, as ``{"features.*": 0.4, "classifier.*": 0.08}``; layers that
            no pattern names are not touched.

    Raises:
        ValueError: a fraction outside (0, 1], a pattern without a layer, weights that are shared.
    """
    fractions = chosen(model, keep, "keep")
    for name, fraction in fractions.items():
        if not 0 < fraction <= 1:
            raise ValueError(f"keep must be above 0 and at most 1, got {fraction} for {name!r}")
    layers = compressible(model)
    for name in fractions:  # all or nothing
        if isinstance(parametrisation(layers[name]), Shared):
            raise ValueError(f"the weights of {name!r} are shared already; prune before you share")
    for name, fraction in fractions.items():
        layer = layers[name]
        weight: Tensor = layer.weight
        kept = max(1, round(fraction * weight.numel()))
        order = weight.abs().flatten().argsort(descending=True, stable=True)
        mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
        mask[order[:kept]] = True
        mask = mask.view_as(weight)
        before = parametrisation(layer)
        if before is not None:
            mask &= before.mask
        _replace(layer, Pruned(mask))


@torch.no_grad()
def share(
    model: nn.Module,
    bits: int | Mapping[str, int],
    initial: str = "linear",
    seed: int = 0,
) -> None:
    """Leave each layer few values to choose its weights from: centres of its own k-means.

    A code of b bits tells 2^b - 1 shared values apart; the code 0 stands for zero, which pruned
    weights are and which fills gaps that are too long to write.

    Args:
        model: changed in place.
        bits: per weight, 1 to 16; one for all layers or by patterns of their names, as in `prune`;
            layers that no pattern names keep their own values.
        initial: see `cluster`.
        seed: see `cluster`.

    Raises:
        ValueError: bits out of range, a pattern without a layer, weights that are shared already.
    """
    wanted = chosen(model, bits, "bits")
    layers = compressible(model)
    for name, number in wanted.items():
        if number not in range(1, 17):
            raise ValueError(f"bits must be a whole number from 1 to 16, got {number} for {name!r}")
        if isinstance(parametrisation(layers[name]), Shared):
            raise ValueError(f"the weights of {name!r} are shared already")
    for name, number in wanted.items():
        layer = layers[name]
        weight: Tensor = layer.weight
        before = parametrisation(layer)
        mask = torch.ones_like(weight, dtype=torch.bool) if before is None else before.mask
        centres, numbers = cluster(weight[mask], 2 ** int(number) - 1, initial, seed)
        codes = torch.zeros_like(weight, dtype=torch.int64)
        codes[mask] = numbers + 1
        _replace(layer, Shared(codes, centres, int(number)))


def settle(model: nn.Module) -> None:
    """Turn computed weights into plain ones: the model is what it was before, zeros included."""
    for layer in compressible(model).values():
        if parametrisation(layer) is not None:
            _plain(layer)


def report(model: nn.Module) -> list[LayerReport]:
    """What is left of each layer, in the order of the model."""
    return [
        LayerReport(name, kind(layer), _weights(layer), _kept(layer), _bits(layer))
        for name, layer in compressible(model).items()
    ]


def _weights(layer: Layer) -> int:
    return layer.weight.numel()


def _kept(layer: Layer) -> int:
    step = parametrisation(layer)
    return _weights(layer) if step is None else int(step.mask.sum())


def _bits(layer: Layer) -> int | None:
    step = parametrisation(layer)
    return step.bits if isinstance(step, Shared) else None


def _plain(layer: Layer) -> None:
    """The weight as a parameter of its own, whatever shape that has which it was computed from."""
    weight = layer.weight.detach().clone()
    wants_gradient = parameter(layer).requires_grad
    # As torch's remove_parametrizations does, but that takes the property ``weight`` off the class,
    # which a copy of the layer shares: settling one of them would break the other.
    del layer.parametrizations
    layer.__class__ = type(layer).__mro__[1]
    layer.weight = nn.Parameter(weight, requires_grad=wants_gradient)
    if layer.bias is not None:  # behind the weight again, as optimisers and files know the order
        layer.register_parameter("bias", layer._parameters.pop("bias"))


def _replace(layer: Layer, step: Pruned | Shared) -> None:
    if parametrize.is_parametrized(layer, "weight"):
        _plain(layer)
    parametrize.register_parametrization(layer, "weight", step)
