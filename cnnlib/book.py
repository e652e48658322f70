"""What only chapters need: setting up, the card, showing source, judging answers, the footer.

Everything here that is shown returns an object which notebooks render by themselves. Nothing prints
a time, a path or a device into a cell that is compared: measured facts come from
``assets/measurements.json``, which the script that stores the chapters' outputs writes.
"""

from __future__ import annotations

import ast
import html
import inspect
import json
import math
import os
import platform
import re
import statistics
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import torch

import cnnlib
from cnnlib import models, papers
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.train import Recipe

RUNNING_IN_BOOK = "CNNLIB_BOOK"  # set where outputs are stored or compared: show stored facts only


def setup(*, device: str = "cpu", threads: int | None = None) -> str:
    """Prepare a chapter: number of threads, look of the plots.

    One thread is not only the setting under which the numbers of the book were made. On a busy
    machine with few cores it is also the quickest: the waiting threads of a team spin.

    Args:
        device: where to train: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU if there is one.
        threads: CPU threads of torch; default: the environment variable ``CNNLIB_THREADS``, else 1.

    Returns:
        The device, to be handed to ``cnnlib.train.fit``.

    Raises:
        ValueError: unknown device, no GPU although one was asked for, or fewer than one thread.
    """
    from cnnlib import plots

    if device not in ("cpu", "cuda", "auto"):
        raise ValueError(f"device must be 'cpu', 'cuda' or 'auto', got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda', but torch sees no GPU here; use 'cpu' or 'auto'")
    if threads is None:
        wanted = os.environ.get("CNNLIB_THREADS", "1")
        if not wanted.isdecimal():
            raise ValueError(f"CNNLIB_THREADS must be a whole number, got {wanted!r}")
        threads = int(wanted)
    if threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}")
    torch.set_num_threads(threads)
    plots.use_book_style()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return device


@dataclass(frozen=True)
class Markup:
    """A piece of HTML with the plain text that stands for it in a terminal."""

    text: str
    markup: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.markup


