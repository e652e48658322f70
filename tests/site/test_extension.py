"""The parts of the extension that need neither a browser nor a build."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tools.setup_env import ROOT

sys.path.insert(0, str(ROOT / "_ext"))
import notebook_links
import page_math
import page_polish
import page_widgets


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/someone/book",
        "https://github.com/someone/book.git",
        "https://someone:secret@github.com/someone/book.git",
        "http://github.com/someone/book/",
        "git@github.com:someone/book.git",
        "ssh://git@github.com/someone/book.git",
        "ssh://git@github.com:22/someone/book",
    ],
)
def test_addresses_of_github_are_understood_and_keep_no_secret(address: str) -> None:
    repository = notebook_links.Repository.parse(address)
    assert repository == notebook_links.Repository("github.com", "someone/book")
    assert repository.url == "https://github.com/someone/book"


@pytest.mark.parametrize(
    "address", ["", "/home/someone/book", "../book.git", "https://example.org"]
)
def test_other_addresses_give_no_repository(address: str) -> None:
    assert notebook_links.Repository.parse(address) is None


def test_gitlab_has_subgroups_and_no_colab() -> None:
    repository = notebook_links.Repository.parse("git@gitlab.com:group/part/book.git")
    assert repository.url == "https://gitlab.com/group/part/book"
    assert repository.colab("gh-pages", "notebooks/x.ipynb") is None


def test_the_same_sources_give_the_same_wheel(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two = (notebook_links.build_wheel(ROOT, tmp_path / name) for name in ("one", "two"))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()


def notebook_of(*modules: str) -> dict:
    """A notebook with one widget of each module, and the layout that each has."""
    models = [("@jupyter-widgets/base", "LayoutModel"), *((module, "Model") for module in modules)]
    state = {
        str(number): {"model_module": module, "model_name": name, "state": {}}
        for number, (module, name) in enumerate(models)
    }
    return {"metadata": {"widgets": {page_widgets.STATE: {"state": state}}}, "cells": []}


def test_scripts_are_chosen_by_the_widgets_of_the_page() -> None:
    assert page_widgets.scripts_for({"metadata": {}, "cells": []}) == []
    assert page_widgets.scripts_for(notebook_of("anywidget")) == page_widgets.LOADER
    mixed = notebook_of("anywidget", "@jupyter-widgets/controls")
    assert page_widgets.scripts_for(mixed) == page_widgets.MANAGER


def test_tables_get_a_frame_once() -> None:
    framed = '<div class="pst-scrollable-table-container"><table class="x"><tr></tr></table></div>'
    assert page_polish.let_tables_scroll('<table class="x"><tr></tr></table>') == framed
    assert page_polish.let_tables_scroll(framed) == framed


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("a = b", "a = b"),
        ("a \\\\ b", r"\begin{aligned}a \\ b\end{aligned}"),
        ("a\n\nb", r"\begin{aligned}a \\ b\end{aligned}"),
        (r"\begin{pmatrix}1 \\ 2\end{pmatrix}", r"\begin{pmatrix}1 \\ 2\end{pmatrix}"),
    ],
)
def test_blocks_of_mathematics_become_one_formula(tex: str, expected: str) -> None:
    assert page_math.as_one_formula(tex, complete=False) == expected


def test_icons_keep_their_attributes_and_lose_their_font() -> None:
    folder = ROOT / "node_modules/@fortawesome/fontawesome-free/svgs"
    if not folder.is_dir():
        pytest.skip("the npm packages are not installed; `make book` does that")
    page = '<body><i class="theme-switch fa-solid fa-sun fa-lg" data-mode="light"></i></body>'
    svg = BeautifulSoup(page_polish.draw_icons(page, folder), "html.parser").svg
    assert svg["class"] == ["svg-inline--fa", "theme-switch", "fa-sun", "fa-lg"]
    assert svg["data-mode"] == "light"
    assert svg.path["d"]
