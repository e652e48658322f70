"""Self-contained copies of chapters: one file to download, open anywhere and run to the end.

The copy keeps the stored outputs. Its setup cell carries the wheel of ``cnnlib`` as text, without
the data that the chapter does not need, and links into the book become addresses or plain words.

    python -m tools.selfcontained WHEEL OUTPUT_FOLDER [--site ADDRESS] [CHAPTER ...]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import posixpath
import re
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

# Also as a plain script: `python tools/selfcontained.py`.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import checks, notebooks, setup_cell

DATA = re.compile(r"cnnlib/assets/(?:(\w+)\.npz|runs/(\w+)\.json|(photographs)/.+)")
EARLIEST = (1980, 1, 1, 0, 0, 0)  # a zip archive knows no earlier time


def write(source: Path, target: Path, wheel: Path, site: str = "") -> None:
    """Write the self-contained copy of a chapter; same input, same bytes.

    Args:
        source: the chapter. Its metadata ``cnnlib.data`` list the embedded data that it loads.
        target: the file to write.
        wheel: the full wheel of ``cnnlib``.
        site: address of the book's front page, for links to its other pages. Without one, links
            within the book become plain text.

    Raises:
        ValueError: no setup cell, data that the wheel does not have, or a picture in a file beside
            the chapter, which the copy would lack.
    """
    notebook = notebooks.read(source)
    setups = [cell for cell in notebooks.code_cells(notebook) if setup_cell.is_setup(cell)]
    if len(setups) != 1:
        raise ValueError(
            f"{source} has {len(setups)} setup cells, expected 1; run `python -m tools.setup_cell`"
        )
    name, data = slim(wheel, checks.data_needed(notebook))
    setups[0].source = setup_cell.carrying(name, base64.b64encode(data).decode())
    setups[0].metadata["jupyter"] = {"source_hidden": True}  # folded in JupyterLab as well
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            if found := checks.pictures_from_elsewhere(checks.without_code(cell.source)):
                raise ValueError(
                    f"{source.name}, {notebooks.label(notebook, cell)}: the picture {found[0]} "
                    "would be missing in a copy that is opened alone; draw it in a code cell"
                )
            cell.source = detached(cell.source, page=f"chapters/{source.name}", site=site)
    notebooks.write_atomically(target, notebooks.dumps(notebook))


# -- the library that the copy carries --------------------------------------------------------


def _data_in(name: str) -> str | None:
    """To which data a file of the wheel belongs; None: every chapter needs it."""
    found = DATA.fullmatch(name)
    return found and next(group for group in found.groups() if group)


def slim(wheel: Path, data: Sequence[str]) -> tuple[str, bytes]:
    """A wheel without the data that are not named.

    Its version gets a local label made from its contents (0.1.0+n1a2b3c4d): pip and the setup cell
    can then tell it from a full wheel, and from the one that another chapter carries.

    Args:
        wheel: the full wheel.
        data: what to keep: names of data sets (``cnnlib/assets/NAME.npz``), of stored runs
            (``cnnlib/assets/runs/NAME.json``), or ``"photographs"``.

    Returns:
        File name and contents of the slim wheel; same input, same bytes.

    Raises:
        ValueError: the wheel does not have one of these, or is no wheel of ``cnnlib``.
    """
    found = re.fullmatch(r"cnnlib-([^-+]+)-(py3-none-any)\.whl", wheel.name)
    if not found:
        raise ValueError(f"expected a wheel cnnlib-VERSION-py3-none-any.whl, got {wheel.name}")
    version, kind = found.groups()
    with zipfile.ZipFile(wheel) as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    named = {name: _data_in(name) for name in files}
    available = sorted({datum for datum in named.values() if datum})
    if unknown := sorted(set(data) - set(available)):
        raise ValueError(f"{wheel.name} has no data {unknown}; it has {available}")
    files = {
        name: content
        for name, content in files.items()
        if not name.endswith((".dist-info/RECORD", "/"))
        and (named[name] is None or named[name] in data)
    }
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name} {len(files[name])}\n".encode() + files[name])
    labelled = f"{version}+n{digest.hexdigest()[:8]}"

    renamed = {}
    for name, content in files.items():
        if name.endswith(".dist-info/METADATA"):
            content = content.replace(
                f"\nVersion: {version}\n".encode(), f"\nVersion: {labelled}\n".encode(), 1
            )
        renamed[name.replace(f"cnnlib-{version}.dist-info/", f"cnnlib-{labelled}.dist-info/")] = (
            content
        )
    record = f"cnnlib-{labelled}.dist-info/RECORD"
    renamed[record] = _record(renamed, record)
    return f"cnnlib-{labelled}-{kind}.whl", _archive(renamed)


def _record(files: dict[str, bytes], record: str) -> bytes:
    """The list of a wheel's files with their hashes, in the form of the wheel format."""
    lines = []
    for name in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=")
        lines.append(f"{name},sha256={digest.decode()},{len(files[name])}\n")
    return "".join([*lines, f"{record},,\n"]).encode()


