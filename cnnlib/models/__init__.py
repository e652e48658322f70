"""The networks, one module per paper, and a table of their names."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from . import (
    alexnet,
    densenet,
    efficientnet,
    googlenet,
    lenet,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    preact_resnet,
    resnet,
    resnext,
    senet,
    squeezenet,
    vgg,
    zfnet,
)

__all__ = ["MODELS", "create_model", "image_size", "list_models", "loss_for"]

# name -> class and the arguments that make it this variant; each module lists its own at its end
MODELS: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
    name: variant
    for module in (  # in order of publication
        lenet,
        alexnet,
        zfnet,
        vgg,
        googlenet,
        resnet,
        squeezenet,
        preact_resnet,
        densenet,
        resnext,
        mobilenet,
        nasnet,
        senet,
        mobilenet_v2,
        mobilenet_v3,
        efficientnet,
    )
    for name, variant in module.MODELS.items()
}

# class -> which loss a network of it is trained with, where that is not cross-entropy alone
LOSSES: dict[type[nn.Module], Callable[[Any], Callable[[Any, Tensor], Tensor]]] = {
    **lenet.LOSSES,
    **googlenet.LOSSES,
    **nasnet.LOSSES,
}

# class -> height and width of the only images that it takes, where that is no option
IMAGE_SIZES: dict[type[nn.Module], int] = {**lenet.IMAGE_SIZES}


def list_models(pattern: str = "*") -> list[str]:
    """Names of the networks that match a shell pattern, in order of publication."""
    return fnmatch.filter(MODELS, pattern)


def create_model(
    name: str, num_classes: int | None = None, in_channels: int | None = None, **options
) -> nn.Module:
    """A network with fresh weights.

    Args:
        name: one of ``list_models()``.
        num_classes: None leaves the paper's number.
        in_channels: channels of the images; None leaves the paper's number.
        **options: those of the network's class, for instance ``batch_norm=True``.

    Raises:
        ValueError: an unknown name or option, or a value that the network does not accept.
    """
    network, variant = _registered(name)
    accepted = list(inspect.signature(network).parameters)
    for option in options:
        if option not in accepted:
            raise ValueError(
                f"{name} has no option {option!r}{_nearest(option, accepted)}; {_all(accepted)}"
            )
    given = {"num_classes": num_classes, "in_channels": in_channels}
    given = {key: value for key, value in given.items() if value is not None}
    return network(**(variant | given | options))


def loss_for(model: nn.Module) -> Callable[[Any, Tensor], Tensor]:
    """The loss that a network is trained with: that of its paper, else cross-entropy.

    It takes what the network returns, in training mode (perhaps with the scores of auxiliary heads)
    as in evaluation mode, and labels (N,), and gives the mean over the N images.
    """
    for kind in type(model).__mro__:
        if kind in LOSSES:
            return LOSSES[kind](model)
    return F.cross_entropy


def image_size(name: str) -> int | None:
    """Height and width, in pixels, of the images that a network is made for, or None.

    None says that it takes images of any size, from a smallest one on. Other networks take one
    size only; it is an option of most of them, ``image_size``, whose default is given here.

    Raises:
        ValueError: an unknown name.
    """
    network, variant = _registered(name)
    option = inspect.signature(network).parameters.get("image_size")
    if option is None:
        return IMAGE_SIZES.get(network)
    return variant.get("image_size", option.default)


def _registered(name: str) -> tuple[type[nn.Module], dict[str, Any]]:
    if name not in MODELS:
        raise ValueError(
            f"unknown model {name!r}{_nearest(name, MODELS, 3)}; "
            f"list_models() names all {len(MODELS)}"
        )
    return MODELS[name]


def _nearest(name: str, known: Iterable[str], count: int = 1) -> str:
    near = difflib.get_close_matches(str(name).lower(), known, n=count)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def _all(known: Iterable[str]) -> str:
    return f"there are {', '.join(known)}"
