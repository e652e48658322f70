"""What tests of training learn with: easy images, a small network, and a loop written by hand."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib.data import ImageSet, batches
from cnnlib.train import Recipe


def stripes(
    n: int, seed: int = 0, size: int = 8, dtype: torch.dtype = torch.float32, channels: int = 1
) -> ImageSet:
    """Noisy images of class 0 (bright upper half), 1 (left), 2 (neither): easy, not trivial."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    images = torch.randn(n, channels, size, size, generator=generator, dtype=dtype)
    images[labels == 0, :, : size // 2] += 1
    images[labels == 1, :, :, : size // 2] += 1
    return ImageSet("stripes", images, labels, ("upper", "left", "neither"))


def small_net(
    seed: int = 0,
    dropout: float = 0.0,
    norm: bool = False,
    dtype: torch.dtype = torch.float32,
    channels: int = 1,
) -> nn.Sequential:
    """A convolution and a linear layer, for `stripes`."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.BatchNorm2d(4) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * 6 * 6, 3),
    ).to(dtype)


def weights(model: nn.Module) -> Tensor:
    """All parameters, one after the other."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def by_hand(
    model: nn.Module,
    train: ImageSet,
    recipe: Recipe,
    *,
    seed: int = 0,
    optimizer: torch.optim.Optimizer | None = None,
    loss: Callable[[Any, Tensor], Tensor] = F.cross_entropy,
    before_step: Callable[[], object] = lambda: None,
    after_step: Callable[[], object] = lambda: None,
    after_epoch: Callable[[], dict[str, Any]] = dict,
) -> list[float]:
    """The steps of a recipe in plain PyTorch, without anything that `fit` is made of.

    Args:
        model: trained in place.
        train: in memory.
        recipe: of which only epochs, batch size, learning rates and augmentation are looked at.
        seed: of the order and the augmentation.
        optimizer: by default the recipe's, in its usual form.
        loss: as the training sees it, with smoothed labels if it needs them.
        before_step: called between gradients and update, after_step after it.
        after_step: see there.
        after_epoch: gives the row of the finished epoch, for a schedule that looks at it.

    Returns:
        The loss of every step.
    """
    optimizer = optimizer or recipe.make_optimizer(model, fused=False)
    steps = recipe.epochs * -(-len(train) // recipe.batch_size)
    generator = torch.Generator().manual_seed(seed)
    losses, rows = [], []
    model.train()
    for _ in range(recipe.epochs):
        for images, labels in batches(
            train, recipe.batch_size, generator=generator, augment=recipe.augment
        ):
            for group in optimizer.param_groups:
                group["lr"] = recipe.lr_at(len(losses) + 1, steps, rows)
            optimizer.zero_grad()
            value = loss(model(images), labels)
            value.backward()
            before_step()
            optimizer.step()
            after_step()
            losses.append(value.item())
        rows.append(after_epoch())
        model.train()
    return losses
