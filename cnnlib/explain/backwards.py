"""From a unit back to the pixels: deconvnet, gradient, guided backpropagation.

* M. D. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014,
  Section 2.1: the deconvolutional network.
* K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks", arXiv:1312.6034: the
  gradient, and that the deconvnet is one but for the ReLUs (Section 4).
* J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller, "Striving for Simplicity",
  arXiv:1412.6806: guided backpropagation, which keeps both conditions (Fig. 1).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode

from cnnlib.models.alexnet import ResponseNorm
from cnnlib.models.layers import check_choice, evaluation_mode

from .asking import catching, check_batch, check_image, layer_of, picked, scores_of

# What a ReLU lets through on the way back, given the signal that comes from above and what the ReLU
# saw on the way forward.
RULES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradient": lambda signal, seen: signal * (seen > 0),
    "deconvnet": lambda signal, seen: signal.clamp(min=0),
    "guided": lambda signal, seen: signal.clamp(min=0) * (seen > 0),
}


# The deconvnet, step by step


def unpool(pooled: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Puts pooled values back to where their maxima were; everything else is 0.

    Where windows overlap and chose the same place, their values add up.

    Args:
        pooled: (N, C, h, w).
        switches: the same shape, int64: of each value its place in the map before pooling, counted
            row by row, as ``F.max_pool2d(..., return_indices=True)`` gives it.
        size: (H, W) of the map before pooling.

    Returns:
        (N, C, H, W).

    Raises:
        ValueError: shapes that do not fit each other, or a switch beyond the map.
    """
    if pooled.ndim != 4 or pooled.shape != switches.shape or switches.dtype != torch.int64:
        raise ValueError(
            "pooled values (N, C, h, w) need int64 switches of the same shape; got "
            f"{tuple(pooled.shape)} and {switches.dtype} of shape {tuple(switches.shape)}"
        )
    height, width = size
    places = switches.flatten(2)
    if places.numel() and places.device.type != "meta":
        low, high = (int(place) for place in torch.aminmax(places))
        if low < 0 or high >= height * width:
            raise ValueError(
                f"switches from {low} to {high} point beyond a map of {height} x {width}, whose "
                f"places are 0 to {height * width - 1}"
            )
    empty = pooled.new_zeros(*pooled.shape[:2], height * width)
    return empty.scatter_add(2, places, pooled.flatten(2)).unflatten(2, (height, width))


@torch.no_grad()
def deconvnet(
    model: nn.Module,
    image: Tensor,
    layer: str,
    unit: int,
    position: tuple[int, int] | None = None,
) -> Tensor:
    """What in an image excites a unit, by the deconvolutional network of Zeiler and Fergus.

    The image is run up to the layer while each pooling notes its switches. All activations of the
    layer but one are set to 0, and the rest walks back: a pooling is undone with its switches, a
    ReLU keeps what is positive of the signal, a convolution is undone with the same filters,
    transposed and without their biases. Normalisation and dropout let the signal pass.

    Args:
        model: its layers must run one after the other in the order in which it lists them, as in
            AlexNet, ZFNet and VGG.
        image: (C, H, W).
        layer: name of the layer, such as "conv5".
        unit: number of the map; or of the unit, in a fully connected layer.
        position: row and column within the map; default the strongest.

    Returns:
        (C, H, W): in the units of the image, of either sign.

    Raises:
        ValueError: a network that is no such chain, a kind of layer that cannot be undone, a unit
            or position that does not exist.
    """
    check_image(image)
    steps = _chain(model, layer)
    with evaluation_mode(model):
        expected = activations_at(model, layer, image[None])
        trace = [image[None]]  # the input of each step, in the end its output
        notes: list[Any] = []
        try:
            for step in steps:
                output, note = _forward(step, trace[-1])
                trace.append(output)
                notes.append(note)
            same = torch.allclose(expected, trace[-1], rtol=1e-3, atol=1e-5)
        except RuntimeError:  # shapes that do not fit each other
            same = False
    if not same:
        raise ValueError(
            f"the layers of this {type(model).__name__} up to {layer!r} do not simply run one "
            "after the other, which the deconvnet needs; use backproject(..., rule='deconvnet')"
        )
    signal = _single(trace[-1], layer, unit, position)
    for step, before, note in zip(steps[::-1], trace[-2::-1], notes[::-1], strict=True):
        signal = step_back(step, signal, before, note)
    return signal[0]


