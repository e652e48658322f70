"""A training that is there to be killed, and who kills it: test_resume.py runs this as a program.

    python killing.py FILE KILLS SEED    kills one training so many times and prints a report

Everything that a training carries from step to step is in use: momenta, batch normalisation,
dropout, all kinds of augmentation, averaged weights.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # which optimisers import at their first step: here, once for all forks
from torch import nn

from cnnlib import checkpoint
from cnnlib.augment import Augmentation
from cnnlib.data import ImageSet
from cnnlib.train import History, Recipe, fit
from cnnlib.train.optimizers import Adam

RECIPE = Recipe(
    lr=0.003,
    batch_size=16,
    optimizer=Adam(),
    augment=Augmentation(shift=1, flip=True, cutout=3, mixup=0.4),
    label_smoothing=0.1,
    clip=1.0,
    ema=0.9,
)


def noisy_stripes(n: int, seed: int = 0, size: int = 8) -> ImageSet:
    """Images of three classes: bright above, bright on the left, neither."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    images = torch.randn(n, 1, size, size, generator=generator)
    images[labels == 0, :, : size // 2] += 1
    images[labels == 1, :, :, : size // 2] += 1
    return ImageSet("stripes", images, labels, ("upper", "left", "neither"))


def network(seed: int = 0, width: int = 16, channels: int = 1) -> nn.Module:
    """A small network with batch normalisation and dropout; its size grows with the width."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 6 * 6, width),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(width, 3),
    )


def digest(model: nn.Module, history: History) -> str:
    """Of every bit of the network and of all rows."""
    sha256 = hashlib.sha256(repr(history.rows).encode())
    for name, tensor in model.state_dict().items():
        sha256.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return sha256.hexdigest()


def train(epochs: int, file: Path | None = None, started: int | None = None, **options: Any) -> str:
    """One training, from its checkpoint if there is one; the first step is told to `started`."""
    model = network(seed=0 if file is None or not file.exists() else 1, width=1024)

    def tell(module: nn.Module, inputs: object) -> None:
        if module.training and started is not None:
            os.write(started, b".")
            hook.remove()

    hook = model.register_forward_pre_hook(tell)
    history = fit(
        model,
        noisy_stripes(240),
        noisy_stripes(60, seed=1),
        recipe=Recipe(**(vars(RECIPE) | {"epochs": epochs})),
        checkpoint=file,
        resume=file is not None,
        **options,
    )
    return digest(model, history)


def in_a_fork(task: Callable[[int], object], errors: Path | None = None) -> tuple[int, int]:
    """Runs a task in a process of its own, which writes to a pipe; its id and the pipe's end."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            if errors is not None:
                os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
            task(writer)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    os.close(writer)
    return child, reader


def answer(task: Callable[[], str]) -> str:
    """What a task returns, from a process of its own."""
    child, reader = in_a_fork(lambda writer: os.write(writer, task().encode()))
    with os.fdopen(reader) as stream:
        text = stream.read()
    if status := exit_code(child):
        raise RuntimeError(f"a training ended with {status}")
    return text


def exit_code(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def chain(file: Path, kills: int, seed: int) -> dict[str, Any]:
    """Interrupts one training twice, kills it again and again, and then lets it finish.

    Every attempt is a fork of this process, which has imported torch and computed nothing: so
    there is a death every tenth of a second, not every five seconds.
    """
    chance, began = random.Random(seed), time.monotonic()
    epochs = 4 + 2 * kills  # so many that no attempt reaches the end
    expected = answer(lambda: train(epochs))
    whole = time.monotonic() - began

    said = []
    for number in (signal.SIGINT, signal.SIGTERM):
        errors = file.with_name("errors")
        child, reader = in_a_fork(
            lambda writer: train(epochs, file, writer, checkpoint_every=1e9), errors
        )
        os.read(reader, 1)
        os.kill(child, number)
        said.append({"status": exit_code(child), "errors": errors.read_text()})
        os.close(reader)
        errors.unlink()

    writing, positions = 0, []
    for number in range(kills):
        every = chance.choice((0.0, 0.01, 0.03))
        child, reader = in_a_fork(
            lambda writer, every=every: train(epochs, file, writer, checkpoint_every=every)
        )
        if number % 5:  # every fifth may die before its first step
            os.read(reader, 1)
        time.sleep(chance.uniform(0, whole / (kills + 2)))
        os.kill(child, signal.SIGKILL)
        if (status := exit_code(child)) != -signal.SIGKILL:
            raise RuntimeError(f"attempt {number} ended with {status} before it was killed")
        os.close(reader)
        writing += any(path.suffix == ".part" for path in file.parent.iterdir())
        at = checkpoint.describe(file)["position"]
        positions.append((at["epoch"], at["batch"]))

    finished = answer(lambda: train(epochs, file, checkpoint_every=0.5))
    return {
        "kills": kills,
        "killed while writing": writing,
        "moves": len(set(positions)),  # attempts that came further than those before them
        "inside epochs": sum(batch > 0 for _, batch in positions),
        "in order": positions == sorted(positions),
        "left": sorted(path.name for path in file.parent.iterdir()),
        "same": finished == expected,
        "seconds": round(time.monotonic() - began, 1),
        "interrupted": said,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(chain(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
