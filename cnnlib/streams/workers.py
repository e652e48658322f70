"""Processes that decode images ahead of the training, and how they end."""

import atexit
import os
import signal
import weakref
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor

from .decoding import Decoder

GRACE = 30  # seconds that a worker goes on after SIGTERM, for its main process to end in order


class Workers:
    """The worker processes of a stream, behind torch's DataLoader.

    They take tasks (a salt and positions) in any number, so they know nothing of a pass and can be
    kept for the next one.
    """

    def __init__(self) -> None:
        self.kept: Any = None  # a DataLoader with its workers, between two passes

    def __reduce__(self):  # processes are not copied, nor sent to others
        return Workers, ()

    def run(
        self, decoder: Decoder, tasks: Iterator, *, count: int, pin: bool
    ) -> Generator[tuple[Tensor, Tensor]]:
        """The results of the tasks, in their order.

        Args:
            decoder: What is done with a task.
            tasks: Taken a few ahead of the results.
            count: Number of processes; 0: everything happens here, one task at a time.
            pin: Whether results are put into memory from which a GPU can fetch them by itself.

        Raises:
            OSError: As a task's result.
        """
        if not count:
            for task in tasks:
                yield _unless_failed(decoder.__getitems__(task))
            return
        # None is kept during a pass: a second one at the same time gets workers of its own.
        loader, self.kept = self.kept, None
        if loader is None:
            loader = _loader(decoder, count, pin)
        loader.batch_sampler.tasks = tasks
        results = iter(loader)
        _end_with_this_process(results)
        finished = False
        try:
            for result in results:
                yield _unless_failed(result)
            finished = True
        finally:
            loader.batch_sampler.tasks = iter(())
            if finished and self.kept is None:
                self.kept = loader
            else:
                # They would end with the last reference to them; but after an exception, such as
                # Ctrl-C, its traceback holds one as long as somebody looks at it.
                results._shutdown_workers()


def _unless_failed(result: tuple[Tensor, Tensor] | OSError) -> tuple[Tensor, Tensor]:
    if isinstance(result, OSError):
        raise result
    return result


class _Tasks:
    """The tasks of one pass after the other, as the loader's source of batches."""

    def __init__(self) -> None:
        self.tasks: Iterator = iter(())

    def __iter__(self) -> Iterator:
        return self.tasks


def _loader(decoder: Decoder, count: int, pin: bool, context: str | None = None) -> Any:
    decoder.crops.transforms()  # imports what forked workers would else import one by one
    return torch.utils.data.DataLoader(
        decoder,  # type: ignore[arg-type]  # has __getitems__, for batches, and no __getitem__
        batch_sampler=_Tasks(),  # type: ignore[arg-type]  # has no length, which nobody asks for
        num_workers=count,
        collate_fn=_as_it_is,
        pin_memory=pin,
        persistent_workers=True,
        worker_init_fn=_outlive_signals,
        generator=torch.Generator(),  # else it would draw from the global one
        multiprocessing_context=context,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _outlive_signals(worker: int) -> None:
    """Ctrl-C and a cluster's notice of the end reach all processes; the main one decides.

    It may want to finish a step and to save what it has, for which the workers must not be gone.
    They end when it tells them to, or when they find that it is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):  # elsewhere a process that is told to end is not asked
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))


_RUNNING: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def _end_with_this_process(results: Any) -> None:
    """Has workers end in order when the program does, however it does.

    Torch would ask them to end at once, which ours take their time for. The function must be the
    last that was registered: those are called first, while torch still has what it needs.
    """
    _RUNNING[results] = os.getpid()
    atexit.unregister(_end_running)
    atexit.register(_end_running)


def _end_running() -> None:
    for results, process in list(_RUNNING.items()):
        if process == os.getpid():  # a fork has a copy of this list, but they are not its own
            results._shutdown_workers()
