"""A trained network as a short program that plain JavaScript runs in the page.

`to_program` turns a network that is a chain of layers into a list of operations and one block of
weights in half precision (124 kB for LeNet-5). The operations are run by ``widgets/network.js`` in
the reader's browser and by `Program` itself in PyTorch, so that a notebook can check the copy
against the original before it ships.

To teach it a new layer, register a function for its type with `convert` that adds operations to the
builder, and implement the operation in two places: `OPERATIONS` here and ``OPERATIONS`` in
``network.js``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.models.lenet import RBF, LeNet5, ScaledTanh, Subsampling, TableConv2d

Operation = dict[str, Any]


@dataclass(frozen=True)
class Program:
    """A trained network as data: what to compute, in which order, with which numbers.

    Attributes:
        ops: One dict per operation, ready for JSON: ``op`` is its name, ``stage`` (on the last
            operation of a stage) the name of the part of the model that ends here; a tensor is
            ``{"at": index of its first number in the weights, "shape": [...]}``.
        weights: All numbers as little-endian float16, one after the other.
        input_shape: (channels, height, width) of one image.
        low: Value of the background in the images that the network was trained on.
        high: Value of full ink.
    """

    ops: list[Operation]
    weights: bytes
    input_shape: tuple[int, int, int] = (1, 32, 32)
    low: float = -0.1
    high: float = 1.175

    @property
    def stages(self) -> list[str]:
        """Names of the stages, in order."""
        return [op["stage"] for op in self.ops if "stage" in op]

    def __call__(self, images: Tensor) -> Tensor:
        """Runs the program in PyTorch, with its rounded weights.

        Args:
            images: (N, *input_shape), between `low` and `high`.

        Returns:
            Scores (N, classes), in the dtype and on the device of the images.
        """
        numbers = torch.from_numpy(np.frombuffer(self.weights, dtype="<f2").astype(np.float32))
        numbers = numbers.to(images)
        x = images
        for op in self.ops:
            arguments = {
                name: _take(numbers, value) if isinstance(value, dict) else value
                for name, value in op.items()
                if name not in ("op", "stage")
            }
            x = OPERATIONS[op["op"]](x, **arguments)
        return x


def _take(numbers: Tensor, where: dict[str, Any]) -> Tensor:
    count = int(np.prod(where["shape"]))
    return numbers[where["at"] : where["at"] + count].reshape(where["shape"])


# Each takes the previous result x, (N, C, H, W) or (N, features), and the entries of its operation.
OPERATIONS: dict[str, Callable[..., Tensor]] = {
    "conv2d": lambda x, weight, bias, stride, padding, groups: F.conv2d(
        x, weight, bias, stride, padding, groups=groups
    ),
    "linear": F.linear,
    "affine": lambda x, scale, shift: x * scale[:, None, None] + shift[:, None, None],
    "avg_pool2d": F.avg_pool2d,
    "max_pool2d": F.max_pool2d,
    "relu": lambda x: F.relu(x),
    "scaled_tanh": lambda x, amplitude, slope: amplitude * torch.tanh(slope * x),
    "flatten": lambda x: x.flatten(1),
    "rbf": lambda x, codes: -(x[:, None] - codes).square().sum(-1),
}


class Builder:
    """Collects the operations and weights of a program while `convert` walks the model."""

    def __init__(self) -> None:
        self.ops: list[Operation] = []
        self._arrays: list[np.ndarray] = []
        self._count = 0

    def add(self, op: str, **entries: Any) -> None:
        """Appends an operation; tensors among its entries go to the weights."""
        if op not in OPERATIONS:
            raise ValueError(f"no operation is called {op!r}; there are {', '.join(OPERATIONS)}")
        stored = {
            name: self._store(value, f"{name} of {op}") if isinstance(value, Tensor) else value
            for name, value in entries.items()
        }
        self.ops.append({"op": op, **stored})

    def _store(self, tensor: Tensor, name: str) -> dict[str, Any]:
        numbers = tensor.detach().cpu().to(torch.float64)
        if not (numbers.abs() <= torch.finfo(torch.float16).max).all():
            raise ValueError(
                f"{name} has values that are not finite or do not fit into float16 (largest "
                f"{numbers.abs().max().item():g}, limit 65504); has the training diverged?"
            )
        where = {"at": self._count, "shape": list(numbers.shape)}
        self._arrays.append(numbers.numpy().astype("<f2").ravel())
        self._count += numbers.numel()
        return where

    @property
    def weights(self) -> bytes:
        return b"".join(array.tobytes() for array in self._arrays)


def to_program(
    model: nn.Module,
    *,
    input_shape: tuple[int, int, int] = (1, 32, 32),
    low: float = -0.1,
    high: float = 1.175,
) -> Program:
    """Exports a chain-like model as it computes in ``eval`` mode.

    Every direct child of the model becomes a stage whose result the page can show. The model itself
    is not changed.

    Args:
        model: A `LeNet5` or an ``nn.Sequential`` of convertible layers, nested as deep as you like.
        input_shape: (channels, height, width) of one image.
        low: Value of the background in the training images.
        high: Value of full ink.

    Returns:
        The program; calling it gives the model's scores up to the rounding of its weights.

    Raises:
        TypeError: A layer has no conversion; the message names it.
        ValueError: A layer is set up in a way that the operations do not cover, or a weight does
            not fit into float16.
    """
    if not isinstance(model, CHAINS):
        model = nn.Sequential(model)  # a single layer
    builder = Builder()
    for name, child in _links(model):
        before = len(builder.ops)
        try:
            convert(child, builder)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"cannot export {name!r} of {type(model).__name__}: {error}"
            ) from None
        if len(builder.ops) > before:  # a dropout alone leaves nothing behind
            builder.ops[-1]["stage"] = name
    return Program(builder.ops, builder.weights, input_shape, low, high)


CHAINS = (nn.Sequential, LeNet5)  # their forward is: each child on the result of the one before


def _links(chain: nn.Module) -> list[tuple[str, nn.Module]]:
    if isinstance(chain, nn.Sequential) and type(chain).forward is not nn.Sequential.forward:
        raise TypeError(
            f"{type(chain).__name__} has a forward of its own, so its children need not be a chain"
        )
    return list(chain.named_children())


@singledispatch
def convert(layer: nn.Module, builder: Builder) -> None:
    """Adds the operations of one layer; ``convert.register`` teaches it another type."""
    raise TypeError(
        f"no conversion for layer {type(layer).__name__}; write one and register it with "
        "cnnlib.program.convert.register"
    )


@convert.register(nn.Sequential)
@convert.register(LeNet5)
def _(layer: nn.Module, builder: Builder) -> None:
    for _, child in _links(layer):
        convert(child, builder)


@convert.register
def _(layer: nn.Conv2d, builder: Builder) -> None:
    _only(layer, dilation=(1, 1), padding_mode="zeros")
    if isinstance(layer.padding, str):
        raise ValueError(f"padding={layer.padding!r}: give the padding as numbers")
    builder.add(
        "conv2d",
        weight=layer.weight,
        bias=layer.bias,
        stride=list(layer.stride),
        padding=list(layer.padding),
        groups=layer.groups,
    )


@convert.register
def _(layer: TableConv2d, builder: Builder) -> None:
    # Dense, with zeros where the table has no link: 880 more numbers, and no special case.
    builder.add(
        "conv2d",
        weight=layer.dense_weight(),
        bias=layer.bias,
        stride=[1, 1],
        padding=[0, 0],
        groups=1,
    )


@convert.register
def _(layer: Subsampling, builder: Builder) -> None:
    builder.add("avg_pool2d", kernel_size=[2, 2], stride=[2, 2])
    builder.add("affine", scale=4 * layer.coefficient, shift=layer.bias)  # of the sum of four


@convert.register
def _(layer: nn.BatchNorm2d, builder: Builder) -> None:
    mean, variance = layer.running_mean, layer.running_var
    if mean is None or variance is None:
        raise ValueError("a BatchNorm2d without running statistics depends on the batch")
    scale = torch.rsqrt(variance.double() + layer.eps)
    shift = -mean.double() * scale
    if layer.affine:
        scale, shift = scale * layer.weight, shift * layer.weight + layer.bias
    builder.add("affine", scale=scale, shift=shift)


@convert.register
def _(layer: nn.AvgPool2d, builder: Builder) -> None:
    _only(layer, padding=(0, 0), ceil_mode=False, divisor_override=None)
    builder.add("avg_pool2d", kernel_size=_pair(layer.kernel_size), stride=_pair(layer.stride))


@convert.register
def _(layer: nn.MaxPool2d, builder: Builder) -> None:
    _only(layer, padding=(0, 0), dilation=(1, 1), ceil_mode=False, return_indices=False)
    builder.add("max_pool2d", kernel_size=_pair(layer.kernel_size), stride=_pair(layer.stride))


@convert.register
def _(layer: nn.Linear, builder: Builder) -> None:
    builder.add("linear", weight=layer.weight, bias=layer.bias)


@convert.register
def _(layer: nn.ReLU, builder: Builder) -> None:
    builder.add("relu")


@convert.register
def _(layer: ScaledTanh, builder: Builder) -> None:
    builder.add("scaled_tanh", amplitude=1.7159, slope=2 / 3)


@convert.register
def _(layer: nn.Flatten, builder: Builder) -> None:
    _only(layer, start_dim=1, end_dim=-1)
    builder.add("flatten")


@convert.register
def _(layer: RBF, builder: Builder) -> None:
    builder.add("rbf", codes=layer.codes)


@convert.register(nn.Dropout)
@convert.register(nn.Identity)
def _(layer: nn.Module, builder: Builder) -> None:
    """Nothing to do when a trained network classifies."""


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _only(layer: nn.Module, **expected: Any) -> None:
    """Complains about settings that the operations do not know."""
    for name, value in expected.items():
        actual = getattr(layer, name)
        if isinstance(value, tuple):
            actual = tuple(_pair(actual))
        if actual != value:
            raise ValueError(f"{type(layer).__name__} with {name}={actual} (only {value} is known)")
