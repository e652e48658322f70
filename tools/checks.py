"""The rules that every chapter keeps, each as a function from a notebook to its faults.

A fault is a sentence that names the cell. The tests run every rule on every chapter, and plant
faults to see that the rules find them.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from nbformat import NotebookNode

from tools import notebooks, setup_cell
from tools.notebooks import code_cells, label, tags

LONGEST_CELL = 15  # lines of code that a reader takes in at a glance
LARGEST_OUTPUT = 200_000  # bytes of one cell's outputs
LARGEST_PICTURE = 150_000  # bytes of a PNG
LARGEST_STATE = 500_000  # bytes of widget state on a page
LEAST_COMPARED = 0.85  # share of the code cells whose outputs nbval compares

NOT_COMPARED = ("nbval-ignore-output", "nbval-skip")
HIDDEN = ("hide-cell", "hide-input", "solution")  # folded away: they may be longer
ASSETS = notebooks.ROOT / "cnnlib" / "assets"

Check = Callable[[NotebookNode], list[str]]


# -- what is run and compared -----------------------------------------------------------------


def every_cell_was_run_in_order(notebook: NotebookNode) -> list[str]:
    """Code cells carry the counts 1, 2, 3, ...: all were run, in one go, from the top."""
    return [
        f"{label(notebook, cell)} has execution count {cell.execution_count}, expected {expected}"
        for expected, cell in enumerate(code_cells(notebook), 1)
        if cell.execution_count != expected
    ]


def no_cell_failed(notebook: NotebookNode) -> list[str]:
    """No stored traceback, and nothing on stderr (warnings, progress bars)."""
    faults = []
    for cell, output in _outputs(notebook):
        if output.output_type == "error":
            faults.append(f"{label(notebook, cell)} stores an error: {output.ename}")
        elif output.output_type == "stream" and output.name == "stderr":
            faults.append(f"{label(notebook, cell)} stores stderr: {output.text[:80]!r}")
    return faults


def is_exempt(cell: NotebookNode) -> bool:
    """Whether nbval does not compare (or not even run) this cell."""
    comments = {line.strip().lstrip("#").strip() for line in cell.source.splitlines()}
    names = {tag.replace("-", "_").upper() for tag in NOT_COMPARED}
    return any(tag in NOT_COMPARED for tag in tags(cell)) or bool(comments & names)


def enough_cells_are_compared(notebook: NotebookNode) -> list[str]:
    """At least 85 of 100 code cells are compared."""
    codes = code_cells(notebook)
    compared = sum(not is_exempt(cell) for cell in codes)
    if compared >= LEAST_COMPARED * len(codes):
        return []
    return [f"{compared} of {len(codes)} cells are compared, at least {LEAST_COMPARED:.0%} must be"]


def every_exempt_cell_says_why(notebook: NotebookNode) -> list[str]:
    """A cell that is not compared has the reason in its metadata, ``cnnlib.reason``."""
    return [
        f"{label(notebook, cell)} is not compared; its metadata need cnnlib.reason"
        for cell in code_cells(notebook)
        if is_exempt(cell) and not _reason(cell)
    ]


def the_setup_cell_is_the_generated_one(notebook: NotebookNode) -> list[str]:
    """The first code cell is the setup cell, to the letter, and there is no other."""
    codes = code_cells(notebook)
    setups = [cell for cell in codes if setup_cell.is_setup(cell)]
    fresh = setup_cell.cell()
    if len(setups) == 1 and codes[0] is setups[0]:
        [cell] = setups
        if cell.source == fresh.source and cell.metadata == fresh.metadata:
            return []
    return ["the first code cell is not the setup cell; run `python -m tools.setup_cell`"]


# -- what pages and readers can bear ----------------------------------------------------------


def outputs_are_small(notebook: NotebookNode) -> list[str]:
    """No cell prints or draws more than a page can bear."""
    faults = []
    for cell in code_cells(notebook):
        size = len(json.dumps(cell.outputs))
        if size > LARGEST_OUTPUT:
            faults.append(_too_large(label(notebook, cell), "its outputs", size, LARGEST_OUTPUT))
    for cell, output in _outputs(notebook):
        if picture := output.get("data", {}).get("image/png"):
            size = len(base64.b64decode(picture))
            if size > LARGEST_PICTURE:
                faults.append(_too_large(label(notebook, cell), "a PNG", size, LARGEST_PICTURE))
    size = len(json.dumps(notebook.metadata.get("widgets", {})))
    if size > LARGEST_STATE:
        faults.append(_too_large("the notebook", "its widget state", size, LARGEST_STATE))
    return faults


def cells_are_short(notebook: NotebookNode) -> list[str]:
    """A visible cell is one idea; helpers belong into the library."""
    faults = []
    for cell in code_cells(notebook):
        lines = len(cell.source.splitlines())
        if lines > LONGEST_CELL and not set(tags(cell)) & set(HIDDEN):
            faults.append(f"{label(notebook, cell)} has {lines} lines, at most {LONGEST_CELL}")
    return faults


def every_picture_has_alt_text(notebook: NotebookNode) -> list[str]:
    """Pictures of code cells, in Markdown and in HTML say in words what they show."""
    faults = []
    for cell in code_cells(notebook):
        pictures = sum(
            any(kind.startswith("image/") for kind in output.get("data", {}))
            for output in cell.outputs
        )
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if pictures and not alt.strip():
            faults.append(f"{label(notebook, cell)} draws; its metadata need mystnb.image.alt")
        if pictures > 1:
            faults.append(
                f"{label(notebook, cell)} draws {pictures} pictures under one alt text; "
                "draw one per cell"
            )
    for cell, text in _markup(notebook):
        for found in re.finditer(r"<img\b[^>]*>", text):
            if not re.search(r"\balt\s*=\s*([\"'])\s*(?!\1)\S", found[0]):
                faults.append(f"{label(notebook, cell)} has an <img> without alt text")
        for found in re.finditer(r"<svg\b.*?(?:</svg>|$)", text, re.DOTALL):
            if not re.search(r"aria-label|aria-hidden|<title", found[0]):
                faults.append(f"{label(notebook, cell)} has an <svg> without aria-label or <title>")
    for cell, text in _prose(notebook):
        if re.search(r"!\[\s*\]", text):
            faults.append(f"{label(notebook, cell)} has an image without alt text")
    return faults


def prose_reads_well_without_the_site(notebook: NotebookNode) -> list[str]:
    """One title, no directives that Colab and GitHub show raw, no pictures from files."""
    faults, titles = [], 0
    for cell in (c for c in notebook.cells if c.cell_type == "markdown"):
        if re.search(r"^\s*(`{3,}|~{3,}|:{3,})\s*\{", cell.source, re.MULTILINE):
            faults.append(f"{label(notebook, cell)} has a directive, which Colab shows raw")
    for cell, text in _prose(notebook):
        titles += len(re.findall(r"^# |^=+\s*$|<h1\b", text, re.MULTILINE))
        for target in pictures_from_elsewhere(text):
            faults.append(
                f"{label(notebook, cell)} shows {target}, which a notebook opened alone does not "
                "have; draw it in a code cell"
            )
    if titles != 1:
        faults.append(f"the notebook has {titles} titles (level 1 headings), expected 1")
    return faults


def pictures_from_elsewhere(text: str) -> list[str]:
    """Targets of Markdown and HTML images that are neither attached nor written out."""
    targets = re.findall(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)", text)
    targets += re.findall(r"<img\b[^>]*\bsrc\s*=\s*[\"']([^\"']+)", text)
    return [t for t in targets if not t.startswith(("data:", "attachment:"))]


# What nbval cannot compare and the site cannot run.
_NOT_STATIC = {
    r"\binteract(_manual)?\s*\(|@interact\b": "interact",
    r"\binteractive(_output)?\s*\(": "interactive",
    r"\bOutput\s*\(": "Output",
    r"\bclear_output\b": "clear_output",
    r"\bdisplay_id\b|\bupdate_display\b": "display updates",
}


def nothing_needs_a_kernel_to_show(notebook: NotebookNode) -> list[str]:
    """No ``interact``, ``Output``, ``clear_output`` or display updates."""
    return [
        f"{label(notebook, cell)} uses {name}, which neither nbval nor the site can follow"
        for cell in code_cells(notebook)
        for pattern, name in _NOT_STATIC.items()
        if re.search(pattern, cell.source)
    ]


_MACHINE_PATH = re.compile(r"(?<![\w/.:-])(/(home|Users|root|tmp|mnt|opt|var)/[\w.-]+|[A-Z]:\\\w+)")


def no_path_of_a_machine(notebook: NotebookNode) -> list[str]:
    """Neither sources nor outputs name a folder of the computer that made them."""
    faults = []
    for cell in notebook.cells:
        text = cell.source
        for output in cell.get("outputs", []):
            shown = [v for k, v in output.get("data", {}).items() if not k.startswith("image/")]
            text += "\n".join(map(str, [output.get("text", ""), *shown]))
        own = [str(p) for p in (notebooks.ROOT, Path.home()) if len(str(p)) > 1 and str(p) in text]
        if found := own or [match[1] for match in _MACHINE_PATH.finditer(text)]:
            faults.append(f"{label(notebook, cell)} names a folder of a computer: {found[0]}")
    return faults


def metadata_are_the_fixed_ones(notebook: NotebookNode) -> list[str]:
    """Kernel and language are stored without versions; nothing else depends on the machine."""
    faults = []
    for key, expected in (
        ("kernelspec", notebooks.KERNELSPEC),
        ("language_info", notebooks.LANGUAGE_INFO),
    ):
        if notebook.metadata.get(key) != expected:
            faults.append(f"metadata {key} is {notebook.metadata.get(key)}, expected {expected}")
    return faults


def loaded_data_are_declared(notebook: NotebookNode) -> list[str]:
    """Images and runs that the code names stand in ``cnnlib.data``: downloads carry only those."""
    declared = set(data_needed(notebook))
    known = {path.stem for path in (*ASSETS.glob("*.npz"), *ASSETS.glob("runs/*.json"))}
    known |= {"photographs"}
    faults = [f"metadata cnnlib.data names {n!r}, known: {sorted(known)}" for n in declared - known]
    code = "\n".join(cell.source for cell in code_cells(notebook))
    for name in sorted(known - declared):
        if re.search(rf"[\"']{name}[\"']", code):
            faults.append(f"the code loads {name}, which metadata cnnlib.data does not list")
    if "photographs" not in declared and re.search(r"\b(photographs?|predictions)\(", code):
        faults.append("the code loads photographs, which metadata cnnlib.data does not list")
    return faults


def data_needed(notebook: NotebookNode) -> list[str]:
    """Names of the embedded data that a chapter says it needs."""
    return list(notebook.metadata.get("cnnlib", {}).get("data", []))


# -- quizzes ----------------------------------------------------------------------------------

_ITEM = re.compile(r"^(?:[-*+]|\d+[.)])[ \t]+(.*)$", re.MULTILINE)


def quizzes_are_well_formed(notebook: NotebookNode) -> list[str]:
    """A bold question, at least two choices, and feedback for each, one of them right."""
    faults = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown" or '<div class="quiz">' not in cell.source:
            continue
        blocks = re.findall(r'<div class="quiz">(.*?)</div>', cell.source, re.DOTALL)
        if len(blocks) != cell.source.count('<div class="quiz">'):
            faults.append(f"{label(notebook, cell)}: a quiz is not closed by </div>")
        for block in blocks:
            faults += [f"{label(notebook, cell)}: {fault}" for fault in _quiz_faults(block)]
    return faults


def _quiz_faults(block: str) -> Iterator[str]:
    parts = re.split(r"<details>|</details>", block)
    if len(parts) != 3:
        yield "a quiz needs exactly one <details> ... </details>"
        return
    front, answer, rest = parts
    if rest.strip():
        yield f"nothing may follow the feedback of a quiz, found {rest.strip()[:40]!r}"
    if not re.match(r"[ \t]*\n[ \t]*\n", block):
        yield 'a blank line must follow <div class="quiz">, else Markdown inside is shown raw'
    if not re.search(r"<summary>[^<]+</summary>[ \t]*\n[ \t]*\n", answer):
        yield "the <details> of a quiz need a <summary> and a blank line after it"
    first = _ITEM.search(front)
    question = front[: first.start()] if first else front
    bold = re.findall(r"\*\*(?!\s)(.+?)(?<!\s)\*\*", question, re.DOTALL)
    if len(bold) != 1:
        yield f"a quiz has one bold question before its choices, found {len(bold)}"
    choices = _ITEM.findall(front)
    if len(choices) < 2:
        yield f"a quiz needs at least two choices, found {len(choices)}"
    feedback = _ITEM.findall(answer)
    if len(feedback) != len(choices):
        yield f"{len(choices)} choices, but {len(feedback)} items of feedback"
    verdicts = [found[1] for text in feedback if (found := re.match(r"\*\*(Yes|No)\.\*\*", text))]
    if len(verdicts) != len(feedback):
        yield "each item of feedback begins with **Yes.** or **No.**"
    if verdicts.count("Yes") != 1:
        yield f"exactly one choice is right, found {verdicts.count('Yes')}"


# -- all of them ------------------------------------------------------------------------------

CHECKS: tuple[Check, ...] = (
    every_cell_was_run_in_order,
    no_cell_failed,
    enough_cells_are_compared,
    every_exempt_cell_says_why,
    the_setup_cell_is_the_generated_one,
    outputs_are_small,
    cells_are_short,
    every_picture_has_alt_text,
    prose_reads_well_without_the_site,
    nothing_needs_a_kernel_to_show,
    no_path_of_a_machine,
    metadata_are_the_fixed_ones,
    loaded_data_are_declared,
    quizzes_are_well_formed,
)


def report(paths: list[Path]) -> list[str]:
    """Lines that say how many cells of each chapter are compared, and which are not, and why."""
    lines, total, all_compared = [], 0, 0
    for path in paths:
        notebook = notebooks.read(path)
        codes = code_cells(notebook)
        exempt = [cell for cell in codes if is_exempt(cell)]
        compared = len(codes) - len(exempt)
        share = compared / len(codes) if codes else 0
        lines.append(f"{path.name}: {compared} of {len(codes)} cells compared ({share:.0%})")
        for cell in exempt:
            reason = _reason(cell) or "NO REASON GIVEN"
            lines.append(f"    not compared: {label(notebook, cell)}: {reason}")
        total, all_compared = total + len(codes), all_compared + compared
    if len(paths) > 1:
        lines.append(f"all chapters: {all_compared} of {total} cells compared")
    return lines


# -- helpers ----------------------------------------------------------------------------------


def _reason(cell: NotebookNode) -> str:
    return str(cell.metadata.get("cnnlib", {}).get("reason", "")).strip()


def _too_large(where: str, what: str, size: int, limit: int) -> str:
    return f"{where}: {what} take {size:,} bytes, at most {limit:,}"


def _outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield cell, output


def _prose(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str]]:
    """Markdown cells without their code, in which any character may stand for itself."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield cell, without_code(cell.source)


def _markup(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str]]:
    """Everything that is shown as HTML: prose and outputs."""
    yield from _prose(notebook)
    for cell, output in _outputs(notebook):
        yield cell, str(output.get("data", {}).get("text/html", ""))
        yield cell, str(output.get("data", {}).get("image/svg+xml", ""))


CODE = re.compile(
    r"(^|\n)(?P<f>`{3,}|~{3,}).*?\n[ \t]*(?P=f)[ \t]*(?=\n|$)|(`+)[^`].*?\3", re.DOTALL
)


def without_code(text: str) -> str:
    """Markdown with fenced blocks and code spans blanked out."""
    return CODE.sub("\n", text)
