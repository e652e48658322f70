"""One paper, one chapter, one module, one test file; names mirrored, frame complete."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from cnnlib import papers
from cnnlib.models import MODELS

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted(ROOT.glob("chapters/*.ipynb"))
MODULES = sorted(p for p in ROOT.glob("cnnlib/models/*.py") if p.stem not in ("__init__", "layers"))


@pytest.mark.parametrize("module", MODULES, ids=lambda p: p.stem)
def test_every_network_has_a_paper_a_test_and_a_name_in_the_registry(module):
    assert module.stem in papers.PAPERS
    assert (ROOT / "tests" / "models" / f"test_{module.stem}.py").exists()
    assert any(cls.__module__ == f"cnnlib.models.{module.stem}" for cls, _ in MODELS.values())


@pytest.mark.parametrize("module", MODULES, ids=lambda p: p.stem)
def test_every_network_says_where_it_departs_from_its_paper(module):
    docstring = ast.get_docstring(ast.parse(module.read_text()))
    assert docstring and "Departure" in docstring


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda p: p.stem)
def test_every_chapter_is_in_the_table_of_contents(chapter):
    listed = re.findall(r"chapters/(\w+)", (ROOT / "_toc.yml").read_text())
    assert chapter.stem in listed


def test_numbered_chapters_are_those_of_the_papers_and_others_are_appendices():
    known = {p.chapter for p in papers.PAPERS.values()} | {"00_reading_papers", "14_looking_back"}
    numbered = {chapter.stem for chapter in CHAPTERS if chapter.stem[0].isdigit()}
    assert numbered <= known
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    parts = {part["caption"]: [page["file"] for page in part["chapters"]] for part in toc["parts"]}
    appendices = {chapter.stem for chapter in CHAPTERS} - numbered
    assert {f"chapters/{name}" for name in appendices} == set(parts["Appendix"])


def test_every_runtime_dependency_is_pinned_once_and_only_bounded_below_in_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "requirements.txt").read_text()
    for requirement in project["dependencies"]:
        name, bound = re.match(r"([\w.-]+)(.*)", requirement).groups()
        assert bound.startswith(">=") and "," not in bound and "<" not in bound, requirement
        assert re.search(rf"^{name}==", pins, re.M), f"{name} is not in requirements.txt"


def test_the_frame_names_no_address_of_its_own():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert not config["repository"]["url"]
    assert not config["launch_buttons"]["colab_url"]
