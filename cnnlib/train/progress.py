"""Telling whoever watches how far a training is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm as plain_tqdm


class Progress:
    """A bar over all steps, which only shows where somebody watches, and lines between.

    Args:
        wanted: True prints lines and, where somebody watches, moves a bar; False is silent; None
            decides for True where somebody watches, else for False.
        steps: of the whole training.
        done: how many of them were done before, in a training that is resumed.
    """

    def __init__(self, wanted: bool | None, steps: int, done: int = 0) -> None:
        watched = wanted is not False and _is_watched()
        if watched:  # picks the form for terminal or notebook; costs an import
            from tqdm.auto import tqdm
        else:
            tqdm = plain_tqdm
        self._silent = wanted is False or (wanted is None and not watched)
        self._bar = tqdm(total=steps, initial=done, disable=not watched, unit="step", leave=False)
        self.start_clock()

    def start_clock(self) -> None:
        """Measures speed from here: what lay between two epochs was no training."""
        self._since, self._images = time.perf_counter(), 0

    def move(self, images: int) -> None:
        """Moves the bar by one step, on so many images."""
        self._bar.update()
        self._images += images

    def show(self, loss: float, error: float) -> None:
        """Shows the latest numbers beside the bar, and the speed since the last call.

        Args:
            loss: mean over the last steps.
            error: fraction answered wrongly in this epoch.
        """
        rate = self._images / max(time.perf_counter() - self._since, 1e-9)
        self._bar.set_postfix_str(
            f"loss {loss:.3f}, error {100 * error:.1f} %, {rate:,.0f} images/s", refresh=False
        )
        self.start_clock()

    def say(self, line: str) -> None:
        """Prints a line, above the bar if there is one."""
        if not self._silent:
            self._bar.write(line)

    @classmethod
    @contextmanager
    def over(cls, wanted: bool | None, steps: int, done: int = 0) -> Iterator[Progress]:
        """A progress that is taken off the screen at the end."""
        progress = cls(wanted, steps, done)
        try:
            yield progress
        finally:
            progress._bar.close()


def _is_watched() -> bool:
    """Whether a person looks on: in a notebook or terminal, and not while the book is made."""
    if os.environ.get("CNNLIB_BOOK") == "1":
        return False
    ipython = sys.modules.get("IPython")
    in_notebook = ipython is not None and hasattr(ipython.get_ipython(), "kernel")
    return in_notebook or sys.stderr.isatty()
