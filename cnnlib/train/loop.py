"""The one training loop and the one recipe that all networks of the book share.

`fit` is a plain PyTorch loop on Hugging Face accelerate: CPU or GPU, mixed precision and several
processes are arguments or launchers, not other code. The recipe is stochastic gradient descent with
Nesterov momentum, a learning rate that rises and falls linearly once ("one-cycle", after Smith and
Topin, 2017, arXiv:1708.07120), and weight decay on weights but not on biases and normalisation.

What repeats: with the same initial weights, seed and number of threads, two runs on one CPU agree
bit for bit. A different number of threads or CPU type rounds differently, which training amplifies
in float32 and hardly at all in float64. `fit` leaves the number of threads alone.
"""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm as plain_tqdm

from ..data import ImageSet, batches
from .history import History, Repeats, line
from .recipe import RECIPE, Recipe

Loss = Callable[[Tensor, Tensor], Tensor]  # scores (N, classes), labels (N,) -> mean over the N


def fit(
    model: nn.Module,
    train: ImageSet,
    test: ImageSet | None = None,
    *,
    recipe: Recipe = RECIPE,
    loss: Loss = F.cross_entropy,
    seed: int = 0,
    device: str = "auto",
    precision: str = "no",
    progress: bool | None = None,
    history: History | None = None,
) -> History:
    """Trains a network in place and tells how it went.

    The network starts from the weights that it has and ends on the chosen device, in evaluation
    mode, without gradients; it trains in its own dtype, which must be that of the images. The
    global random state of torch is as before afterwards; those of NumPy and Python are not used.

    Under `torchrun --nproc_per_node N` every process trains on its share of each batch of
    `recipe.batch_size` images and all end with the same weights and history, to rounding those of
    one process (but for batch normalisation, which sees only the share of its process, and
    dropout, which each process draws for itself).

    Args:
        model: maps images (N, C, H, W) to scores (N, classes); while it trains, perhaps to a tuple
            that begins with them.
        train: images to learn from.
        test: images measured after each epoch; they never influence the weights.
        recipe: how to train.
        loss: maps what the network returns, in training and in evaluation mode, and the labels to
            the mean loss over the images.
        seed: of all chance during training: order of the images, augmentation and dropout. The
            initial weights are drawn before; see `seed_everything`.
        device: "cpu", "cuda", or "auto" for CUDA where there is such a device.
        precision: "bf16" or "fp16" (CUDA only) for mixed precision, for float32 networks.
        progress: True prints a line per epoch, under a moving bar in a terminal or notebook; False
            is silent; None decides for True where somebody watches, for False in scripts, tests
            and, by the environment variable CNNLIB_BOOK=1, in the book.
        history: an empty History to fill, for those who want to look at it while training runs or
            after it was broken off, as by Ctrl-C: it then holds all finished epochs.

    Returns:
        The history, with a row per epoch.

    Raises:
        TypeError, ValueError: something does not fit together; said before the first step.
        RuntimeError: the loss became infinite or not a number.
    """
    history = History() if history is None else history
    if history.rows:
        raise ValueError(f"history already holds {len(history.rows)} epochs; pass an empty one")
    with _accelerator(device, precision) as accelerator:
        model.to(accelerator.device)
        train = _checked(train, "train", model, loss, precision)
        test = test if test is None else _checked(test, "test", model, loss, precision)
        steps = recipe.epochs * _batches_per_epoch(len(train), recipe, accelerator.num_processes)
        share = slice(accelerator.process_index, None, accelerator.num_processes)  # of each batch
        order = torch.Generator().manual_seed(seed)  # the same on all processes
        optimizer = recipe.optimizer(model)
        if accelerator.scaler is not None:  # float16: scale the loss, skip steps that overflow
            optimizer = accelerator.prepare(optimizer)  # elsewhere only lost time in every step
        # accelerate puts a new forward on what it prepares: a shell keeps the network as it is.
        shell = accelerator.prepare(nn.Sequential(model))
        _describe(history, accelerator, model, train, recipe, loss, seed)
        step = 0
        with (
            _own_random_state(seed + 1 + accelerator.process_index, accelerator.device),
            _progress(progress if accelerator.is_main_process else False, steps) as (bar, say),
            _orderly_end(model, history),
        ):
            for epoch in range(1, recipe.epochs + 1):
                shell.train()
                losses, sizes, wrong = [], [], torch.tensor(0, device=accelerator.device)
                for images, labels in batches(
                    train, recipe.batch_size, generator=order, augment=recipe.augment
                ):
                    step += 1
                    for group in optimizer.param_groups:
                        group["lr"] = recipe.lr_at(step, steps)
                    scores, answers = shell(images[share]), labels[share]
                    # Gradients are averaged over processes, so uneven shares need weights.
                    weight = accelerator.num_processes * len(answers) / len(labels)
                    value = weight * loss(scores, answers)
                    optimizer.zero_grad()
                    accelerator.backward(value)
                    optimizer.step()
                    # Numbers stay on the device: reading one here would make a GPU wait.
                    losses.append(value.detach())
                    sizes.append(len(labels))
                    if isinstance(scores, tuple):  # those of auxiliary heads follow
                        scores = scores[0]
                    wrong += (scores.argmax(1) != answers).sum()
                    bar.update()

                batch_losses = _total(torch.stack(losses), accelerator) / accelerator.num_processes
                _stop_unless_finite(batch_losses, recipe, epoch, steps)
                mean_loss = batch_losses @ torch.tensor(sizes).double() / len(train)
                row = {"epoch": epoch, "lr": recipe.lr_at(step, steps)}
                row["train_loss"] = mean_loss.item()
                row["train_error"] = _total(wrong, accelerator).item() / len(train)
                for buffer in model.buffers():
                    broadcast(buffer)  # every process gets the first one's running statistics
                if test is not None:
                    network = accelerator.unwrap_model(shell)
                    sums = _total(_sums(network, test, loss, 500, share), accelerator)
                    row["test_loss"], row["test_error"] = (sums / len(test)).tolist()
                history.rows.append(row)
                say(line(row, recipe.epochs))
    return history