_PASSING = (nn.Identity, nn.Dropout, nn.LocalResponseNorm, ResponseNorm)


def _chain(model: nn.Module, layer: str) -> list[nn.Module]:
    """The elementary layers up to and including the one named, in the order of the model."""
    wanted = layer_of(model, layer)
    within = {id(part) for part in wanted.modules()}
    steps: list[nn.Module] = []
    reached = False
    for module in model.modules():
        inside = id(module) in within
        if reached and not inside:
            break
        reached = reached or inside
        elementary = next(module.children(), None) is None or isinstance(module, _PASSING)
        if elementary and not isinstance(module, nn.Sequential):
            steps.append(module)
    return steps


def _forward(step: nn.Module, x: Tensor) -> tuple[Tensor, Any]:
    """Runs one layer and notes what its way back needs: a pooling's switches."""
    if isinstance(step, nn.MaxPool2d):
        return F.max_pool2d(
            x,
            step.kernel_size,
            step.stride,  # pyright: ignore[reportArgumentType]
            step.padding,
            step.dilation,
            step.ceil_mode,
            return_indices=True,
        )
    return step(x.clone()), None  # a ReLU may work in place


def step_back(step: nn.Module, signal: Tensor, before: Tensor, note: Any) -> Tensor:
    """Undoes one layer: a signal like its output becomes one like its input ``before``."""
    if isinstance(step, nn.MaxPool2d):
        height, width = before.shape[2:]
        return unpool(signal, switches=note, size=(height, width))
    if isinstance(step, nn.ReLU):
        return signal.clamp(min=0)
    if isinstance(step, nn.Conv2d) and step.padding_mode == "zeros":
        return _transposed(step, signal, before)
    if isinstance(step, nn.Linear):
        return signal @ step.weight
    if isinstance(step, nn.Flatten):
        return signal.reshape(before.shape)
    if isinstance(step, _PASSING):  # dropout, normalisation
        return signal
    raise ValueError(
        f"the deconvnet knows no way back through {type(step).__name__}; it undoes convolutions, "
        "ReLUs, max pooling and fully connected layers. backproject(..., rule='deconvnet') takes "
        "any network"
    )


def _transposed(conv: nn.Conv2d, signal: Tensor, before: Tensor) -> Tensor:
    """The transposed convolution, of just the size that the input had: the input's gradient."""
    geometry: Any = (conv.stride, conv.padding, conv.dilation, conv.groups)
    return conv2d_input(list(before.shape), conv.weight, signal, *geometry)


# The same by a backward pass


def backproject(
    model: nn.Module,
    images: Tensor,
    layer: str,
    unit: int,
    position: tuple[int, int] | None = None,
    *,
    rule: str = "deconvnet",
) -> Tensor:
    """What in each image excites a unit, by a backward pass in which ReLUs follow a rule.

    A backward pass sends a signal back through convolutions and poolings just as the deconvnet
    does, with transposed filters and switches. They differ in the ReLUs, and in normalisation,
    which the deconvnet skips and this differentiates.

    Args:
        model: any network whose ReLUs are PyTorch's (ReLU6 too).
        images: (N, C, H, W).
        layer: name of the layer, such as "conv5".
        unit: number of the map; or of the unit, in a fully connected layer.
        position: row and column within the map; default the strongest, of each image.
        rule: "deconvnet", "gradient", which is the true one, or "guided"; see ``RULES``.

    Returns:
        (N, C, H, W). The signal starts as the activation itself, as in the deconvnet, so that the
        gradient is scaled by it.

    Raises:
        ValueError: a layer, unit, position or rule that does not exist.
    """
    check_batch(images)
    check_choice("rule", rule, RULES)
    caught: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        caught.append(output)
        return output.clone()

    with torch.enable_grad(), evaluation_mode(model), catching(model, layer, keep):
        pixels = images.detach().clone().requires_grad_()
        with _ReluRule(RULES[rule]):
            model(pixels)
    if len(caught) != 1:
        raise ValueError(f"layer {layer!r} ran {len(caught)} times for one batch, expected once")
    (output,) = caught
    signal = torch.cat(
        [_single(one[None], layer, unit, position) for one in output.detach().unbind()]
    )
    (back,) = torch.autograd.grad(output, pixels, signal)
    return back


