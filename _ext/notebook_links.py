"""Sphinx extension: each chapter can be taken home, and opened in Colab if the site is published.

The site ships ``notebooks/NAME.ipynb`` for each page made from a notebook: a copy that brings the
library along (``tools.selfcontained`` makes it), and the library itself as a wheel. Every such
page links to its copy.

Links to Colab, to the repository and to its issues need an address. There is one place for it,
``book_repository`` in ``_config.yml``; if that is empty, git's remote ``origin`` is taken, and if
there is none, there are no such links.
"""

from __future__ import annotations

import html
import importlib
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

logger = logging.getLogger(__name__)

FOLDER = "notebooks"  # of the site
COLAB = "https://colab.research.google.com/github"
REMOTE = re.compile(
    r"^(?:https?://(?:[^@/]+@)?|ssh://git@|git@)(?P<host>git(?:hub|lab)\.com)(?::\d+)?[:/]"
    r"(?P<path>[^/\s]+(?:/[^/\s]+?)+?)(?:\.git)?/?$"
)


@dataclass(frozen=True)
class Repository:
    """A public repository.

    Attributes:
        host: ``github.com`` or ``gitlab.com``.
        path: ``owner/name``.
    """

    host: str
    path: str

    @classmethod
    def parse(cls, address: str) -> Repository | None:
        """The repository behind an https or ssh address; None for anything else.

        >>> Repository.parse("git@github.com:owner/name.git")
        Repository(host='github.com', path='owner/name')
        >>> Repository.parse("../elsewhere") is None
        True
        """
        match = REMOTE.match(address.strip())
        return cls(match["host"], match["path"]) if match else None

    @property
    def url(self) -> str:
        """Its page."""
        return f"https://{self.host}/{self.path}"

    def colab(self, branch: str, file: str) -> str | None:
        """The address that opens a notebook of the repository in Colab, which knows only GitHub."""
        return f"{COLAB}/{self.path}/blob/{branch}/{file}" if self.host == "github.com" else None


def find_repository(app: Sphinx, config: Config) -> None:
    """Find the address of the repository, and switch the theme's buttons on if there is one."""
    address = config.book_repository or git_origin(Path(app.confdir))
    app.book_repository = repository = Repository.parse(address)  # type: ignore[attr-defined]
    if config.book_repository and repository is None:
        logger.warning(
            "book_repository in _config.yml is %r; expected the address of a repository on GitHub "
            "or GitLab, such as https://github.com/OWNER/NAME, or nothing.",
            config.book_repository,
        )
    if repository is not None:
        config.html_theme_options |= {
            "repository_url": repository.url,
            "repository_branch": config.book_branch,
            "use_repository_button": True,
            "use_issues_button": True,
        }


def git_origin(folder: Path) -> str:
    """The address of git's remote ``origin``; an empty string if there is none."""
    command = ["git", "config", "--get", "remote.origin.url"]
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:  # no git: the sources came as an archive
        return ""
    return answer.stdout.strip()


def notebook_pages(app: Sphinx) -> list[str]:
    """The pages made from notebooks."""
    pages = sorted(app.env.found_docs)
    return [page for page in pages if Path(app.env.doc2path(page)).suffix == ".ipynb"]


def place_of(page: str) -> str:
    """Where in the site the copy of a page's notebook lies."""
    return f"{FOLDER}/{Path(page).name}.ipynb"


def add_links(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None
) -> None:
    """Put the links under the title of a page made from a notebook, and into its header."""
    if app.builder.name != "html" or doctree is None or pagename not in notebook_pages(app):
        return
    uri = app.builder.get_target_uri
    download = relative_uri(uri(pagename), place_of(pagename))
    links = [(download, "Download this notebook", "fa-solid fa-download", " download")]
    repository: Repository | None = app.book_repository  # type: ignore[attr-defined]
    if repository is not None:
        colab = repository.colab(app.config.book_site_branch, place_of(pagename))
        if colab:
            links.append((colab, "Open in Colab", "fa-solid fa-play", ""))
    context["body"] = context["body"].replace("</h1>", "</h1>\n" + as_html(links), 1)
    context["header_buttons"][:0] = [
        {"type": "link", "url": url, "tooltip": text, "icon": icon, "label": "notebook-button"}
        for url, text, icon, _ in links
    ]


def as_html(links: list[tuple[str, str, str, str]]) -> str:
    """A line of links: (address, text, classes of its icon, further attributes)."""
    anchors = (
        f'<a href="{html.escape(url)}"{more}><i class="{icon}"></i> {text}</a>'
        for url, text, icon, more in links
    )
    return f'<p class="notebook-links">{" ".join(anchors)}</p>'


def write_downloads(app: Sphinx, error: Exception | None) -> None:
    """Write the wheel and the notebooks that the pages link to."""
    if error is not None or app.builder.name != "html" or not notebook_pages(app):
        return
    root, folder = Path(app.confdir), Path(app.outdir, FOLDER)
    folder.mkdir(exist_ok=True)
    try:
        wheel = build_wheel(root, folder)
        selfcontained = load_tool(root, "tools.selfcontained")
        for page in notebook_pages(app):
            source, target = Path(app.env.doc2path(page)), folder / Path(place_of(page)).name
            selfcontained.write(source, target, wheel, app.config.html_baseurl)
    except (OSError, ImportError, ValueError, subprocess.CalledProcessError) as problem:
        output = getattr(problem, "output", "") or ""
        logger.warning(
            "The notebooks to download could not be written: %s\n%s", problem, output.strip()
        )


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the library as a wheel; the same bytes from the same sources.

    Args:
        root: Where ``pyproject.toml`` lies.
        folder: Where to write the wheel.

    Returns:
        The path of the wheel.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    # 1980-01-01, the first day that a zip file knows
    environment = os.environ | {"SOURCE_DATE_EPOCH": "315532800"}
    subprocess.run(
        command,
        cwd=root,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def load_tool(root: Path, name: str) -> ModuleType:
    """Import one of the project's tools, which are no part of an installed package."""
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("book_repository", "", "html", str)
    app.add_config_value("book_branch", "main", "html", str)
    app.add_config_value("book_site_branch", "gh-pages", "html", str)
    app.connect("config-inited", find_repository, priority=400)
    app.connect("html-page-context", add_links, priority=600)  # after the theme's own buttons
    app.connect("build-finished", write_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