def fit_seeds(
    make: Callable[[], nn.Module],
    train: ImageSet,
    test: ImageSet,
    seeds: Sequence[int],
    **options: Any,
) -> Repeats:
    """Trains fresh networks, one per seed: the seed sets the initial weights and then `fit`.

    Args:
        make: called without arguments, gives a network with fresh weights.
        train: images to learn from.
        test: images measured after each epoch.
        seeds: at least one.
        **options: further arguments of `fit`.

    Raises:
        ValueError: no seeds, and whatever `fit` raises.
    """
    if not seeds:
        raise ValueError("fit_seeds needs at least one seed")
    repeats = Repeats()
    for seed in seeds:
        seed_everything(seed)
        model = make()
        repeats.histories.append(fit(model, train, test, seed=seed, **options))
        repeats.models.append(model)
    return repeats


def evaluate(
    model: nn.Module, data: ImageSet, *, loss: Loss = F.cross_entropy, batch_size: int = 500
) -> dict[str, float]:
    """Mean loss and fraction of wrong answers, in evaluation mode, on the network's device.

    Raises:
        TypeError, ValueError: network, images and labels do not fit together.
    """
    data = _checked(data, "data", model, loss)
    mean_loss, error = (_sums(model, data, loss, batch_size) / len(data)).tolist()
    return {"loss": mean_loss, "error": error}


