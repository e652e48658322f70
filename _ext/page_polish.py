"""Sphinx extension: the last hand on each page.

Icons are drawn into the page instead of by a script of 1.5 MB; scripts that only the search page
needs stay on the search page; what the theme and other extensions leave unnamed or misnamed for
screen readers is put right; wide tables scroll inside themselves; each page describes itself to
search engines; quizzes are checked, and get their script.
"""

from __future__ import annotations

import functools
import html
import json
import re
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from docutils import nodes
from page_assets import node_modules
from sphinx.application import Sphinx
from sphinx.jinja2glue import BuiltinTemplateLoader
from sphinx.util import logging

logger = logging.getLogger(__name__)

# --- icons ---------------------------------------------------------------------------------------

ICON = re.compile(
    r'<(i|span) class="((?:[^"]* )?(?:fa[srb]|fa-(?:solid|regular|brands)) [^"]*)"([^>]*)>'
    r"\s*</\1>"
)
STYLES = {"fas": "solid", "fab": "brands", "far": "regular"}
STYLES |= {f"fa-{style}": style for style in ("solid", "brands", "regular")}
FORMER_NAMES = {"pencil-alt": "pencil", "home": "house"}  # of icons renamed in version 6
CREDIT = "<!-- Icons: Font Awesome Free by @fontawesome, CC BY 4.0 -->"


def draw_icons(page: str, folder: Path) -> str:
    """Replace ``<i class="fa-solid fa-bars"></i>`` by the drawing itself.

    Args:
        page: A page.
        folder: Where the drawings are: ``solid/bars.svg`` and so on.
    """
    drawn = ICON.sub(lambda match: _icon(match[2], match[3], folder), page)
    return drawn.replace("<body", CREDIT + "\n<body", 1) if drawn != page else page


@functools.cache
def _icon(classes: str, attributes: str, folder: Path) -> str:
    words = classes.split()
    style = next((STYLES[word] for word in words if word in STYLES), "solid")
    names = (word[3:] for word in words if word.startswith("fa-") and word not in STYLES)
    for name in names:
        file = folder / style / f"{FORMER_NAMES.get(name, name)}.svg"
        if file.is_file():
            drawing = file.read_text("utf-8")
            (box,) = re.findall(r'viewBox="([^"]+)"', drawing)
            paths = "".join(re.findall(r"<path [^>]*/>", drawing))
            rest = " ".join(word for word in words if word not in STYLES)  # those ask for a font
            return (
                f'<svg class="svg-inline--fa {rest}"{attributes} viewBox="{box}" '
                f'aria-hidden="true" fill="currentColor">{paths}</svg>'
            )
    logger.warning("No icon for the classes %r in Font Awesome Free.", classes)
    return ""


# --- the whole page ------------------------------------------------------------------------------

ICON_SCRIPT = re.compile(r"<script[^>]*scripts/fontawesome\.js[^>]*></script>")
SEARCH_SCRIPTS = re.compile(
    r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>'
)
# of sphinx-design: cards, grids and tabs
DESIGN_FILES = re.compile(
    r"\s*<(?:link|script)[^>]*_static/(?:sphinx-design|design-tabs)[^>]*>(?:</script>)?"
)
# names that do not say what is written on the thing; without them, the writing is the name
MISNAMED = re.compile(
    r'(<summary\b|<button\b(?=[^>]*search-button-field))([^>]*?) aria-label="[^"]*"'
)
SIDEBAR = re.compile(r'(<div id="pst-primary-sidebar")')


class PolishedPages(BuiltinTemplateLoader):
    """Renders pages as Sphinx does, and goes over each one once more."""

    def init(self, builder, theme=None, dirs=None) -> None:
        super().init(builder, theme, dirs)
        self.app = builder.app

    def render(self, template: str, context: dict) -> str:
        page = super().render(template, context)
        if self.app.builder.format != "html" or not template.endswith(".html"):
            return page
        return self.polish(page, context)

    def polish(self, page: str, context: dict) -> str:
        """Finish a whole page."""
        page = ICON_SCRIPT.sub("", page)
        if context.get("pagename") != "search":
            page = SEARCH_SCRIPTS.sub("", page)
        if 'class="sd-' not in page:
            page = DESIGN_FILES.sub("", page)
        page = MISNAMED.sub(r"\1\2", page)
        page = SIDEBAR.sub(r'\1 role="region" aria-label="Book"', page)
        icons = node_modules(self.app) / "@fortawesome/fontawesome-free/svgs"
        return draw_icons(page, icons)


