"""Sphinx extension: what a page loads lies beside it.

Jupyter Book's pages ask other hosts for scripts, styles and fonts. Here the same files come from
npm packages pinned in ``package-lock.json`` and are copied next to the pages, so that a site copied
to a memory stick works like one on a server. Two things that every page would load in vain are
taken out: sphinx-thebe (live kernels, not used here) and the icon script with two thousand icons
(``page_polish`` draws the two dozen in use into the page).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

OURS = Path(__file__).parent / "scripts"

# place under _static/ -> place under node_modules/. They must not lie in the book's own _static
# folder: Jupyter Book puts every script and style sheet that it finds there on every page.
FROM_PACKAGES = {
    "lib/katex/katex.min.css": "katex/dist/katex.min.css",
    "lib/require.js": "requirejs/require.js",
    "lib/anywidget.js": "anywidget/dist/index.js",
    "lib/@jupyter-widgets/html-manager/dist/embed-amd.js": (
        "@jupyter-widgets/html-manager/dist/embed-amd.js"
    ),
}
# folders of which only the fonts are needed that today's browsers ask for
FONTS_FROM_PACKAGES = {
    "lib/katex/fonts": "katex/dist/fonts",
    "lib/@jupyter-widgets/html-manager/dist": "@jupyter-widgets/html-manager/dist",
}
# what the theme brings and no page uses
UNUSED = (
    "**/*.map",
    "**/*.LICENSE.txt",
    "scripts/fontawesome.js",
    "vendor/fontawesome",
    "images/logo_*",
    "sbt-webpack-macros.html",
    "webpack-macros.html",
    "locales",
)
# the theme's rules for its two thousand icons, a quarter of its style sheet
ICON_RULES = re.compile(r"(?<=[}/\n])\.fa[-.,:>][^{}]*\{[^{}]*\}|(?<=[}/\n])\.fa\{[^{}]*\}")
OLD_FONT_FORMATS = re.compile(r",url\([^)]*\)\s*format\(\"(?:woff|truetype)\"\)")


def node_modules(app: Sphinx) -> Path:
    """The folder of the npm packages.

    Raises:
        ExtensionError: The packages are not installed.
    """
    folder = Path(app.confdir, app.config.book_node_modules)
    if not folder.is_dir():
        raise ExtensionError(
            f"The scripts and fonts of the pages are missing: no folder {folder}. "
            "Run `make book`, or `npm ci` in the root of the project."
        )
    return folder


def copy_assets(app: Sphinx) -> None:
    """Copy scripts, styles and fonts into the site, before pages are written that name them."""
    if app.builder.format != "html":
        return
    packages, static = node_modules(app), Path(app.outdir, "_static")
    copies = {packages / source: static / place for place, source in FROM_PACKAGES.items()}
    for place, source in FONTS_FROM_PACKAGES.items():
        copies |= {font: static / place / font.name for font in (packages / source).glob("*.woff2")}
    copies |= {script: static / "lib" / script.name for script in OURS.glob("*.js")}
    for source, target in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    style = static / "lib/katex/katex.min.css"
    style.write_text(OLD_FONT_FORMATS.sub("", style.read_text("utf-8")), "utf-8")


def remove_unused(app: Sphinx, error: Exception | None) -> None:
    """Delete what the theme brings and no page asks for: most of the site's size."""
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    for pattern in UNUSED:
        for path in sorted(static.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    style = static / "styles/pydata-sphinx-theme.css"
    style.write_text(ICON_RULES.sub("", style.read_text("utf-8")), "utf-8")


def without_thebe(app: Sphinx, config: object) -> None:
    """Silence sphinx-thebe, which Jupyter Book always loads.

    It would put two scripts on every page, one of them twice, which is an error in the console.
    """
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__.startswith("sphinx_thebe"):
                app.disconnect(listener.id)
    registry = app.registry
    registry.js_files = [file for file in registry.js_files if "thebe" not in str(file).lower()]
    registry.css_files = [file for file in registry.css_files if "thebe" not in str(file).lower()]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("book_node_modules", "node_modules", "env", str)
    app.connect("config-inited", without_thebe, priority=999)
    app.connect("builder-inited", copy_assets)
    app.connect("build-finished", remove_unused)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
