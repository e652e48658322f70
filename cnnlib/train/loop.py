"""The one training loop that all networks of the book share.

`fit` is a plain PyTorch loop on Hugging Face accelerate: CPU or GPU, mixed precision and several
processes are arguments or launchers, not other code. How it trains is data, a `Recipe`.

What repeats: with the same initial weights, seed and number of threads, two runs on one CPU agree
bit for bit, also if one of them was interrupted and resumed from its checkpoint. A different number
of threads or CPU type rounds differently, which training amplifies in float32 and hardly at all in
float64. `fit` leaves the number of threads alone. On a GPU the same needs
`torch.backends.cudnn.deterministic = True`.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Images, batches
from .compatibility import (
    Loss,
    check_classes,
    check_folder,
    check_has_numbers,
    check_recipe,
    checked,
    checkpoint_path,
    loss_of_zeros,
    name_of,
)
from .history import History, Repeats, line
from .measure import sums
from .progress import Progress
from .recipe import RECIPE, Recipe
from .saving import Keeper, Position, tensors_digest
from .steps import Stepper
from .surroundings import Interruption, accelerator, own_random_state

LOOK = 50  # steps between two looks at the loss: reading a number makes a GPU wait
AGREE = 10  # steps between two agreements of several processes whether to save or to stop
DIVERGED = 10.0  # a mean loss of so many times that at first is no learning any more


def fit(
    model: nn.Module,
    train: Images,
    test: Images | None = None,
    *,
    recipe: Recipe = RECIPE,
    loss: Loss = F.cross_entropy,
    seed: int = 0,
    device: str = "auto",
    precision: str = "no",
    channels_last: bool = False,
    compile: bool = False,
    micro_batch: int | None = None,
    progress: bool | None = None,
    history: History | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    checkpoint_every: float = 60.0,
    after_epoch: Callable[[History], object] | None = None,
) -> History:
    """Trains a network in place and tells how it went.

    The network starts from the weights that it has and ends on the chosen device, in evaluation
    mode, without gradients; it trains in its own dtype, which must be that of the images. With
    `recipe.ema` it ends with the averaged weights, which are also those that are measured. The
    global random state of torch is as before afterwards; those of NumPy and Python are not used. A
    network with a method `set_progress` is told before each epoch how much of the training is
    behind it, from 0 in the first epoch to 1 in the last.

    Under `torchrun --nproc_per_node N` every process trains on its share of each batch of
    `recipe.batch_size` images and all end with the same weights and history, to rounding those of
    one process (but for batch normalisation, which sees only the share of its process, and
    dropout, which each process draws for itself).

    Args:
        model: maps images (N, C, H, W) to scores (N, classes); while it trains, perhaps to a tuple
            that begins with them.
        train: images to learn from: an ImageSet in memory or a Stream.
        test: images measured after each epoch. They never influence the weights, unless the
            recipe's schedule waits for a plateau of their error.
        recipe: how to train.
        loss: maps what the network returns, in training and in evaluation mode, and the labels to
            the mean loss over the images.
        seed: of all chance during training: order of the images, augmentation and dropout. The
            initial weights are drawn before; see `seed_everything`.
        device: "cpu", "cuda", or "auto" for CUDA where there is such a device.
        precision: "bf16" or "fp16" (CUDA only) for mixed precision, for float32 networks.
        channels_last: keeps the channels of a pixel together in memory: the same numbers to
            rounding, faster in most convolutions.
        compile: runs the network through `torch.compile` while it trains (not while it is
            measured): the same numbers to rounding.
        micro_batch: most images that a process passes through the network at a time. A larger
            batch is split and its gradients are summed up, which saves memory: the same numbers
            to rounding, but for batch normalisation and dropout.
        progress: True prints a line per epoch, under a moving bar in a terminal or notebook; False
            is silent; None decides for True where somebody watches, for False in scripts, tests
            and, by the environment variable CNNLIB_BOOK=1, in the book.
        history: an empty History to fill, for those who want to look at it while training runs or
            after it was broken off, as by Ctrl-C: it then holds all finished epochs.
        checkpoint: file in which the training is kept: after every epoch, within it every
            `checkpoint_every` seconds, and when Ctrl-C or SIGTERM ends it.
        resume: goes on from `checkpoint` if that file exists and is of this training: network,
            images, recipe, loss, seed, dtype and precision must be the same. Devices, processes,
            `channels_last`, `compile` and `micro_batch` may differ, which changes the rest of the
            training by rounding (and dropout, where processes are added).
        checkpoint_every: seconds.
        after_epoch: called by the main process with the history after each epoch.

    Returns:
        The history, with a row per epoch.

    Raises:
        TypeError, ValueError: something does not fit together; said before the first step.
        RuntimeError: the loss became infinite, not a number, or far larger than at the beginning.
        FileExistsError: there is such a checkpoint, and `resume` was not asked for.
        OSError: the checkpoint cannot be read or written; the file is as before.
        KeyboardInterrupt: after Ctrl-C; after SIGTERM too where there is a checkpoint.
    """
    history = History() if history is None else history
    if history.rows:
        raise ValueError(f"history already holds {len(history.rows)} epochs; pass an empty one")
    if not isinstance(recipe, Recipe):
        raise TypeError(
            f"recipe must be a Recipe, got {type(recipe).__name__}: Recipe.from_dict makes one of "
            "a dict, paper_recipe and fast_recipe of a name"
        )
    path = checkpoint_path(checkpoint, resume, checkpoint_every)
    with accelerator(device, precision) as hub:
        if path is not None and hub.is_main_process:
            check_folder(path)
        check_has_numbers(model)
        layout = torch.channels_last if channels_last else torch.preserve_format
        model.to(hub.device).to(memory_format=layout)
        train = checked(train, "train", model, loss, precision)
        test = test if test is None else checked(test, "test", model, loss, precision)
        check_classes(train, test)
        check_recipe(recipe, train, test, model, loss, hub.num_processes, micro_batch)
        chance = torch.Generator().manual_seed(seed)  # the same on all processes
        stepper = Stepper(model, recipe, loss, hub, layout, compile, micro_batch)
        _describe(history, hub, model, train, recipe, loss, seed)
        keeper = Keeper(
            path,
            checkpoint_every,
            {} if path is None else _about(history, model, train, test),
            hub,
            model,
            stepper.optimizer,
            stepper.averaged,
            chance,
            history,
        )
        with own_random_state(seed + 1 + hub.process_index, hub.device):
            at = keeper.restore() or Position(wrong=torch.tensor(0, device=hub.device))
            training = _Training(train, test, recipe, loss, seed, hub, chance, stepper, keeper, at)
            wanted = progress if hub.is_main_process else False
            shown = Progress.over(wanted, training.steps, done=training.step)
            with (
                _orderly_end(model, history, keeper),
                shown as training.shown,
                training.interruption.watched(path is not None),
            ):
                training.run(after_epoch)
                stepper.take_average()
                if training.stopped:  # in the last epoch: all is done, yet nothing should follow
                    raise KeyboardInterrupt
    return history


@dataclass
class _Training:
    """A training at some moment; `fit` says what the parts are."""

    train: Images
    test: Images | None
    recipe: Recipe
    loss: Loss
    seed: int
    hub: Accelerator
    chance: torch.Generator
    stepper: Stepper
    keeper: Keeper
    at: Position

    def __post_init__(self) -> None:
        self.epoch_steps = math.ceil(len(self.train) / self.recipe.batch_size)
        self.steps = self.recipe.epochs * self.epoch_steps
        self.share = slice(self.hub.process_index, None, self.hub.num_processes)  # of each batch
        self.interruption = Interruption()
        self.stopped = False  # whether some process was asked to stop
        self.shown: Progress
        self._began = 0.0  # on the clock, as if the epoch had never been interrupted
        self._wrong: list[Tensor] = []  # answers in each step since the last look

    @property
    def history(self) -> History:
        return self.keeper.history

    @property
    def step(self) -> int:
        """How many steps are done."""
        return (self.at.epoch - 1) * self.epoch_steps + self.at.batch

    def run(self, after_epoch: Callable[[History], object] | None) -> None:
        """The loop: from where the training is to its end."""
        at, recipe, rows = self.at, self.recipe, self.history.rows
        while at.epoch <= recipe.epochs:
            self._began = time.perf_counter() - at.seconds
            self.stepper.begin_epoch(at.epoch)
            self.shown.start_clock()
            with self._rest_of_epoch() as rest:
                for step, (images, labels) in enumerate(rest, start=self.step + 1):
                    lr, batch_size = (
                        recipe.lr_at(step, self.steps, rows),
                        self._batch_size(at.batch),
                    )
                    value, wrong = self.stepper.step(images, labels, lr, batch_size)
                    # Numbers stay on the device: reading one here would make a GPU wait.
                    at.losses.append(value)
                    self._wrong.append(wrong)
                    at.batch += 1
                    self.shown.move(batch_size)
                    if at.batch % LOOK == 0 or step == 1:
                        self._look()
                    if self.keeper.path is not None and at.batch < self.epoch_steps:
                        self._keep_or_stop()
            at.seconds = time.perf_counter() - self._began
            self._end_epoch()
            self.keeper.save(at)
            if after_epoch is not None and self.hub.is_main_process:
                after_epoch(self.history)
            self.stopped = any(self._wished(self.interruption.requested))
            if self.stopped and at.epoch <= recipe.epochs:
                raise KeyboardInterrupt

    @contextmanager
    def _rest_of_epoch(self) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        """The batches of the epoch that are still to come, and of each this process's share."""
        at, size = self.at, self.recipe.batch_size
        if at.batch == 0:
            at.drawn = self.chance.get_state()
            order = self.train.order(self.chance)
        else:  # resumed: the order is drawn again, then chance goes on from where it was
            assert at.drawn is not None
            reached = self.chance.get_state()
            order = self.train.order(self.chance.set_state(at.drawn))
            self.chance.set_state(reached)
        rest = batches(
            self.train,
            size,
            generator=self.chance,
            augment=self.recipe.augment,
            order=order[at.batch * size :],
            share=self.share,
            salt=self.seed * 1_000_003 + at.epoch,
        )
        # A stream's workers end with the pass, also if a step fails and its traceback is kept.
        with closing(cast(Generator, rest)):
            yield rest

    def _batch_size(self, batch: int) -> int:
        """Images of a batch, counted from 0, over all processes."""
        return min(self.recipe.batch_size, len(self.train) - batch * self.recipe.batch_size)

    def _look(self) -> None:
        """Stops a training that does not learn, and shows how the last steps went."""
        at = self.at
        if self._wrong:
            at.wrong += torch.stack(self._wrong).sum()
            self._wrong.clear()
        losses = _total(torch.stack(at.losses[-LOOK:]), self.hub) / self.hub.num_processes
        self._check(losses, self.step - len(losses) + 1)
        seen = min(at.batch * self.recipe.batch_size, len(self.train))
        self.shown.show(losses.mean().item(), _total(at.wrong, self.hub).item() / seen)

    def _check(self, losses: Tensor, first_step: int) -> None:
        """RuntimeError if one loss is infinite or not a number, or all are far too large.

        Args:
            losses: mean losses of successive batches, over all processes: (steps,).
            first_step: the step of the first of them.
        """
        bad = (~losses.isfinite()).nonzero().flatten().tolist()
        if bad:
            what, step = f"became {losses[bad[0]].item()}", first_step + bad[0]
        elif losses.mean() > DIVERGED * self._loss_at_first():
            what = f"grew from {self._loss_at_first():.3g} to {losses.mean().item():.3g}"
            step = first_step + len(losses) - 1
        else:
            return
        rate = self.recipe.lr_at(step, self.steps, self.history.rows)
        hint = (
            f"lower Recipe.lr (now {self.recipe.lr:.3g}), raise Recipe.warmup, or look for images "
            "with extreme values"
        )
        if step == 1:  # before the first update
            hint = "look for weights, images or a loss that are not numbers"
        raise RuntimeError(
            f"the loss {what} in step {step} of {self.steps} (epoch {self.at.epoch}), at a "
            f"learning rate of {rate:.3g}: {hint}"
        )

    def _loss_at_first(self) -> float:
        """What a loss is compared with: the first one, or that of knowing nothing if it is larger.

        A network that goes on learning, from pretrained weights or on other images, may begin with
        a loss close to 0, far below what is healthy later.
        """
        if self.at.first is None:
            first = _total(self.at.losses[0], self.hub) / self.hub.num_processes
            ignorant = loss_of_zeros(self.stepper.model, self.train, self.loss)
            self.at.first = max(abs(first.item()), ignorant)
        return self.at.first

    def _keep_or_stop(self) -> None:
        """Saves when it is time, and ends the training when that was asked for."""
        if self.hub.num_processes > 1 and self.step % AGREE:
            return
        save, stop = self._wished(self.keeper.due, self.interruption.requested)
        if save or stop:
            self._look()  # what is beyond repair must not replace a good checkpoint
            self.at.seconds = time.perf_counter() - self._began
            self.keeper.save(self.at)
        if stop:
            raise KeyboardInterrupt

    def _wished(self, *wishes: bool) -> list[bool]:
        """Which of these some process wishes; all must ask at the same step."""
        if self.hub.num_processes == 1:
            return list(wishes)
        mine = torch.tensor([wishes], dtype=torch.uint8, device=self.hub.device)
        return cast(Tensor, gather(mine)).amax(0).bool().tolist()

    def _end_epoch(self) -> None:
        """Adds the row of the epoch and moves on to the next."""
        at, recipe = self.at, self.recipe
        self._look()
        losses = _total(torch.stack(at.losses), self.hub) / self.hub.num_processes
        sizes = torch.tensor([self._batch_size(batch) for batch in range(self.epoch_steps)])
        row = {"epoch": at.epoch, "lr": recipe.lr_at(self.step, self.steps, self.history.rows)}
        row["train_loss"] = (losses @ sizes.double() / len(self.train)).item()
        row["train_error"] = _total(at.wrong, self.hub).item() / len(self.train)
        for buffer in self.stepper.buffers():
            broadcast(buffer)  # every process gets the first one's running statistics
        if self.test is not None:
            measured = self.stepper.measured_model
            found = sums(measured, self.test, self.loss, 500, share=self.share)
            row["test_loss"], row["test_error"], _ = (
                _total(found, self.hub) / len(self.test)
            ).tolist()
        self.history.rows.append(row)
        self.history.epoch_seconds.append(at.seconds)
        self.shown.say(line(row, recipe.epochs))
        at.epoch, at.batch, at.losses, at.seconds = at.epoch + 1, 0, [], 0.0
        at.wrong = torch.zeros_like(at.wrong)


