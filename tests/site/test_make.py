"""``make``: what set-up does and says when something is missing, broken or interrupted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections import namedtuple
from pathlib import Path

import pytest

from tools import build_site, serve, setup_env

ROOT = setup_env.ROOT


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the root of the project, with some variables set."""
    # `make test` tells a make inside it to speak as one of several; each here is the first
    outside = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=outside | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for an environment; nothing is there yet."""
    monkeypatch.setattr(setup_env, "VENV", tmp_path / "venv")
    return tmp_path / "venv"


def executable(path: Path, script: str) -> Path:
    """Write a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


# --- the way in ----------------------------------------------------------------------------------


def test_make_alone_says_what_there_is() -> None:
    done = run("make")
    assert done.returncode == 0
    for target in ("book", "serve", "test", "lint", "execute", "bench", "lock", "clean", "help"):
        assert f"make {target}" in done.stdout


def test_every_target_of_make_is_explained() -> None:
    targets = {
        line.split(":")[0]
        for line in (ROOT / "Makefile").read_text().splitlines()
        if line[:1].isalpha()
        and ":" in line
        and "=" not in line.split(":")[0]
        and not line.startswith("export")
        and "=" not in line.split("##")[0]
    }
    explained = {line.split()[1] for line in run("make").stdout.splitlines()[1:]}
    assert targets == explained


def test_without_a_new_python_make_says_so(tmp_path: Path) -> None:
    executable(tmp_path / "python3", 'case "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac')
    for tool in ("sh", "cat"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = run(tmp_path / "sh", "tools/find_python.sh", PATH=str(tmp_path))
    assert done.returncode == 1
    assert "Python 3.11 or newer is needed (Python 3.9.2 is what I find)" in done.stderr
    assert done.stdout == ""


def test_a_python_named_by_the_user_is_taken_or_refused(tmp_path: Path) -> None:
    assert run("sh", "tools/find_python.sh", sys.executable).stdout.strip() == sys.executable
    done = run("sh", "tools/find_python.sh", tmp_path / "python9")
    assert done.returncode == 1
    assert "is no Python 3.11 or newer" in done.stderr


def test_without_ensurepip_set_up_names_the_package_to_install(tmp_path: Path) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError('no ensurepip')")
    paths = {"PYTHONPATH": str(tmp_path), "VENV": str(tmp_path / "venv")}
    done = run(sys.executable, "tools/setup_env.py", "book", **paths)
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_env, "NEEDS_PYTHON", (4, 0))
    with pytest.raises(setup_env.SetupError, match=r"Python 4\.0 or newer is needed"):
        setup_env.check_python()


def test_a_full_disk_is_noticed_before_anything_is_installed(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**10, 10**10, 3 * 10**8))
    with pytest.raises(setup_env.SetupError, match="needs about 9 GB .* and 0.3 GB are free"):
        setup_env.check_space("python")
    assert not venv.exists()


@pytest.mark.slow
def test_without_a_network_set_up_says_so_and_can_be_repeated(tmp_path: Path) -> None:
    nowhere = {
        "VENV": str(tmp_path / "venv"),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_FIND_LINKS": "",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
    }
    for _ in range(2):
        done = run(sys.executable, "tools/setup_env.py", "book", **nowhere)
        assert done.returncode == 1
        assert "There seems to be no network" in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("venv/.ready-*"))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("npm error code ENOTFOUND", "There seems to be no network"),
        ("something else", "failed; its last lines are above"),
    ],
)
def test_errors_of_commands_become_sentences(tmp_path: Path, said: str, sentence: str) -> None:
    program = executable(tmp_path / "program", f"echo '{said}'; exit 3")
    with pytest.raises(setup_env.SetupError, match=sentence):
        setup_env.run([program])


@pytest.mark.parametrize(
    ("tests", "lint", "status"), [(0, 0, 0), (1, 0, 1), (0, 2, 2)], ids=["good", "test", "lint"]
)
def test_ci_ends_with_the_closing_line_and_fails_if_a_part_fails(
    tmp_path: Path, tests: int, lint: int, status: int
) -> None:
    shutil.copytree(ROOT / ".ci", tmp_path / "book/.ci")
    closing = "===== 3 passed, 1 skipped in 65.43s (0:01:05) ====="
    make = f"""case "$1" in
    test) echo "$PWD"; echo "{closing}"; echo "make test: a summary"; exit {tests};;
    lint) echo "All checks passed!"; exit {lint};; esac"""
    executable(tmp_path / "bin/make", make)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = run("bash", tmp_path / "book/.ci/run", PATH=path)
    assert done.stdout.splitlines()[0] == str(tmp_path / "book")
    assert done.stdout.splitlines()[-1] == closing
    assert done.returncode == status


