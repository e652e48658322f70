"""Networks without numbers, for tests that count or that bring numbers of their own."""

from collections.abc import Callable

import torch
from torch import nn


def on_meta(build: Callable[..., nn.Module], *arguments, **options) -> nn.Module:
    """Built where tensors have a shape and nothing else: costs no memory and no time."""
    with torch.device("meta"):
        return build(*arguments, **options)


def without_numbers(build: Callable[..., nn.Module], *arguments, **options) -> nn.Module:
    """Built without drawing weights, for those that are overwritten anyway."""
    return on_meta(build, *arguments, **options).to_empty(device="cpu")
