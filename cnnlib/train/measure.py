"""How well a network does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Images, batches
from ..models.layers import evaluation_mode
from .compatibility import Loss, check_has_numbers, checked, sample


def evaluate(
    model: nn.Module,
    data: Images,
    *,
    loss: Loss = F.cross_entropy,
    batch_size: int = 500,
    top5: bool = False,
) -> dict[str, float]:
    """Mean loss and fraction of wrong answers, in evaluation mode, on the network's device.

    Args:
        model: maps images (N, C, H, W) to scores (N, classes).
        data: an ImageSet, or a Stream of images that do not fit into memory.
        loss: maps scores and labels to the mean loss over the images.
        batch_size: images at a time; the result depends on it by rounding only.
        top5: also "top5_error", the fraction whose class is not among the five highest scores.

    Returns:
        "loss" and "error", the latter a fraction of the images.

    Raises:
        TypeError, ValueError: network, images and labels do not fit together.
    """
    check_has_numbers(model)
    data = checked(data, "data", model, loss)
    with torch.no_grad(), evaluation_mode(model):
        if top5 and (classes := model(sample(data)[0]).shape[1]) < 6:
            raise ValueError(f"top5 needs more than 5 classes; the network scores {classes}")
    mean_loss, error, top5_error = (
        sums(model, data, loss, batch_size, top5=top5) / len(data)
    ).tolist()
    result = {"loss": mean_loss, "error": error}
    return result | {"top5_error": top5_error} if top5 else result


@torch.no_grad()
def sums(
    model: nn.Module,
    data: Images,
    loss: Loss,
    batch_size: int,
    *,
    share: slice = slice(None),
    top5: bool = False,
) -> Tensor:
    """Loss summed over the images, and numbers of wrong answers, in float64 on the CPU: (3,).

    Args:
        model: in any mode; measured in evaluation mode.
        data: on the model's device.
        loss: mean loss of a batch.
        batch_size: images at a time; the last batch may be smaller and counts accordingly.
        share: part of each batch that is looked at.
        top5: whether to count those wrong even among five answers; else that number is 0.
    """
    total = []
    with evaluation_mode(model):
        for images, labels in batches(data, batch_size, share=share):
            if len(labels) == 0:
                continue
            scores = model(images)
            wrong = (scores.argmax(1) != labels).sum()
            missed = wrong.new_zeros(())
            if top5:
                missed = (scores.topk(5).indices != labels[:, None]).all(1).sum()
            value = loss(scores, labels) * len(labels)
            # counts in float16 or bfloat16 would be rounded
            total.append(torch.stack([n.double() for n in (value, wrong, missed)]))
    if not total:  # more processes than images
        return torch.zeros(3, dtype=torch.float64)
    return torch.stack(total).cpu().sum(0)