def fit_seeds(
    make: Callable[[], nn.Module],
    train: Images,
    test: Images,
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


def seed_everything(seed: int) -> None:
    """Seeds torch (all devices), NumPy and Python: call it before a network draws its weights."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _total(tensor: Tensor, hub: Accelerator) -> Tensor:
    """The sum over all processes, in float64 on the CPU."""
    return cast(Tensor, hub.reduce(tensor.to(hub.device), "sum")).cpu().double()


def _describe(
    history: History,
    hub: Accelerator,
    model: nn.Module,
    train: Images,
    recipe: Recipe,
    loss: Loss,
    seed: int,
) -> None:
    """Notes in the history what is trained and how."""
    history.recipe = recipe
    history.seed = seed
    history.model = type(model).__name__
    history.loss = name_of(loss)
    history.dtype = str(train.dtype).removeprefix("torch.")
    history.precision = hub.mixed_precision
    history.device = hub.device.type
    history.processes = hub.num_processes


def _about(
    history: History, model: nn.Module, train: Images, test: Images | None
) -> dict[str, Any]:
    """What must be the same for a checkpoint to be continued."""
    return {
        "network": f"{history.model} {tensors_digest(model)}",
        "training images": f"{train.name} {train.fingerprint()}",
        "test images": None if test is None else f"{test.name} {test.fingerprint()}",
        "recipe": history.recipe.to_dict(),
        "seed": history.seed,
        "loss": history.loss,
        "dtype": history.dtype,
        "precision": history.precision,
    }


@contextmanager
def _orderly_end(model: nn.Module, history: History, keeper: Keeper) -> Iterator[None]:
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
        if keeper.saved:
            error.add_note(f"It is kept in {keeper.path}: pass resume=True to go on from there.")
        raise
    finally:
        model.eval()
        model.zero_grad()
        history.seconds = sum(history.epoch_seconds) or time.perf_counter() - start