def _archive(files: dict[str, bytes]) -> bytes:
    """A zip archive that depends on nothing but names and contents; metadata at the end."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(files, key=lambda n: (".dist-info/" in n, n.endswith("/RECORD"), n)):
            info = zipfile.ZipInfo(name, EARLIEST)
            info.create_system = 3  # as on Unix, also where it is made on Windows
            info.external_attr = 0o100644 << 16
            archive.writestr(info, files[name], zipfile.ZIP_DEFLATED, compresslevel=9)
    return stream.getvalue()


# -- the prose --------------------------------------------------------------------------------

_LINK = re.compile(r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)")
_ANCHOR = re.compile(r"<a\b[^>]*\bhref=([\"'])(?P<target>[^\"']+)\1[^>]*>(?P<text>.*?)</a>", re.S)
_ROLE = re.compile(r"\{(?P<role>[a-z:]+)\}`(?P<text>[^`]+)`")
_FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
_LABEL = re.compile(r"^\([\w:.-]+\)=[ \t]*\n", re.MULTILINE)


def detached(text: str, *, page: str, site: str = "") -> str:
    """Markdown of the book as it reads in a notebook that is opened alone.

    Links within the book become addresses (or plain text without a ``site``), roles of the book's
    Markdown become the words that they show, labels disappear. Code and formulas stay.

    Args:
        text: source of a Markdown cell.
        page: path of the chapter in the book, for relative links.
        site: address of the book's front page.
    """

    def absolute(target: str) -> str:
        path, _, fragment = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
        path = re.sub(r"\.(ipynb|md)$", ".html", path)
        return f"{site.rstrip('/')}/{path}" + f"#{fragment}" * bool(fragment)

    def link(found: re.Match[str]) -> str:
        target = found["target"]
        if re.match(r"[a-z][a-z+.-]*:|//|#", target):  # elsewhere, or in this notebook
            return found[0]
        return found[0].replace(target, absolute(target)) if site else found["text"]

    def role(found: re.Match[str]) -> str:
        shown = re.sub(r"\s*<[^>]*>$", "", found["text"])
        return f"[{shown}]" if found["role"].startswith("cite") else shown

    kept: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    def put_back(found: re.Match[str]) -> str:
        return kept[int(found[1])]

    # Roles first: to Markdown, their text is a code span. A code span may be the text of a link.
    text = _ROLE.sub(role, text)
    text = _FORMULA.sub(put_aside, checks.CODE.sub(put_aside, text))
    text = _ANCHOR.sub(link, _LINK.sub(link, _LABEL.sub("", text)))
    while "\0" in text:  # a formula may hold what was taken for code
        text = re.sub(r"\0(\d+)\0", put_back, text)
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Write self-contained copies of all chapters, or of those named."""
    parser = argparse.ArgumentParser(prog="python -m tools.selfcontained", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("wheel", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("chapters", nargs="*", type=Path, help="default: all chapters")
    parser.add_argument("--site", default="", help="address of the book's front page")
    options = parser.parse_args(arguments)
    for source in options.chapters or notebooks.chapters():
        target = options.folder / source.name
        write(source, target, options.wheel, options.site)
        print(f"{target} ({target.stat().st_size / 1e6:.2f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
