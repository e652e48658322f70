"""One step of a training: forward, backward, update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from .compatibility import Loss, name_of
from .recipe import Recipe


class Stepper:
    """Takes the steps of a recipe, on this process's share of each batch.

    Args:
        model: on the device, in its dtype.
        recipe: optimiser, clipping, label smoothing and averaging.
        loss: mean over the images.
        hub: of the training.
        layout: memory format of the images.
        compile: whether to run the network through `torch.compile`.
        micro_batch: most images in one pass.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        loss: Loss,
        hub: Accelerator,
        layout: torch.memory_format,
        compile: bool,
        micro_batch: int | None,
    ) -> None:
        self.model, self.recipe, self.loss, self.hub = model, recipe, loss, hub
        self.layout, self.micro_batch = layout, micro_batch
        self.processes = hub.num_processes
        # With float16, accelerate scales the loss and skips steps in which a gradient overflows;
        # elsewhere its optimiser would only be lost time in every step.
        scaled = hub.scaler is not None
        self.optimizer = recipe.make_optimizer(model, fused=False if scaled else None)
        if scaled:
            self.optimizer = hub.prepare(self.optimizer)
        # One process in full precision needs no accelerate, which would cost some 0.1 ms per step.
        self.shell = model
        if self.processes > 1 or hub.mixed_precision != "no":
            # It puts a new forward on what it prepares: a shell keeps the network as it is.
            self.shell = hub.prepare(nn.Sequential(model))
        self.forward: Callable[[Tensor], Any] = self.shell
        if compile:
            self.forward = torch.compile(self.shell)
        self.averaged = None
        if recipe.ema is not None:
            average = get_ema_multi_avg_fn(recipe.ema)
            self.averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=True)

    @property
    def measured_model(self) -> nn.Module:
        """The network whose error counts: the averaged one, if there is one."""
        return self.model if self.averaged is None else self.averaged.module

    def buffers(self) -> list[Tensor]:
        """Running statistics, of the network and of its average."""
        averaged = [] if self.averaged is None else self.averaged.module.buffers()
        return [*self.model.buffers(), *averaged]

    def begin_epoch(self, epoch: int) -> None:
        """Training mode, and the progress for networks that change with it."""
        self.shell.train()
        set_progress: Any = getattr(self.model, "set_progress", None)
        if set_progress is not None:
            set_progress((epoch - 1) / max(self.recipe.epochs - 1, 1))

    def step(
        self, images: Tensor, labels: Tensor, lr: float, batch_size: int
    ) -> tuple[Tensor, Tensor]:
        """One update of the weights.

        Args:
            images: this process's share of the batch: (B, C, H, W).
            labels: (B,) or, mixed, (B, classes).
            lr: learning rate.
            batch_size: images of the batch over all processes.

        Returns:
            The loss, weighted such that the mean over the processes is the mean over the batch;
            and the number of wrong answers in the share. Both stay on the device.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad()
        if self.micro_batch is None or len(labels) <= self.micro_batch:
            value, wrong = self._pass(images, labels, batch_size)
        else:
            passes = list(self._passes(images, labels, batch_size, self.micro_batch))
            value, wrong = (torch.stack(numbers).sum(0) for numbers in zip(*passes, strict=True))
        if self.recipe.clip is not None:
            self.hub.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)
        return value, wrong

    def _passes(
        self, images: Tensor, labels: Tensor, batch_size: int, most: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Forward and backward of a batch in parts; gradients add up."""
        parts = list(zip(images.split(most), labels.split(most), strict=True))
        # Processes exchange their gradients once per batch, with the last part.
        shell = self.shell
        with shell.no_sync() if isinstance(shell, DistributedDataParallel) else nullcontext():
            for part in parts[:-1]:
                yield self._pass(*part, batch_size)
        yield self._pass(*parts[-1], batch_size)

    def _pass(self, images: Tensor, labels: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
        """Forward and backward."""
        if self.layout is torch.channels_last:
            images = images.contiguous(memory_format=self.layout)
        scores = self.forward(images)
        # the scores of auxiliary heads follow those that count
        first: Tensor = scores[0] if isinstance(scores, tuple) else scores
        try:
            value = self.loss(scores, self._targets(labels, first))
        except TypeError as fault:
            if not isinstance(scores, tuple):
                raise
            raise TypeError(
                f"while it trains, {type(self.model).__name__} also returns the scores of "
                f"auxiliary heads, a tuple, which {name_of(self.loss)} does not take ({fault}): "
                "pass the loss that cnnlib.models.loss_for(model) gives"
            ) from fault
        # Gradients are averaged over processes, so uneven shares need weights.
        weight = self.processes * len(labels) / batch_size
        if weight != 1:
            value = weight * value
        if self.hub.scaler is None:
            value.backward()
        else:
            self.hub.backward(value)
        answers = labels if labels.ndim == 1 else labels.argmax(1)
        return value.detach(), (first.argmax(1) != answers).count_nonzero()

    def _targets(self, labels: Tensor, scores: Tensor) -> Tensor:
        """The labels as the loss gets them: smoothed, if the recipe says so.

        A smoothed label is 1 - s for its class, plus s spread evenly over all classes (Szegedy et
        al., 2016, arXiv:1512.00567, section 7).
        """
        smoothing = self.recipe.label_smoothing
        if smoothing == 0:
            return labels
        classes = scores.shape[1]
        if labels.ndim == 1:
            labels = F.one_hot(labels, classes).to(scores.dtype)
        return labels * (1 - smoothing) + smoothing / classes

    def take_average(self) -> None:
        """Gives the network the averaged weights and statistics."""
        if self.averaged is not None:
            state = self.averaged.module.state_dict()
            # Counts, as of the batches that batch normalisation has seen, have no average.
            state = {name: t for name, t in state.items() if t.is_floating_point()}
            self.model.load_state_dict(state, strict=False)
