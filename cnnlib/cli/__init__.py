"""The command ``python -m cnnlib``: list, summary, verify, train, evaluate, search.

Each command is a function that adds its arguments to a parser and names the function that runs it;
``COMMANDS`` lists them. What takes long to import is imported when a command runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .networks import add_list, add_summary, add_verify
from .parser import PROGRAM, Parser
from .searching import add_search
from .training import add_evaluate, add_train

COMMANDS = (add_list, add_summary, add_verify, add_train, add_evaluate, add_search)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: those of the command line; ``None`` takes them from ``sys.argv``.

    Returns:
        0; 1 if a check or a training failed; 2 if the arguments made no sense, which one sentence
        on stderr says; 130 after Ctrl-C.
    """
    parser = Parser(
        prog=PROGRAM, description="The networks of the CNN papers: listed, counted, trained"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        given = parser.parse_args(words)
        given.words = words
        code = given.run(given)
        sys.stdout.flush()  # while a reader who has left can still be dealt with
        return code
    except SystemExit as stop:  # of argparse: after --help, or after a sentence on stderr
        return stop.code if isinstance(stop.code, int) else 2
    except (ValueError, TypeError) as error:  # the networks' own words
        print(f"{PROGRAM}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # as in ``python -m cnnlib list | head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