# --- what is there already -----------------------------------------------------------------------


def test_a_stamp_is_fresh_as_long_as_its_parts_are(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("torch==1")
    stamp = setup_env.Stamp(tmp_path / "stamp", lock, "3.11")
    assert not stamp.is_fresh()
    stamp.set()
    assert setup_env.Stamp(tmp_path / "stamp", lock, "3.11").is_fresh()
    assert not setup_env.Stamp(tmp_path / "stamp", lock, "3.12").is_fresh()
    lock.write_text("torch==2")
    assert not setup_env.Stamp(tmp_path / "stamp", lock, "3.11").is_fresh()


def test_a_half_made_environment_is_made_again(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(venv / "bin/python", "exit 1")  # as if it had been interrupted, or moved
    commands = []

    def remember(command, **options) -> None:
        commands.append(command)
        executable(venv / "bin/python", "echo 26 3")

    monkeypatch.setattr(setup_env, "run", remember)
    setup_env.make_environment()
    assert commands == [[sys.executable, "-m", "venv", "--clear", venv]]


def test_half_installed_packages_are_installed_again(venv: Path) -> None:
    packages = venv / "lib/python3.11/site-packages"
    for name in ("whole-1.dist-info", "half-1.dist-info"):
        (packages / name).mkdir(parents=True)
    (packages / "whole-1.dist-info/INSTALLER").write_text("pip")
    setup_env.forget_half_installed()
    assert [path.name for path in packages.iterdir()] == ["whole-1.dist-info"]


def test_an_interrupted_installation_leaves_no_stamp(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(command, **options) -> None:
        raise KeyboardInterrupt

    venv.mkdir()
    monkeypatch.setattr(setup_env, "make_environment", lambda: None)
    monkeypatch.setattr(setup_env, "run", interrupt)
    assert setup_env.main(["book"]) == 130
    assert not list(venv.glob(".ready-*"))


# --- the site ------------------------------------------------------------------------------------


def test_the_site_is_built_again_when_a_source_changes(tmp_path: Path) -> None:
    for name in ("_config.yml", "index.md"):
        (tmp_path / name).write_text("one")
    (tmp_path / "_build/html").mkdir(parents=True)
    (tmp_path / "_build/html/index.html").write_text("<html>")
    assert not build_site.is_current(tmp_path)
    build_site.stamp_of(tmp_path).set()
    assert build_site.is_current(tmp_path)
    (tmp_path / "index.md").write_text("two")
    assert not build_site.is_current(tmp_path)


def test_a_failed_build_keeps_the_last_site_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.md").write_text("one")
    (tmp_path / "_build/html").mkdir(parents=True)
    (tmp_path / "_build/html/index.html").write_text("the last one")
    said = "reading\nindex.md:3: WARNING: unknown document\nfinished\n"
    monkeypatch.setattr(build_site, "run_jupyter_book", lambda *args, **options: (1, said))
    assert not build_site.build(tmp_path)
    assert (tmp_path / "_build/html/index.html").read_text() == "the last one"
    assert not build_site.is_current(tmp_path)
    complaints = capsys.readouterr().err
    assert "unknown document" in complaints
    assert "reading" not in complaints


def test_a_taken_port_is_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind((serve.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serve.first_free(tmp_path, port) as running:
            assert running.server_port > port
    assert f"Port {port} is taken." in capsys.readouterr().out


def test_without_a_site_serve_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "SITE", tmp_path)
    assert serve.main([]) == 1
    assert "run `make book` first" in capsys.readouterr().err


def test_notebooks_are_served_as_what_they_are(tmp_path: Path, served) -> None:
    (tmp_path / "x.ipynb").write_text("{}")
    address = served(tmp_path).address
    with urllib.request.urlopen(f"{address}x.ipynb") as answer:
        assert answer.headers["Content-Type"] == "application/x-ipynb+json"