def seed_everything(seed: int) -> None:
    """Seeds torch (all devices), NumPy and Python: call it before a network draws its weights."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _checked(
    data: ImageSet, name: str, model: nn.Module, loss: Loss, precision: str = "no"
) -> ImageSet:
    """The images on the network's device, once it is certain that both fit together."""
    if not isinstance(data, ImageSet):
        raise TypeError(f"{name} must be an ImageSet (see cnnlib.data), got {type(data).__name__}")
    if len(data) == 0:
        raise ValueError(f"{name} ({data.name}) holds no images")
    weight = next((p for p in model.parameters() if p.is_floating_point()), None)
    dtype = data.images.dtype if weight is None else weight.dtype
    if data.images.dtype != dtype:
        remedy = f"convert one of them, as by {name}.to(dtype={dtype})"
        if not data.images.is_floating_point():
            remedy = "bring the images to floating point first, as by .rescaled(0, 1)"
        raise TypeError(
            f"the images of {name} are {data.images.dtype} but the weights of "
            f"{type(model).__name__} are {dtype}: {remedy}"
        )
    if precision != "no" and dtype != torch.float32:
        raise ValueError(
            f"mixed precision {precision!r} is for torch.float32 networks, this one is {dtype}: "
            'use precision="no" or convert network and images'
        )
    if weight is not None:
        data = data.to(device=weight.device)
    with _evaluation_mode(model), torch.no_grad():  # one image tells the number of classes
        scores = model(data.images[:1])
        if not isinstance(scores, Tensor) or scores.ndim != 2:
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(
                f"the network must give scores of shape (N, classes), for one image of {name} "
                f"came {shape}"
            )
        largest, classes = int(data.labels.max()), scores.shape[1]
        if largest >= classes:
            raise ValueError(
                f"the labels of {name} ({data.name}) go up to {largest}, but the network scores "
                f"only the {classes} classes 0 to {classes - 1}: choose num_classes={largest + 1}"
            )
        value = loss(scores, data.labels[:1])
        if value.ndim != 0:
            raise ValueError(
                "the loss must be one number, the mean over the images; "
                f"{getattr(loss, '__name__', loss)} gave shape {tuple(value.shape)}"
            )
    return data


def _total(tensor: Tensor, accelerator: Accelerator) -> Tensor:
    """The sum over all processes, in float64 on the CPU."""
    return cast(Tensor, accelerator.reduce(tensor.to(accelerator.device), "sum")).cpu().double()


@torch.no_grad()
def _sums(
    model: nn.Module, data: ImageSet, loss: Loss, batch_size: int, share: slice = slice(None)
) -> Tensor:
    """Loss summed over the images and number of wrong answers, in float64 on the CPU: (2,).

    Args:
        model: in any mode; measured in evaluation mode.
        data: on the model's device.
        loss: mean loss of a batch.
        batch_size: images at a time; the last batch may be smaller and counts accordingly.
        share: part of each batch that is looked at.
    """
    sums = []
    with _evaluation_mode(model):
        for images, labels in batches(data, batch_size):
            images, labels = images[share], labels[share]
            if len(labels) > 0:
                scores = model(images)
                wrong = (scores.argmax(1) != labels).sum()
                value = loss(scores, labels) * len(labels)
                sums.append(torch.stack((value, wrong.to(value.dtype))))
    if not sums:  # more processes than images
        return torch.zeros(2, dtype=torch.float64)
    return torch.stack(sums).cpu().double().sum(0)


def _batches_per_epoch(images: int, recipe: Recipe, processes: int) -> int:
    """How many batches cover the images; ValueError if a process would get none of the last one."""
    count = math.ceil(images / recipe.batch_size)
    last = images - (count - 1) * recipe.batch_size
    if last < processes:
        raise ValueError(
            f"{images} images in batches of {recipe.batch_size} leave {last} for the last batch, "
            f"too few for {processes} processes: choose another batch_size or number of images"
        )
    return count


