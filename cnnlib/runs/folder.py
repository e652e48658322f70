"""The folder of a run: what is written into it, when, and how it is read back.

=========================  ==================================================================
config.json                every setting, the recipe, the data, and what it ran on
history.json               loss and error of every epoch, with its time
checkpoint.safetensors     everything that the rest of the training depends on
weights.safetensors        the network at the end; `cnnlib.weights.load` reads it
curves.svg                 loss and error over the epochs
tensorboard/               events for TensorBoard, if they were asked for
=========================  ==================================================================

Every file is there whole or not at all. An existing run is never overwritten.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import cnnlib
from cnnlib import fetch
from cnnlib.train import History

CONFIG = "config.json"
HISTORY = "history.json"
CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "weights.safetensors"
CURVES = "curves.svg"
TENSORBOARD = "tensorboard"

DRAW_EVERY = 10.0  # seconds between two drawings of the curves: one takes about a third of a second


# Which folder


def check_free(folder: Path) -> None:
    """Refuses a folder that holds something, and one that cannot be made.

    Raises:
        FileExistsError: something is there already.
        OSError: its parent cannot be written.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        _check_writable(folder)
    elif (folder / CONFIG).exists():
        raise FileExistsError(
            f"{folder} holds a run already, which is not overwritten: go on with it by --resume, "
            "or choose another folder with --out"
        )
    elif folder.exists() or folder.is_symlink():
        raise FileExistsError(f"{folder} is there already: choose another folder with --out")
    else:
        parent = next(parent for parent in folder.absolute().parents if parent.exists())
        if not parent.is_dir():
            raise NotADirectoryError(f"{folder} cannot be made: {parent} is a file")
        _check_writable(parent)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written: choose another folder with --out")


def free(parent: Path, name: str) -> Path:
    """The first of NAME, NAME-2, NAME-3, ... that is not there yet."""
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    return next(folder for folder in (parent / name for name in names) if not folder.exists())


def make(folder: Path) -> list[Path]:
    """Makes the folder and those above it; returns those that are new, the innermost first.

    Raises:
        OSError: it cannot be made, or has been made by another process in the meantime.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=folder not in new)
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(f"{folder} cannot be made: {reason}; choose another --out") from error
    return new


def unmake(folder: Path, new: list[Path]) -> None:
    """Takes back a folder in which no training has begun."""
    (folder / CONFIG).unlink(missing_ok=True)
    for path in new:
        path.rmdir()


# What is in it


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes plain data, whole or not at all."""
    fetch.write((json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode(), path)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run.

    Raises:
        ValueError: the folder holds no run, or a damaged one.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; a run is a folder that train has written")
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds no run: there is no {CONFIG} in it")
    config = _read_json(folder / CONFIG)
    parts = {"arguments": dict, "recipe": dict, "network": dict, "data": dict, "starts": list}
    for part, kind in parts.items():
        if not isinstance(config.get(part), kind):
            raise ValueError(f"{folder / CONFIG} is damaged: {part!r} is missing")
    return config


def write_history(folder: Path, history: History, images: int) -> None:
    """Writes the history of a training on so many images, with images per second."""
    rates = [images / seconds if seconds else None for seconds in history.epoch_seconds]
    write_json(folder / HISTORY, history.to_dict() | {"images_per_second": rates})


def read_history(folder: Path) -> History:
    """The history of a run.

    Raises:
        ValueError: it is damaged, or not there.
    """
    if not (folder / HISTORY).is_file():
        raise ValueError(f"{folder} has no {HISTORY} yet: no epoch was finished")
    values = _read_json(folder / HISTORY)
    values.pop("images_per_second", None)
    try:
        return History.from_dict(values)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / HISTORY} is damaged: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: it holds no object")
    return values


class Reporter:
    """Writes down each epoch of a training: history, curves now and then, events.

    Args:
        folder: of the run.
        title: above the curves.
        images: number of training images.
        tensorboard: whether to write events.
    """

    def __init__(self, folder: Path, title: str, images: int, tensorboard: bool) -> None:
        self.folder, self.title, self.images = folder, title, images
        self.tensorboard = tensorboard
        self._drawn = time.monotonic()
        self._events: Any = None
        self._reported = 0  # epochs

    def __call__(self, history: History) -> None:
        """Called after each epoch."""
        write_history(self.folder, history, self.images)
        if time.monotonic() - self._drawn > DRAW_EVERY:
            self.draw(history)
        if self.tensorboard:
            self._report(history)

    def draw(self, history: History) -> None:
        """Writes the curves."""
        from cnnlib import plots

        stream = io.BytesIO()
        with plots.book_style():
            figure = plots.learning(history.rows, title=self.title)
            figure.savefig(stream, format="svg", metadata={"Date": None})
        fetch.write(stream.getvalue(), self.folder / CURVES)
        self._drawn = time.monotonic()

    def _report(self, history: History) -> None:
        if self._events is None:  # all over again after an interruption: nothing twice or missing
            self._events = events_writer()(str(self.folder / TENSORBOARD), purge_step=0)
        rows = zip(history.rows, history.epoch_seconds, strict=True)
        for row, seconds in list(rows)[self._reported :]:
            values = {key.replace("_", "/"): row[key] for key in row if key != "epoch"}
            if seconds:
                values["images_per_second"] = self.images / seconds
            for name, value in values.items():
                self._events.add_scalar(name, value, row["epoch"])
        self._reported = len(history.rows)
        self._events.flush()

    def close(self) -> None:
        """Ends the events."""
        if self._events is not None:
            self._events.close()


def events_writer() -> Any:
    """TensorBoard's writer of events.

    Raises:
        ValueError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise ValueError("tensorboard is not installed: pip install tensorboard") from None
    return SummaryWriter


# What it ran on


def surroundings(device: str, command: str | None) -> dict[str, Any]:
    """What a training depends on beside its settings; nothing that tells whose computer it is.

    Args:
        device: ``"cpu"`` or ``"cuda"``.
        command: the command line, if there is one.
    """
    return {
        "command": command,
        "started": now(),
        "ended": None,
        "outcome": None,
        "versions": versions(),
        "commit": commit(),
        "device": device,
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str | None]:
    """Versions of what numbers depend on; None for what is not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cnnlib": cnnlib.__version__,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
    }
    for package in ("torchvision", "accelerate", "numpy", "safetensors"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def commit() -> dict[str, Any] | None:
    """Commit of cnnlib, and whether its files differ from it; None if it is no git checkout."""
    home = Path(cnnlib.__file__).parent

    def git(*arguments: str) -> str | None:
        call = ["git", "-C", str(home), *arguments]
        try:
            done = subprocess.run(call, capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # installed into an environment inside of a checkout of something else, it is not tracked
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = git("rev-parse", "HEAD")
    return None if head is None else {"id": head, "dirty": bool(git("status", "--porcelain", "."))}


def device_name(device: str) -> str:
    """What the device calls itself."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    if sys.platform.startswith("linux"):
        try:
            lines = Path("/proc/cpuinfo").read_text().splitlines()
        except OSError:
            lines = []
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