# --- the text of a page --------------------------------------------------------------------------

# roles that sphinxcontrib-bibtex gives its list; they are deprecated, or promise children it lacks
BIBLIOGRAPHY_ROLES = re.compile(r' role="(?:list|doc-biblioentry|doc-backlink)"')
TABLE = re.compile(r'<div class="pst-scrollable-table-container">\s*<table\b|<table\b|</table>')


def let_tables_scroll(text: str) -> str:
    """Put each table into a frame that scrolls sideways, if it has none.

    The theme's script makes such frames reachable by keyboard if they overflow.
    """
    framed: list[bool] = []  # one for each open table: did we frame it?

    def frame(match: re.Match) -> str:
        if match[0] == "</table>":
            return "</table></div>" if framed and framed.pop() else "</table>"
        framed.append(match[0].startswith("<table"))
        return '<div class="pst-scrollable-table-container">' * framed[-1] + match[0]

    return TABLE.sub(frame, text)


def describe(doctree: nodes.document, book: str) -> str:
    """The first sentences of a page, at most 155 characters, cut between words.

    Args:
        doctree: The page.
        book: The title of the book, for pages without a paragraph.
    """
    paragraphs = (" ".join(node.astext().split()) for node in doctree.findall(nodes.paragraph))
    text = next((paragraph for paragraph in paragraphs if len(paragraph) > 20), "")
    if not text:
        title = next(iter(doctree.findall(nodes.title)), nodes.title())
        text = f"{title.astext()} of the book {book}"
    return text if len(text) <= 155 else text[:154].rsplit(" ", 1)[0] + "…"


def faults_of_quiz(quiz: Tag) -> list[str]:
    """What is wrong with a quiz; nothing if the page's script can make it interactive.

    Expected inside ``<div class="quiz">``: the question, a list of choices, and a folded list
    (``<details>``) with one answer per choice that begins with a bold "Yes" or "No".
    """
    choices = quiz.find("ul", recursive=False)
    folded = quiz.find("details", recursive=False)
    answers = folded.find("ul") if isinstance(folded, Tag) else None
    if not isinstance(choices, Tag) or not isinstance(answers, Tag):
        return ["it needs a list of choices, then <details> with a list of answers"]
    count = len(choices.find_all("li", recursive=False))
    items = answers.find_all("li", recursive=False)
    verdicts = [(item.strong.get_text() if item.strong else "") for item in items]
    faults = []
    if count != len(items):
        faults.append(f"it has {count} choices but {len(items)} answers")
    if any(not verdict.startswith(("Yes", "No")) for verdict in verdicts):
        faults.append('each answer must begin with **Yes.** or **No.** (or "No, …")')
    elif not any(verdict.startswith("Yes") for verdict in verdicts):
        faults.append("none of its answers is right")
    return faults


def polish_text(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Go over the text of a page."""
    if app.builder.format != "html" or "body" not in context:
        return
    context["body"] = let_tables_scroll(BIBLIOGRAPHY_ROLES.sub("", context["body"]))
    if doctree is not None:
        description = html.escape(describe(doctree, app.config.html_title))
        tag = f'\n<meta name="description" content="{description}" />'
        context["metatags"] = context.get("metatags", "") + tag
    if 'class="quiz"' in context["body"]:
        for quiz in BeautifulSoup(context["body"], "html.parser").select("div.quiz"):
            question = " ".join(quiz.get_text(" ").split())[:60]
            for fault in faults_of_quiz(quiz):
                logger.warning("The quiz %r: %s.", question, fault, location=pagename)
        app.add_js_file("lib/quiz.js", loading_method="defer")
        labels = html.escape(json.dumps(app.config.book_quiz_labels))
        context["body"] = context["body"].replace(
            'class="quiz"', f'class="quiz" data-labels="{labels}"'
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    labels = {"check": "Check", "choose": "Choose an answer first.", "right": "yes"}
    app.add_config_value("book_quiz_labels", labels, "html", dict)
    app.connect("html-page-context", polish_text, priority=700)  # after all that writes into it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