def saliency(
    model: nn.Module, images: Tensor, target: int | Tensor, *, rule: str = "gradient"
) -> Tensor:
    """How a class's score would change with each pixel: (N, C, H, W), of either sign.

    Args:
        model: a network that returns scores (N, classes).
        images: (N, C, H, W).
        target: a class, or (N,) one for each image.
        rule: "gradient", the true one; or what ReLUs do instead, see ``RULES``.

    Raises:
        ValueError: arguments that do not fit this description.
    """
    check_batch(images)
    check_choice("rule", rule, RULES)
    with torch.enable_grad(), evaluation_mode(model):
        pixels = images.detach().clone().requires_grad_()
        with _ReluRule(RULES[rule]):
            score = picked(scores_of(model, pixels), target).sum()
    (slopes,) = torch.autograd.grad(score, pixels)
    return slopes


class _Rectify(torch.autograd.Function):
    """min(max(x, 0), top) whose backward pass follows a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float, rule: Callable) -> Tensor:
        ctx.save_for_backward(x)
        ctx.top, ctx.rule = top, rule
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, *signals: Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        return ctx.rule(signals[0] * (x < ctx.top), x), None, None


class _ReluRule(TorchFunctionMode):
    """While it lasts, every ReLU of PyTorch obeys a rule on the way back; no module is touched."""

    _PLAIN = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)

    def __init__(self, rule: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.rule = rule

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._PLAIN:
            return _Rectify.apply(args[0], float("inf"), self.rule)
        if func in (F.relu6, F.hardtanh, F.hardtanh_):
            given = dict(zip(("input", "min_val", "max_val"), args, strict=False)) | kwargs
            if func is F.relu6 or (given.get("min_val"), given.get("max_val")) == (0.0, 6.0):
                return _Rectify.apply(args[0], 6.0, self.rule)
        return func(*args, **kwargs)


# Both


def activations_at(model: nn.Module, layer: str, images: Tensor) -> Tensor:
    """The output of a layer, safe from what follows."""
    caught: list[Tensor] = []

    def keep(output: Tensor) -> Tensor:
        caught.append(output.clone())
        return output

    with catching(model, layer, keep):
        model(images)
    if len(caught) != 1:
        raise ValueError(f"layer {layer!r} ran {len(caught)} times for one batch, expected once")
    return caught[0]


def _single(output: Tensor, layer: str, unit: int, position: tuple[int, int] | None) -> Tensor:
    """A layer's output (1, K, h, w) or (1, K) with all activations but one set to 0."""
    if output.ndim not in (2, 4):
        raise ValueError(
            f"a unit is one map of (N, K, h, w) or one number of (N, K); layer {layer!r} gives "
            f"{tuple(output.shape)}"
        )
    if isinstance(unit, bool) or not isinstance(unit, int) or not 0 <= unit < output.shape[1]:
        raise ValueError(f"layer {layer!r} has units 0 to {output.shape[1] - 1}; got {unit!r}")
    single = torch.zeros_like(output)
    if output.ndim == 2:
        if position is not None:
            raise ValueError(f"a unit of {layer!r} is one number and has no position")
        single[0, unit] = output[0, unit]
        return single
    height, width = output.shape[2:]
    if position is None:
        place = int(output[0, unit].argmax())
        position = place // width, place % width
    row, column = position
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"maps of {layer!r} have {height} x {width} places; got {position}")
    single[0, unit, row, column] = output[0, unit, row, column]
    return single