def _describe(
    history: History,
    accelerator: Accelerator,
    model: nn.Module,
    train: ImageSet,
    recipe: Recipe,
    loss: Loss,
    seed: int,
) -> None:
    """Notes in the history what is trained and how."""
    history.recipe = recipe
    history.seed = seed
    history.model = type(model).__name__
    history.loss = getattr(loss, "__name__", type(loss).__name__)
    history.dtype = str(train.images.dtype).removeprefix("torch.")
    history.precision = accelerator.mixed_precision
    history.device = accelerator.device.type
    history.processes = accelerator.num_processes


def _stop_unless_finite(losses: Tensor, recipe: Recipe, epoch: int, steps: int) -> None:
    """RuntimeError naming the first step of the epoch whose loss is infinite or not a number."""
    bad = (~losses.isfinite()).nonzero().flatten().tolist()
    if bad:
        step = (epoch - 1) * len(losses) + bad[0] + 1
        raise RuntimeError(
            f"the loss became {losses[bad[0]].item()} in step {step} of {steps} (epoch {epoch}), "
            f"at a learning rate of {recipe.lr_at(step, steps):.3g}: lower Recipe.lr (now "
            f"{recipe.lr:.3g}), raise Recipe.warmup, or look for images with extreme values"
        )


@contextmanager
def _accelerator(device: str, precision: str) -> Iterator[Accelerator]:
    """An Accelerator for one training.

    accelerate keeps device and precision once per process and refuses others later. Each training
    gets a clean slate, and whoever uses accelerate around it finds their own state again.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f'device must be "auto", "cpu" or "cuda", got {device!r}')
    if precision not in ("no", "bf16", "fp16"):
        raise ValueError(f'precision must be "no", "bf16" or "fp16", got {precision!r}')
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError('device="cuda", but torch finds no such device; use "cpu" or "auto"')
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    if precision == "fp16" and on_cpu:
        raise ValueError('precision="fp16" needs a CUDA device; on the CPU use "bf16" or "no"')

    states = (AcceleratorState, PartialState, GradientState)
    saved = [dict(state._shared_state) for state in states]
    for state in states:
        state._shared_state.clear()
    try:
        yield Accelerator(cpu=on_cpu, mixed_precision=precision)
    finally:
        for state, values in zip(states, saved, strict=True):
            state._shared_state.clear()
            state._shared_state.update(values)


@contextmanager
def _own_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global generators, from which dropout draws, and puts them back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every layer then returns to the mode that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _orderly_end(model: nn.Module, history: History) -> Iterator[None]:
    """Whatever ends a training, Ctrl-C included: network usable, finished epochs in the message."""
    start = time.perf_counter()
    try:
        yield
    except BaseException as error:
        epochs = f"{len(history.rows)} of {history.recipe.epochs} epochs"
        error.add_note(
            f"fit was stopped after {epochs}; the network keeps the weights of its last step. "
            f"Pass history=History() to keep the rows of an interrupted training.\n{history}"
        )
        raise
    finally:
        model.eval()
        model.zero_grad()
        history.seconds = time.perf_counter() - start


@contextmanager
def _progress(wanted: bool | None, steps: int) -> Iterator[tuple[Any, Callable[[str], object]]]:
    """A bar over all steps, which only shows where somebody watches, and a way to print a line."""
    watched = wanted is not False and _is_watched()
    if watched:  # picks the form for terminal or notebook; costs an import
        from tqdm.auto import tqdm
    else:
        tqdm = plain_tqdm
    silent = wanted is False or (wanted is None and not watched)
    with tqdm(total=steps, disable=not watched, unit="step", leave=False) as bar:
        yield bar, (lambda line: None) if silent else bar.write


def _is_watched() -> bool:
    """Whether a person looks on: in a notebook or terminal, and not while the book is made."""
    if os.environ.get("CNNLIB_BOOK") == "1":
        return False
    ipython = sys.modules.get("IPython")
    in_notebook = ipython is not None and hasattr(ipython.get_ipython(), "kernel")
    return in_notebook or sys.stderr.isatty()