@dataclass(frozen=True)
class Source:
    """Source code of an object of ours, rendered as a Markdown code block."""

    code: str

    def __repr__(self) -> str:
        return self.code

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.code}\n```"


def show_source(*objects: Any, docstrings: bool = True) -> Source:
    """The source code of classes or functions, as it stands in the installed ``cnnlib``.

    Args:
        objects: classes and functions.
        docstrings: whether to show them; without, what remains is what runs.

    Raises:
        TypeError: an object has no Python source (a number, a compiled function, an instance).
    """
    try:
        codes = [inspect.getsource(o).rstrip() for o in objects]
    except (TypeError, OSError) as error:
        raise TypeError(f"show_source takes classes and functions of Python: {error}") from None
    return Source("\n\n".join(codes if docstrings else map(_without_docstrings, codes)))


def _without_docstrings(code: str) -> str:
    lines = code.splitlines()
    for node in ast.walk(ast.parse(textwrap.dedent(code))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            text = node.body[0]
            for number in range(text.lineno - 1, text.end_lineno or text.lineno):
                lines[number] = "\0"
            if lines[text.end_lineno or 0 :][:1] == [""]:  # the empty line behind it
                lines[text.end_lineno or 0] = "\0"
    return "\n".join(line for line in lines if line != "\0")


def table(rows: Iterable[dict[str, Any]], caption: str = "") -> Markup:
    """A plain table from a list of rows that share their keys; numbers are aligned right.

    Raises:
        ValueError: there are no rows, or a row has other keys than the first.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("a table needs at least one row")
    heads = list(rows[0])
    for i, row in enumerate(rows):
        if list(row) != heads:
            raise ValueError(f"row {i} has the keys {list(row)}, the first row has {heads}")
    cells = [[_cell(row[h]) for h in heads] for row in rows]
    numeric = [all(_NUMBER.fullmatch(row[i]) for row in cells) for i in range(len(heads))]
    widths = [max(len(h), *(len(c[i]) for c in cells)) for i, h in enumerate(heads)]

    def line(values: list[str]) -> str:
        pairs = zip(values, widths, numeric, strict=True)
        return "  ".join(v.rjust(w) if right else v.ljust(w) for v, w, right in pairs).rstrip()

    text = "\n".join([caption] * bool(caption) + [line(heads), *(line(c) for c in cells)])
    align = ["right" if right else "left" for right in numeric]
    head = "".join(
        f'<th scope="col" style="text-align: {a}">{html.escape(h)}</th>'
        for h, a in zip(heads, align, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td style="text-align: {a}">{html.escape(v)}</td>'
            for v, a in zip(row, align, strict=True)
        )
        + "</tr>"
        for row in cells
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return Markup(
        text,
        f'<table class="cnnlib-table">{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>",
    )


_NUMBER = re.compile(r"–|[-+−]?[\d.,]+( ± [\d.]+)?( %)?")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def mean_sd(values: Iterable[float], *, scale: float = 1.0, digits: int = 2) -> str:
    """Mean and standard deviation (n - 1) of some runs: ``"3.10 ± 0.25"``.

    Raises:
        ValueError: fewer than two values.
    """
    numbers = [value * scale for value in values]
    if len(numbers) < 2:
        raise ValueError(f"a standard deviation needs at least two values, got {len(numbers)}")
    # statistics computes exactly and rounds once, so the last digit is the same everywhere
    return f"{statistics.mean(numbers):.{digits}f} ± {statistics.stdev(numbers):.{digits}f}"


@dataclass(frozen=True)
class Arm:
    """One arm of a stored experiment: a network, how it was trained, one run per seed.

    Attributes:
        options: what made the network.
        runs: what was measured, one record per seed.
        more: whatever else the experiment says of this arm.
    """

    name: str
    options: dict[str, Any]
    loss: str
    recipe: Recipe
    parameters: int
    runs: list[dict[str, Any]]
    more: dict[str, Any]

    def values(self, key: str) -> list[Any]:
        """One number of every run, such as ``"test_error"``, in the order of the seeds."""
        return [run[key] for run in self.runs]


@dataclass(frozen=True)
class StoredRuns:
    """An experiment that takes longer than a reader wants to wait, as its script stored it."""

    arms: list[Arm]
    about: dict[str, str]

    def __getitem__(self, name: str) -> Arm:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(f"no arm {name!r}; there are {', '.join(repr(a.name) for a in self.arms)}")


def stored_runs(name: str) -> StoredRuns:
    """The results of ``experiments/NAME.py`` that the library ships.

    Raises:
        ValueError: nothing of that name is stored.
    """
    folder = resources.files("cnnlib") / "assets" / "runs"
    path = folder / f"{name}.json"
    if not path.is_file():
        known = sorted(p.name.removesuffix(".json") for p in folder.iterdir())
        raise ValueError(f"no stored runs {name!r}; there are: {', '.join(known)}")
    content = json.loads(path.read_text())
    arms = []
    for arm in content["arms"]:
        known = ("name", "options", "loss", "parameters", "runs")
        more = {key: value for key, value in arm.items() if key not in (*known, "recipe")}
        recipe = Recipe.from_dict(arm["recipe"])
        arms.append(Arm(recipe=recipe, more=more, **{key: arm[key] for key in known}))
    return StoredRuns(arms, content["about"])


@dataclass(frozen=True)
class Occluded:
    """What a network says while a grey square covers one place after the other.

    Attributes:
        probability: (rows, columns), of the target.
        winner: the most probable class, row by row, column by column.
    """

    probability: torch.Tensor
    winner: list[list[str]]


@dataclass(frozen=True)
class Predictions:
    """What a network with ImageNet weights says of one of the library's photographs.

    Attributes:
        photograph: name, as in ``cnnlib.data.photograph``.
        network: name in the registry.
        top: ten classes with their probabilities, most probable first.
        target: the class that the maps are about.
        stride: side of a map's cell in pixels.
        occlusion: by side of the grey square in pixels.
        grad_cam: (7, 7), Grad-CAM of the last maps for the target, largest value 1.
        saliency: (rows, columns), the target's largest slope in each cell, largest value 1.
    """

    photograph: str
    network: str
    top: tuple[tuple[str, float], ...]
    target: str
    stride: int
    occlusion: dict[int, Occluded]
    grad_cam: torch.Tensor
    saliency: torch.Tensor


def predictions() -> dict[str, Predictions]:
    """What a real network says of every photograph, as ``experiments/photographs.py`` stored it.

    The network is EfficientNet-Lite0 with the ImageNet weights of its authors. Maps are float64
    tensors, probabilities rounded to three digits.
    """
    folder = resources.files("cnnlib") / "assets" / "photographs"
    content = json.loads((folder / "efficientnet_lite0.json").read_text())

    def square(numbers: list[int]) -> torch.Tensor:
        side = math.isqrt(len(numbers))
        return torch.tensor(numbers, dtype=torch.float64).div(1000).view(side, side)

    def occluded(record: dict[str, Any], classes: list[str]) -> Occluded:
        probability = square(record["probability"])
        names = [classes[number] for number in record["winner"]]
        side = len(probability)
        return Occluded(probability, [names[i : i + side] for i in range(0, len(names), side)])

    return {
        record["photograph"]: Predictions(
            photograph=record["photograph"],
            network=content["network"],
            top=tuple((name, share) for name, share in record["top"]),
            target=record["target"],
            stride=content["stride"],
            occlusion={
                int(patch): occluded(maps, record["classes"])
                for patch, maps in record["occlusion"].items()
            },
            grad_cam=square(record["grad_cam"]),
            saliency=square(record["saliency"]),
        )
        for record in content["photographs"]
    }


def card(key: str, chapter: str | None = None) -> Markup:
    """The head of a chapter: paper, main network with exact counts, measured run time.

    Args:
        key: name of the paper in ``cnnlib.papers.PAPERS``.
        chapter: file name without its ending, where it is not the paper's own chapter.

    Raises:
        ValueError: unknown paper.
    """
    paper = papers.paper(key)
    network = paper.network
    with torch.device("meta"):  # counting needs no memory
        model = models.create_model(network.model)
    parameters, macs = count_parameters(model), count_macs(model, network.input)
    size = " × ".join(str(n) for n in network.input[1:])
    facts = {
        "Paper": f"{paper.authors}: {paper.title}. {paper.venue}, {paper.year}",
        "Network": f"{network.name}: {parameters:,} parameters, "
        f"{macs:,} multiply-adds (MACs) for an image of {size} pixels",
        "Printed result": f"{network.error} % {network.measure} ({network.protocol})",
        "Run time here": _run_time(chapter or paper.chapter),
    }
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left">{k}</th>'
        f'<td style="text-align: left">{html.escape(v)}</td></tr>'
        for k, v in facts.items()
    )
    link = f'<a href="{html.escape(paper.url)}">Read the paper</a>'
    return Markup(
        "\n".join(f"{k}: {v}" for k, v in facts.items()),
        f'<table class="cnnlib-card"><tbody>{rows}</tbody></table><p>{link}</p>',
    )


WORKSHEET = {  # what to ask of any paper: key, word, question
    "paper": ("Paper", "Authors, year, version, where I read it."),
    "problem": ("Problem", "What could nobody do before? Who had tried, and how?"),
    "idea": ("Idea", "What is done differently, in one sentence?"),
    "claim": ("Claim", "What is said to be true? A sentence that could turn out false."),
    "evidence": ("Evidence", "Which figure or table carries the claim? How was it measured?"),
    "refutation": ("Refutation", "Which result would have made the authors give up?"),
    "doubt": ("What to doubt", "Runs, baselines, test set, cost: what is not shown?"),
    "further": ("And then", "What do I try, read or ask next?"),
}


def worksheet(**answers: str) -> Markup:
    """The reading worksheet: what to ask of a paper, and a reader's answers.

    Without answers it is the blank form, ``print(book.worksheet())`` for copying. With answers it
    shows these alone, in the order of the form.

    Args:
        answers: by the keys of ``WORKSHEET``: paper, problem, idea, claim, evidence, refutation,
            doubt, further.

    Raises:
        ValueError: an unknown key, or an answer without words.
    """
    if unknown := [key for key in answers if key not in WORKSHEET]:
        raise ValueError(f"no question {unknown[0]!r}; there are {', '.join(WORKSHEET)}")
    if empty := [key for key, answer in answers.items() if not answer.strip()]:
        raise ValueError(f"the answer to {empty[0]!r} is empty; leave it out instead")
    lines, rows = [], ""
    for key, (word, question) in WORKSHEET.items():
        if answers and key not in answers:
            continue
        answer = " ".join(answers.get(key, "").split())
        # a blank form has room to write in, a filled one the answer
        lines += [f"{word.upper()}. {question}", *(textwrap.wrap(answer, 78) or ["", ""]), ""]
        rows += (
            f'<tr><th scope="row" style="text-align: left; vertical-align: top">{word}<br>'
            f'<small style="font-weight: normal">{question}</small></th>'
            f'<td style="text-align: left; vertical-align: top">{html.escape(answer)}</td></tr>'
        )
    return Markup(
        "\n".join(lines).rstrip(),
        f'<table class="cnnlib-worksheet"><tbody>{rows}</tbody></table>',
    )


def _measurements() -> dict[str, dict[str, Any]]:
    path = resources.files("cnnlib") / "assets" / "measurements.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _run_time(chapter: str) -> str:
    measured = _measurements().get(chapter)
    if measured is None:
        return "not measured yet"
    return f"{measured['seconds']:.0f} s on {measured['device']}"


def footer(chapter: str) -> Markup:
    """The foot of a chapter: where, when and with which versions its numbers were made.

    A reader who runs the chapter sees the own machine; the book shows the stored facts.
    """
    if os.environ.get(RUNNING_IN_BOOK) == "1":
        facts = _measurements().get(chapter, {})
    else:
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
        facts = {
            "device": gpu or f"CPU, {torch.get_num_threads()} thread(s)",
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cnnlib": cnnlib.__version__,
        }
    told = {"seconds": "run time in seconds", "date": "date"}
    text = ", ".join(f"{told.get(k, k)} {v}" for k, v in facts.items()) or "not measured yet"
    return Markup(f"Made with: {text}.", f"<p><small>Made with: {html.escape(text)}.</small></p>")


@dataclass(frozen=True)
class Verdict:
    """What a check thinks of an answer."""

    right: bool
    message: str

    def __repr__(self) -> str:
        return ("Right. " if self.right else "Not yet. ") + self.message


def check(answer: Callable[..., Any], cases: Iterable[tuple[tuple, Any]], praise: str) -> Verdict:
    """Call a reader's function on cases with known results and say what differs first.

    Args:
        answer: the reader's function; a stub returns ``...`` (Ellipsis) or ``None``.
        cases: pairs of arguments and the expected result (a number, a tuple or a tensor).
        praise: what the reader may now conclude, shown when every case is right.
    """
    if not callable(answer):
        return Verdict(False, f"A function is expected here, got {type(answer).__name__}.")
    for arguments, expected in cases:
        shown = ", ".join(_short(a) for a in arguments)
        try:
            got = answer(*arguments)
        except NotImplementedError:
            return Verdict(False, "The function is still to be written.")
        except Exception as error:  # a reader's code may fail in any way; the check must not
            return Verdict(False, f"For ({shown}) it stopped: {type(error).__name__}: {error}")
        if got is None or got is ...:
            return Verdict(False, "The function is still to be written: it returns nothing.")
        problem = _difference(got, expected)
        if problem:
            return Verdict(False, f"For ({shown}) {problem}")
    return Verdict(True, praise)


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor) and value.numel() > 4:
        return f"tensor of shape {tuple(value.shape)}"
    return str(value.tolist()) if isinstance(value, torch.Tensor) else repr(value)


def _difference(got: Any, expected: Any) -> str:
    """An empty string if equal, else one sentence that says how they differ."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            return f"it gives a {type(got).__name__}, a tensor is expected."
        if got.shape != expected.shape:
            return f"the shape is {tuple(got.shape)}, expected {tuple(expected.shape)}."
        off = (got.to(expected.dtype) - expected).abs()
        if not bool((off <= 1e-5 + 1e-4 * expected.abs()).all()):  # also catches NaN
            wrong = int((~(off <= 1e-5 + 1e-4 * expected.abs())).sum())
            return f"the shape is right, but {wrong} of {expected.numel()} numbers are not."
        return ""
    if isinstance(got, torch.Tensor) and got.numel() == 1:
        got = got.item()
    if isinstance(expected, int) and isinstance(got, float) and got != expected:
        return f"it gives {got}, expected the whole number {expected}."
    return "" if got == expected else f"it gives {got!r}, expected {expected!r}."
