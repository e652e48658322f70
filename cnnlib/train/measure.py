"""Whether network, images and loss fit together, and how well the network does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Images, batches
from .surroundings import evaluation_mode

# What the network returns and labels -> mean over the N images. Labels are whole numbers (N,), or
# shares of the classes (N, classes) where a recipe mixes images or smooths labels.
Loss = Callable[[Any, Tensor], Tensor]


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


def sample(data: Images) -> tuple[Tensor, Tensor]:
    """The first image (1, C, H, W) and its label (1,)."""
    return next(iter(batches(data, 1, order=torch.tensor([0]))))


def checked(data: Images, name: str, model: nn.Module, loss: Loss, precision: str = "no") -> Images:
    """The images on the network's device, once it is certain that both fit together."""
    if not isinstance(data, Images):
        raise TypeError(
            f"{name} must be an ImageSet or a Stream (see cnnlib.data and cnnlib.streams), "
            f"got {type(data).__name__}"
        )
    if len(data) == 0:
        raise ValueError(f"{name} ({data.name}) holds no images")
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    dtype = data.dtype if weight is None else weight.dtype
    if data.dtype != dtype:
        remedy = f"convert one of them, as by {name}.to(dtype={dtype})"
        if not data.dtype.is_floating_point:
            remedy = "bring the images to floating point first, as by .rescaled(0, 1)"
        raise TypeError(
            f"the images of {name} are {data.dtype} but the weights of "
            f"{type(model).__name__} are {dtype}: {remedy}"
        )
    if precision != "no" and dtype != torch.float32:
        raise ValueError(
            f"mixed precision {precision!r} is for torch.float32 networks, this one is {dtype}: "
            'use precision="no" or convert network and images'
        )
    if weight is not None:
        data = data.to(device=weight.device)
    images, labels = sample(data)
    with evaluation_mode(model), torch.no_grad():  # one image tells the number of classes
        try:
            scores = model(images)
        except (IndexError, RuntimeError, TypeError, ValueError) as fault:
            raise ValueError(
                f"{type(model).__name__} does not take the images of {name} ({data.name}), of "
                f"shape {tuple(images.shape[1:])}: {fault}"
            ) from fault
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(
                f"the network must give scores of shape (N, classes), for one image of {name} "
                f"came {shape}"
            )
        largest, classes = int(data.labels.max()), scores.shape[1]
        if largest >= classes:
            raise ValueError(
                f"labels of {name} ({data.name}) go up to {largest}, but the network scores only "
                f"the {classes} classes 0 to {classes - 1}: choose num_classes={largest + 1}"
            )
        try:
            value = loss(scores, labels)
        except (IndexError, RuntimeError, TypeError, ValueError) as fault:
            raise TypeError(
                "the loss must take scores (N, classes) and labels (N,), and give the mean over "
                f"the images; {name_of(loss)} says: {fault}"
            ) from fault
        if not isinstance(value, Tensor) or value.ndim != 0:
            gave = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise ValueError(
                "the loss must be one number in a tensor, the mean over the images; "
                f"{name_of(loss)} gave {gave}"
            )
    return data


def check_has_numbers(model: nn.Module) -> None:
    """ValueError if weights have a shape and nothing else, as on the device "meta"."""
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise ValueError(
            f"weights of {type(model).__name__} hold no numbers (device meta): build the network "
            "on another device, or give it weights first"
        )


@torch.no_grad()
def loss_of_zeros(model: nn.Module, data: Images, loss: Loss) -> float:
    """Size of the loss of one image if all scores are 0, as of a network that knows nothing."""
    images, labels = sample(data)
    with evaluation_mode(model):
        return loss(torch.zeros_like(model(images)), labels).abs().item()


@torch.no_grad()
def check_soft_labels(data: Images, model: nn.Module, loss: Loss) -> None:
    """ValueError if the loss cannot take labels that are spread over the classes."""
    images, labels = sample(data)
    with evaluation_mode(model):
        scores = model(images)
    try:
        value = loss(scores, F.one_hot(labels, scores.shape[1]).to(scores.dtype))
    except (RuntimeError, TypeError, ValueError, IndexError) as fault:
        raise ValueError(
            "label smoothing and mixup spread a label over classes: the loss must take labels of "
            f"shape (N, classes), as torch's cross_entropy does; {name_of(loss)} says: {fault}"
        ) from fault
    if value.ndim != 0:
        raise ValueError(
            "label smoothing and mixup spread a label over classes; with such labels, of shape "
            f"(N, classes), {name_of(loss)} gave shape {tuple(value.shape)} instead of one number"
        )


@torch.no_grad()
def check_lone_image(data: Images, model: nn.Module, what: str) -> None:
    """ValueError if the network cannot be trained on a batch of one image.

    Batch normalisation of 1x1 maps is the usual reason: one number has no variance.
    """
    images, _ = sample(data)
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        try:
            copy.deepcopy(model).train()(images)
        except ValueError as fault:
            raise ValueError(
                f"{what} holds a single image, on which {type(model).__name__} cannot be trained "
                f"({fault}): choose a batch_size that leaves none or more over, or another number "
                "of images"
            ) from fault


def name_of(loss: Loss) -> str:
    """What the loss is called."""
    return getattr(loss, "__name__", type(loss).__name__)
