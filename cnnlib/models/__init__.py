"""The networks, one module per paper, and a table of their names."""

import difflib
import fnmatch
import inspect

from torch import nn

from .lenet import MODERN, LeNet5

__all__ = ["MODELS", "create_model", "list_models"]

MODELS: dict[str, tuple[type[nn.Module], dict]] = {  # in order of publication
    # name -> class and the arguments that make it this variant
    "lenet5": (LeNet5, {}),
    "lenet5_modern": (LeNet5, MODERN),
}


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
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}{_nearest(name, MODELS)}; {_all(MODELS)}")
    network, variant = MODELS[name]
    accepted = list(inspect.signature(network).parameters)
    for option in options:
        if option not in accepted:
            raise ValueError(
                f"{name} has no option {option!r}{_nearest(option, accepted)}; {_all(accepted)}"
            )
    given = {"num_classes": num_classes, "in_channels": in_channels}
    given = {key: value for key, value in given.items() if value is not None}
    return network(**(variant | given | options))


def _nearest(name: str, known) -> str:
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _all(known) -> str:
    return f"there are {', '.join(known)}"
