"""One small network of every family, for tests that go across all of them."""

import importlib
import os
import pkgutil
import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import cnnlib.models
from cnnlib.models.layers import DropPath
from tests.models.invariants import Invariants, Tiny, outputs, settle, total_loss

FAMILIES = [  # modules with a paper's networks in them
    name
    for _, name, _ in pkgutil.iter_modules(cnnlib.models.__path__)
    if hasattr(importlib.import_module(f"cnnlib.models.{name}"), "MODELS")
]


def networks(family: str) -> dict[str, Tiny]:
    """Those that the family's test file puts to the tests of ``Invariants``.

    Raises:
        AssertionError: no such file, no networks in it, or some of other families.
    """
    file = Path(__file__).with_name(f"test_{family}.py")
    assert file.exists(), f"{family} has no {file.name}"
    found: dict[str, Tiny] = {}
    for value in vars(importlib.import_module(f"tests.models.{file.stem}")).values():
        if isinstance(value, type) and issubclass(value, Invariants) and value is not Invariants:
            found |= value.networks
    assert found, f"{file.name} puts no networks to the tests of Invariants"
    registered = importlib.import_module(f"cnnlib.models.{family}").MODELS
    strangers = {tiny.name for tiny in found.values()} - set(registered)
    assert not strangers, f"{file.name} has networks of other families: {strangers}"
    return found


def without_chance(model: nn.Module) -> nn.Module:
    """Switches dropout and drop path off, in place, so that two runs in training mode agree."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, DropPath):
            module.rate = 0.0
    return model


def trains_all_in_eval(tiny: Tiny) -> bool:
    """Whether every parameter has a part in the output in ``eval``: not with auxiliary heads."""
    model = settle(tiny.build())
    total_loss(model(tiny.images(1)), torch.zeros(1, dtype=torch.long)).backward()
    return all(p.grad is not None for p in model.parameters())


def gradients(model: nn.Module, tiny: Tiny, images: slice) -> dict[str, torch.Tensor]:
    """Gradients of the mean loss over some of four images, by the name of the parameter."""
    model.zero_grad()
    scores = model(tiny.images(4, torch.float64)[images])
    total_loss(outputs(scores), torch.tensor([3, 1, 4, 1])[images]).backward()
    return {name.removeprefix("module."): p.grad.clone() for name, p in model.named_parameters()}


def compare_gradients(rank: int, folder: str, chosen: dict[str, Tiny]) -> None:
    """One of two processes: half of the images each, and are the gradients those of all of them?

    Args:
        rank: 0 or 1.
        folder: where both meet, and where each writes ``rank.txt``, a line per family: its name,
            and what is wrong if anything is.
        chosen: a network per family.

    Raises:
        RuntimeError: a family's network cannot be run; the message names the family.
    """
    torch.set_num_threads(1)
    if sys.platform == "linux":  # both are on this machine: no need to know its name
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=60),
    )
    try:
        lines = []
        for family, tiny in chosen.items():
            try:
                lines.append(f"{family}\t{_difference(tiny, rank)}")
            except Exception as error:
                raise RuntimeError(f"{family} ({tiny.name}): {error}") from error
        Path(folder, f"{rank}.txt").write_text("\n".join(lines), encoding="utf-8")
    finally:
        distributed.destroy_process_group()


def _difference(tiny: Tiny, rank: int) -> str:
    """What is wrong with the gradients of two processes, as a sentence; empty if nothing."""
    half, whole = slice(rank, None, 2), slice(None)
    model = settle(tiny.build().double())
    expected, alone = gradients(model, tiny, whole), gradients(model, tiny, half)
    shared = DistributedDataParallel(model, find_unused_parameters=False).eval()
    # twice, since a parameter that was left out shows when the second step begins
    actual = [gradients(shared, tiny, half) for _ in range(2)][1]
    if all(torch.equal(alone[name], expected[name]) for name in expected):
        return "half of the images have the gradients of all: nothing is compared"
    # the largest gradient of a network sets the scale of the rounding of all
    scale = max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        error = (actual[name] - gradient).abs().max().item()
        if not error <= 1e-9 * scale:
            return f"the gradient of {name} is wrong by {error:.2g}, at a scale of {scale:.2g}"
    return ""
