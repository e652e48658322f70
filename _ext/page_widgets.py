"""Sphinx extension: each page gets the script that its widgets need, and no other.

A notebook stores the state of its widgets. If all that it shows are anywidgets, a loader of a few
kilobytes brings them to life (``scripts/anywidget_loader.js``); core ipywidgets need the whole
widget manager (3.7 MB). A page without widgets gets neither.

Where a stored output also has HTML, for viewers that know no widgets, that still picture is put
beside the widget. It is seen until the widget is there, without JavaScript, and in print.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
VIEW_SCRIPT = re.compile(rf'<script type="{re.escape(VIEW)}">\s*(\{{.*?\}})\s*</script>', re.DOTALL)

LOADER = ["lib/anywidget_loader.js"]
MANAGER = [
    "lib/require.js",
    "lib/widget_manager.js",
    "lib/@jupyter-widgets/html-manager/dist/embed-amd.js",
]


def read_notebook(app: Sphinx, pagename: str) -> dict | None:
    """The notebook behind a page; None if the page is not made from a notebook."""
    if pagename not in app.env.all_docs:
        return None
    path = Path(app.env.doc2path(pagename))
    return json.loads(path.read_text("utf-8")) if path.suffix == ".ipynb" else None


def scripts_for(notebook: dict) -> list[str]:
    """The scripts that bring the widgets of a notebook to life.

    Args:
        notebook: A notebook, as its JSON says.

    Returns:
        Places under ``_static/``, in the order in which they must load.
    """
    state = notebook["metadata"].get("widgets", {}).get(STATE, {}).get("state", {})
    # every widget has a layout model of the base package; it needs nothing by itself
    modules = {
        model["model_module"] for model in state.values() if model["model_name"] != "LayoutModel"
    }
    if not modules:
        return []
    return LOADER if modules == {"anywidget"} else MANAGER


def still_pictures(notebook: dict) -> dict[str, str]:
    """The HTML stored beside each widget.

    Args:
        notebook: A notebook, as its JSON says.

    Returns:
        HTML for each widget that has some, by the id of its model.
    """
    pictures = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if VIEW in data and "text/html" in data:
                pictures[data[VIEW]["model_id"]] = "".join(data["text/html"])
    return pictures


def add_still_pictures(html: str, pictures: dict[str, str]) -> str:
    """Put each picture behind the script that stands for its widget."""

    def with_picture(match: re.Match) -> str:
        picture = pictures.get(json.loads(match[1])["model_id"])
        beside = f'\n<div class="widget-fallback">{picture}</div>' if picture else ""
        return match[0] + beside

    return VIEW_SCRIPT.sub(with_picture, html)


def add_widgets(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Add scripts and still pictures to a page made from a notebook."""
    if app.builder.format != "html" or (notebook := read_notebook(app, pagename)) is None:
        return
    for script in scripts_for(notebook):
        app.add_js_file(script, loading_method="defer")
    context["body"] = add_still_pictures(context["body"], still_pictures(notebook))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", add_widgets)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
