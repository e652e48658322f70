"""Sphinx extension: plain links to a paper become citations.

Chapters must read well in Colab, where a citation role would stand as raw text. So they link to a
paper by the address that ``references.bib`` has for it, and here the link becomes a citation:
``[LeCun et al. (1998)](https://doi.org/…)`` is replaced by a textual one, ``[AlexNet](https://…)``
keeps its words and gets the citation behind them. Other links stay as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from pybtex.database import parse_file
from sphinx.application import Sphinx

LINK = re.compile(r"(?<!!)\[(?P<words>[^\[\]]+)\]\((?P<address>https?://[^()\s]+)\)")
NAMES_THE_YEAR = re.compile(r"\(\d{4}\)$")


def keys_by_address(bibliography: Path) -> dict[str, str]:
    """The citation key of each address in a bibliography."""
    entries = parse_file(bibliography).entries
    return {e.fields["url"]: key for key, e in entries.items() if "url" in e.fields}


def cited(text: str, keys: dict[str, str]) -> str:
    """A source text in which the links to known papers are citation roles."""

    def replace(link: re.Match[str]) -> str:
        key = keys.get(link["address"])
        if key is None:
            return link[0]
        if NAMES_THE_YEAR.search(link["words"]):
            return f"{{cite:t}}`{key}`"
        return f"{link['words']} {{cite:p}}`{key}`"

    return LINK.sub(replace, text)


def read_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Rewrite a page or notebook (its JSON) before it is parsed."""
    keys: dict[str, str] = {}
    for name in app.config.bibtex_bibfiles:
        keys |= keys_by_address(Path(app.srcdir, name))
    source[0] = cited(source[0], keys)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
