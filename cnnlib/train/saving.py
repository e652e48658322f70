"""Keeping a training in a checkpoint, and taking it up again where it was."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .. import checkpoint
from .history import History

KIND = "cnnlib training"


@dataclass
class Position:
    """How far a training is, and what the unfinished epoch has brought so far.

    Args:
        epoch: the current one, from 1.
        batch: how many batches of it are done.
        losses: of those batches, (batch,), those of this process.
        wrong: how many images this process has answered wrongly in them; a scalar.
        seconds: spent on them.
        drawn: state of the generator just before it drew the order of the epoch.
        first: what later losses are compared with, once somebody wanted to know.
    """

    epoch: int = 1
    batch: int = 0
    losses: list[Tensor] = field(default_factory=list)
    wrong: Tensor = field(default_factory=lambda: torch.tensor(0))
    seconds: float = 0.0
    drawn: Tensor | None = None
    first: float | None = None


@dataclass
class Keeper:
    """Saves and restores everything that the rest of a training depends on.

    Args:
        path: the checkpoint file; None keeps nothing.
        every: seconds between two savings within an epoch.
        about: what a checkpoint must have been made with to be continued here: plain data.
        accelerator: of the training.
        model: the network.
        optimizer: with its momenta.
        averaged: moving average of the network, if the recipe has one.
        chance: generator of orders and augmentation.
        history: the rows so far.
    """

    path: Path | None
    every: float
    about: dict[str, Any]
    accelerator: Accelerator
    model: nn.Module
    optimizer: torch.optim.Optimizer
    averaged: AveragedModel | None
    chance: torch.Generator
    history: History
    saved: bool = False  # whether the file holds this training
    _last: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        """Whether the last saving is long enough ago."""
        return self.path is not None and time.monotonic() - self._last >= self.every

    def save(self, position: Position) -> None:
        """Writes the checkpoint, whole or not at all; every process must call it."""
        if self.path is None:
            return
        state = self._state(position)
        if self.accelerator.is_main_process:
            checkpoint.write(self.path, state)
        self.saved = True
        self._last = time.monotonic()

    def restore(self) -> Position | None:
        """Reads the checkpoint back into network, optimiser, generators and history.

        Returns:
            Where the training was; None if there is no checkpoint yet.

        Raises:
            ValueError: the checkpoint is damaged, or of another training; nothing was changed.
            OSError: it cannot be read.
        """
        if self.path is None:
            return None
        state = checkpoint.read(self.path) if self.path.exists() else None
        if state is not None and state.get("kind") != KIND:
            raise ValueError(f"{self.path} is no checkpoint of a training")
        self._check_all_found_the_same(None if state is None else state["position"])
        if state is None:
            return None
        if differences := _differences(state["about"], self.about):
            raise ValueError(
                f"{self.path} belongs to another training, it cannot be continued here. "
                f"Different: {'; '.join(differences)}. Train as it was begun, or give another path"
            )
        self.model.load_state_dict(state["model"])
        moments = {int(index): value for index, value in state["optimizer"].items()}
        groups = self.optimizer.state_dict()["param_groups"]  # learning rates follow from the step
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        if self.averaged is not None:
            self.averaged.load_state_dict(state["averaged"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        saved = state["history"]
        self.history.rows[:] = saved["rows"]
        self.history.epoch_seconds[:] = saved["epoch_seconds"]
        self.history.seconds = saved["seconds"]
        self._restore_chance(state["chance"])
        self.saved = True
        return self._restored_position(state["position"])

    def _state(self, position: Position) -> dict[str, Any]:
        losses = torch.stack(position.losses) if position.losses else torch.zeros(0)
        moments = self.optimizer.state_dict()["state"]
        scaler = self.accelerator.scaler
        chance = {"order": self.chance.get_state(), "cpu": self._gathered(torch.get_rng_state())}
        if self.accelerator.device.type == "cuda":
            chance["cuda"] = self._gathered(torch.cuda.get_rng_state(self.accelerator.device))
        return {
            "kind": KIND,
            "about": self.about,
            "model": self.model.state_dict(),
            "optimizer": {str(index): value for index, value in moments.items()},
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "chance": chance,
            "position": {
                "epoch": position.epoch,
                "batch": position.batch,
                "losses": self._gathered(losses),
                "wrong": self._gathered(position.wrong),
                "seconds": position.seconds,
                "drawn": position.drawn,
                "first": position.first,
            },
            "history": {
                "rows": self.history.rows,
                "epoch_seconds": self.history.epoch_seconds,
                "seconds": self.history.seconds,
            },
        }

    def _check_all_found_the_same(self, position: dict[str, Any] | None) -> None:
        """OSError unless all processes found a checkpoint of the same moment, or all none.

        On machines that do not share the folder, one would go on and the others begin anew.
        """
        mine = (0, 0) if position is None else (position["epoch"], position["batch"])
        places = self._gathered(torch.tensor(mine)).tolist()
        if len(set(map(tuple, places))) > 1:
            found = (
                f"epoch {epoch}, batch {batch}" if epoch else "none" for epoch, batch in places
            )
            raise OSError(
                f"the processes do not find the same checkpoint at {self.path} "
                f"({'; '.join(found)}): it must be in a folder that all machines share"
            )

    def _gathered(self, tensor: Tensor) -> Tensor:
        """The tensors of all processes, one below the other, on the CPU."""
        together = gather(tensor.to(self.accelerator.device)[None])
        assert isinstance(together, Tensor)
        return together.cpu()

    def _restore_chance(self, saved: dict[str, Any]) -> None:
        """Generators as they were; processes that were not there keep their fresh seeds."""
        rank = self.accelerator.process_index
        self.chance.set_state(saved["order"])
        if rank < len(saved["cpu"]):
            # a copy: torch crashes over a state that does not begin its storage
            torch.set_rng_state(saved["cpu"][rank].clone())
        if self.accelerator.device.type == "cuda" and rank < len(saved.get("cuda", ())):
            torch.cuda.set_rng_state(saved["cuda"][rank].clone(), self.accelerator.device)

    def _restored_position(self, saved: dict[str, Any]) -> Position:
        """With as many processes as before each gets its own numbers, else the first all of them.

        What counts are the sums over the processes.
        """
        losses, wrong = saved["losses"], saved["wrong"]
        rank, device = self.accelerator.process_index, self.accelerator.device
        if len(losses) != self.accelerator.num_processes:
            # each loss is weighted by the number of processes, for the mean of their gradients
            scale = self.accelerator.num_processes / len(losses)
            first = 1 if rank == 0 else 0
            losses, wrong = scale * first * losses.sum(0), first * wrong.sum(0)
        else:
            losses, wrong = losses[rank], wrong[rank]
        return Position(
            epoch=saved["epoch"],
            batch=saved["batch"],
            losses=list(losses.to(device).unbind()),
            wrong=wrong.to(device),
            seconds=saved["seconds"],
            drawn=saved["drawn"],
            first=saved["first"],
        )


def tensors_digest(model: nn.Module) -> str:
    """A short digest of names, shapes and types of all tensors of a network."""
    lines = [f"{name} {tuple(t.shape)} {t.dtype}" for name, t in model.state_dict().items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _differences(then: Any, now: Any, name: str = "") -> list[str]:
    """In what two pieces of plain data differ, in words."""
    if isinstance(then, dict) and isinstance(now, dict):
        keys = list(dict.fromkeys([*then, *now]))
        inner = (
            _differences(then.get(key), now.get(key), f"{name}.{key}" if name else key)
            for key in keys
        )
        return [line for lines in inner for line in lines]
    if isinstance(then, list | tuple) and isinstance(now, list | tuple):
        then, now = list(then), list(now)
    return [] if then == now else [f"{name} was {then!r}, is {now!r}"]
