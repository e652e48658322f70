"""The setup cell does nothing where cnnlib is, and says what to do where it is not."""

import base64
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools import notebooks, setup_cell


@pytest.fixture
def without_cnnlib(monkeypatch, tmp_path):
    """An empty folder, no cnnlib, and a pip that notes what it is asked and gives set answers."""
    asked, answers = [], []

    def pip(command, **_):
        asked.append(command[1:])
        code, text = answers.pop(0)
        return SimpleNamespace(returncode=code, stderr=text)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: [])
    monkeypatch.setattr(subprocess, "run", pip)
    return SimpleNamespace(asked=asked, answers=answers, folder=tmp_path)


def run(source: str = setup_cell.SOURCE) -> dict:
    names: dict = {}
    exec(compile(source, "setup cell", "exec"), names)
    return names


def test_it_does_nothing_and_prints_nothing_where_cnnlib_is_installed(capsys, monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it started something"))
    for source in (setup_cell.SOURCE, setup_cell.carrying("cnnlib-0.1.0+n1-py3-none-any.whl", "")):
        run(source)
        run(source)
    assert capsys.readouterr() == ("", "")


def test_it_says_what_to_do_where_there_is_no_wheel(without_cnnlib):
    with pytest.raises(RuntimeError, match="self-contained notebook.*pip install ."):
        run()
    assert without_cnnlib.asked == []


def test_it_installs_the_wheel_beside_the_notebook(without_cnnlib, capsys):
    (without_cnnlib.folder / "cnnlib-0.1.0-py3-none-any.whl").touch()
    without_cnnlib.answers += [(0, "")]
    run()
    wheel = "cnnlib-0.1.0-py3-none-any.whl"
    assert without_cnnlib.asked == [["-m", "pip", "install", "--quiet", wheel]]
    assert capsys.readouterr() == ("", "")


def test_it_installs_what_it_carries(without_cnnlib):
    text = base64.b64encode(b"a wheel").decode()
    without_cnnlib.answers += [(0, "")]
    run(setup_cell.carrying("cnnlib-0.1.0+n1-py3-none-any.whl", text))
    wheel = Path(without_cnnlib.asked[0][-1])
    assert wheel.read_bytes() == b"a wheel"
    assert wheel.name == "cnnlib-0.1.0+n1-py3-none-any.whl"
    assert list(without_cnnlib.folder.iterdir()) == []


def test_without_a_network_it_makes_do_with_what_is_there(without_cnnlib, capsys):
    (without_cnnlib.folder / "cnnlib-0.1.0-py3-none-any.whl").touch()
    without_cnnlib.answers += [(1, "ERROR: No matching distribution found for anywidget"), (0, "")]
    run()
    assert without_cnnlib.asked[1][-1] == "--no-deps"
    told = capsys.readouterr().out
    assert "Interactive parts may be missing" in told
    assert "No matching distribution found for anywidget" in told


def test_it_shows_what_pip_says_if_nothing_can_be_installed(without_cnnlib):
    (without_cnnlib.folder / "cnnlib-0.1.0-py3-none-any.whl").touch()
    without_cnnlib.answers += [(1, "no network"), (1, "error: externally-managed-environment")]
    with pytest.raises(RuntimeError, match="could not install cnnlib.*externally-managed"):
        run()


@pytest.mark.parametrize(
    ("installed", "replaced"),
    [("0.1.0", False), ("0.0.9", False), ("0.1.0+n1", False), ("0.1.0+n2", True)],
)
def test_it_replaces_the_copy_of_another_notebook_but_never_a_full_library(
    without_cnnlib, monkeypatch, installed, replaced
):
    found = [SimpleNamespace(version=installed)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(importlib.metadata, "distributions", lambda **_: found)
    without_cnnlib.answers += [(0, "")]
    run(setup_cell.carrying("cnnlib-0.1.0+n1-py3-none-any.whl", "AAAA"))
    assert bool(without_cnnlib.asked) == replaced


def test_it_never_asks_an_index_for_the_name():
    for source in (setup_cell.SOURCE, setup_cell.carrying("x.whl", "")):
        assert "install cnnlib" not in source
        assert '"cnnlib"]' not in source and "'cnnlib']" not in source
    assert len(setup_cell.SOURCE.splitlines()) <= 30


@pytest.mark.parametrize("source", [setup_cell.SOURCE, setup_cell.carrying("x.whl", "AA")])
def test_it_has_the_style_of_the_book(tmp_path, source):
    path = tmp_path / "chapter.ipynb"
    notebook = {"cells": [dict(setup_cell.cell(), source=source)], "metadata": {}}
    notebook |= {"nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(notebook))
    config = f"--config={notebooks.ROOT / 'chapters' / 'ruff.toml'}"
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, config, "--no-cache", str(path)]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
