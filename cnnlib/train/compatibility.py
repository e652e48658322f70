"""Whether network, images, loss and recipe go together; said before the first step if not."""

from __future__ import annotations

import copy
import errno
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Images, batches
from ..models.layers import evaluation_mode
from .checks import check_number, check_whole
from .recipe import Recipe
from .schedules import Plateau

# What the network returns and labels -> mean over the N images. Labels are whole numbers (N,), or
# shares of the classes (N, classes) where a recipe mixes images or smooths labels.
Loss = Callable[[Any, Tensor], Tensor]


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


def checkpoint_path(checkpoint: str | Path | None, resume: bool, every: float) -> Path | None:
    """The file of a checkpoint, or None if there is to be none; refuses to write over another."""
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True needs the file to resume from: checkpoint=...")
        return None
    check_number("checkpoint_every", every, lambda s: s >= 0, "a number of seconds from 0 on")
    path = Path(checkpoint)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name the file in it, as {path / 'last'}")
    if path.exists() and not resume:
        raise FileExistsError(
            f"{path} holds a training already: pass resume=True to go on with it, or another file"
        )
    return path


def check_folder(path: Path) -> None:
    """OSError, before hours of training, if there is no folder for a file or nothing may enter."""
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"the folder {path.parent} does not exist: make it, for the checkpoint {path.name}"
        )
    as_who_we_are = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    if not os.access(path.parent, os.W_OK | os.X_OK, **as_who_we_are):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def check_classes(train: Images, test: Images | None) -> None:
    """ValueError if label 3, say, is one thing in training and another one in the test."""
    if test is not None and test.classes != train.classes:
        raise ValueError(
            f"train ({train.name}) and test ({test.name}) must have the same classes in the same "
            f"order, got {_few(train.classes)} and {_few(test.classes)}"
        )


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{len(names)} ({shown}, ...)" if len(names) > 5 else f"{len(names)} ({shown})"


def check_recipe(
    recipe: Recipe,
    train: Images,
    test: Images | None,
    model: nn.Module,
    loss: Loss,
    processes: int,
    micro_batch: int | None,
) -> None:
    """ValueError or TypeError if these images cannot be trained on by this recipe."""
    if micro_batch is not None:
        check_whole("micro_batch", micro_batch, at_least=1)
    last = (len(train) - 1) % recipe.batch_size + 1
    if last < processes:
        raise ValueError(
            f"{len(train)} images in batches of {recipe.batch_size} leave {last} for the last "
            f"batch, too few for {processes} processes: choose another batch_size or number of "
            "images"
        )
    if last // processes == 1 or micro_batch == 1:
        check_lone_image(train, model, "the last batch" if micro_batch != 1 else "a micro-batch")
    elif micro_batch is not None and any(
        part % micro_batch == 1
        for size in {last, min(recipe.batch_size, len(train))}
        for part in (size // processes, math.ceil(size / processes))
    ):
        check_lone_image(train, model, "the last micro-batch of a batch")
    schedule = recipe.schedule
    if test is None and isinstance(schedule, Plateau) and schedule.measure.startswith("test"):
        raise ValueError(f"{schedule} waits for the {schedule.measure}: pass test images")
    if recipe.label_smoothing > 0 or (recipe.augment is not None and recipe.augment.mixup > 0):
        check_soft_labels(train, model, loss)
