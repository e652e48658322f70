"""What surrounds a training and is put back afterwards: devices, chance, modes, signals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState


@contextmanager
def accelerator(device: str, precision: str) -> Iterator[Accelerator]:
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
def own_random_state(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global generators, from which dropout draws, and puts them back at the end."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class Interruption:
    """Whether Ctrl-C (SIGINT) or an orderly end (SIGTERM) was asked for since the training began.

    The first signal only leaves a note here, so that the step in progress is finished and can be
    saved; a later one acts at once, as signals usually do. Signals that come together are one
    request: a cluster's manager signals every process, and torchrun passes on what it gets.
    """

    TOGETHER = 2.0  # seconds

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0

    @contextmanager
    def watched(self, wanted: bool) -> Iterator[Interruption]:
        """Catches the signals for a while, if wanted and possible (only in the main thread)."""
        if not wanted or threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def put_back() -> None:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

        def note(number: int, frame: FrameType | None) -> None:
            if not self.requested:
                self.requested, self._since = True, time.monotonic()
            elif time.monotonic() - self._since >= self.TOGETHER:
                put_back()
                signal.raise_signal(number)

        for number in before:
            signal.signal(number, note)
        try:
            yield self
        finally:
            if self.requested and torch.distributed.is_initialized():  # the same again may come
                time.sleep(max(0.0, self._since + self.TOGETHER - time.monotonic()))
            put_back()
