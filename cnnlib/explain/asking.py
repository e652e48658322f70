"""What all ways to look inside share: checked arguments, one layer's output, class scores."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Box(NamedTuple):
    """A rectangle of an image, in pixels; it may reach beyond the image."""

    top: int
    left: int
    height: int
    width: int


@contextmanager
def catching(model: nn.Module, layer: str, keep: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While it lasts, ``keep`` sees each output of a layer, and what it returns goes on instead.

    Args:
        model: any network.
        layer: name as in ``model.get_submodule(layer)``.
        keep: takes the output, returns a tensor of the same shape. What follows may write into what
            it is handed, as a ReLU in place does.

    Raises:
        ValueError: no such layer; TypeError: its output is not one tensor.
    """
    module = layer_of(model, layer)

    def look(_module: nn.Module, _inputs: tuple, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(f"layer {layer!r} returns a {type(output).__name__}, not one tensor")
        return keep(output)

    handle = module.register_forward_hook(look)
    try:
        yield
    finally:
        handle.remove()


def layer_of(model: nn.Module, layer: str) -> nn.Module:
    """A part of the model by its name.

    Raises:
        TypeError: the name is no string. ValueError: there is no such layer.
    """
    if not isinstance(layer, str):
        raise TypeError(
            f"a layer is named as in model.get_submodule, such as 'conv5'; got {layer!r}"
        )
    known = dict(model.named_modules())
    if layer not in known or not layer:
        names = [name for name, _ in model.named_children()]
        raise ValueError(f"the model has no layer {layer!r}; its own are {', '.join(names)}")
    return known[layer]


def check_batch(images: Tensor) -> None:
    """Refuses what is not a batch of images, (N, C, H, W) in floating point."""
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"images must be a floating-point tensor (N, C, H, W); got {described(images)}"
        )


def check_image(image: Tensor) -> None:
    """Refuses what is not one image, (C, H, W) in floating point."""
    if not isinstance(image, Tensor) or image.ndim != 3 or not image.is_floating_point():
        raise ValueError(
            f"image must be one image, a floating-point tensor (C, H, W); got {described(image)}"
        )


def described(value: object) -> str:
    """What came, in a few words."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def scores_of(model: nn.Module, images: Tensor) -> Tensor:
    """What the network says of each image: (N, classes).

    Raises:
        ValueError: it returns something else.
    """
    scores = model(images)
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        raise ValueError(f"the model must return scores (N, classes); got {described(scores)}")
    return scores


def picked(scores: Tensor, target: int | Tensor) -> Tensor:
    """Of each image the score of its class: (N,).

    Args:
        scores: (N, classes).
        target: one class for all images, or (N,) int64.

    Raises:
        ValueError: a class that does not exist, or another number of targets than images.
    """
    count, classes = scores.shape
    targets = torch.as_tensor(target, device=scores.device)
    if targets.dtype.is_floating_point or targets.dtype == torch.bool or targets.ndim > 1:
        raise ValueError(f"target must be a class or one per image, int64; got {target!r}")
    targets = targets.long().expand(count) if targets.ndim == 0 else targets.long()
    if len(targets) != count:
        raise ValueError(f"{len(targets)} targets for {count} images")
    if count and targets.device.type != "meta":
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= classes:
            wrong = low if low < 0 else high
            raise ValueError(f"class {wrong} of a network that knows 0 to {classes - 1}")
    return scores.gather(1, targets[:, None]).squeeze(1)
