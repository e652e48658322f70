"""What all commands share: a parser that speaks in sentences, and the names of the networks."""

from __future__ import annotations

import argparse
import difflib
import fnmatch
import re
from collections.abc import Iterable
from typing import NoReturn

from cnnlib.published import networks

PROGRAM = "python -m cnnlib"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with code 2."""
        pattern = r"argument (?:.*/)?([\w-]+): invalid choice: '(.*)' \(choose from (.*)\)"
        if wrong := re.match(pattern, message):
            what = "command" if wrong[1] == "COMMAND" else wrong[1]
            known = re.findall(r"[\w-]+", wrong[3])
            hint = nearest(wrong[2], known) or f"; there are {', '.join(known)}"
            message = f"unknown {what} {wrong[2]!r}{hint}"
        self.exit(2, f"{self.prog}: {message}; --help shows how it is used\n")


def matching(patterns: Iterable[str], *, exactly: bool = False) -> list[str]:
    """Names of networks that match the patterns, each once, in the order of the book.

    Raises:
        ValueError: a pattern or name that matches none.
    """
    found: set[str] = set()
    for pattern in patterns:
        names = fnmatch.filter(networks(), pattern)
        if exactly:
            names = [name for name in names if name == pattern]
        if not names:
            hint = nearest(pattern, networks()) or f"; {PROGRAM} list shows their names"
            raise ValueError(f"there is no network {pattern!r}{hint}")
        found.update(names)
    return [name for name in networks() if name in found]


def nearest(name: str, known: Iterable[str]) -> str:
    """A question after the name that was perhaps meant, to end a sentence with; or nothing."""
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
