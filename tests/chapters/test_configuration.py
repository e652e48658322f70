"""What `conftest.py` and `pyproject.toml` promise: which tests run when, and no network."""

import os
import socket
import subprocess
import sys

import pytest

from tools import notebooks

MARKED = """\
import os
import pytest

def test_quick(): pass
@pytest.mark.slow
def test_slow(): pass
@pytest.mark.site
def test_site(): pass
@pytest.mark.colab
def test_colab(): pass
@pytest.mark.network
def test_network(): pass
@pytest.mark.gpu
def test_gpu(): assert "CUDA_VISIBLE_DEVICES" not in os.environ
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "passed", "skipped"),
    [
        ((), ["quick"], []),
        (("-m", ""), ["quick", "slow", "site", "colab"], ["network", "gpu"]),
        (("-m", "slow"), ["slow"], []),
        (("-m", "network"), [], ["network"]),
        (("--network", "-m", "network"), ["network"], []),
    ],
    ids=["plain", "everything", "slow", "network not asked for", "network"],
)
def test_marks_select_what_runs(tmp_path, arguments, passed, skipped):
    assert outcomes(tmp_path, *arguments) == (passed, skipped)


@pytest.mark.slow
def test_gpu_runs_only_the_tests_that_need_one_and_shows_it_to_them(tmp_path):
    passed, skipped = outcomes(tmp_path, "--gpu")
    assert passed + skipped == ["gpu"]


def outcomes(folder, *arguments: str) -> tuple[list[str], list[str]]:
    """Names of the passed and of the skipped tests of a file with one test per mark."""
    for name in ("conftest.py", "pyproject.toml", "nbval.cfg"):
        (folder / name).write_bytes((notebooks.ROOT / name).read_bytes())
    (folder / "tools").symlink_to(notebooks.ROOT / "tools")
    (folder / "test_marked.py").write_text(MARKED)
    hidden = ("PYTEST_", "COV_", "CUDA_VISIBLE_DEVICES")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    command = [sys.executable, "-m", "pytest", "-vrs", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        [*command, "test_marked.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split("::test_")[1] for line in done.stdout.splitlines() if "::test_" in line]
    passed = [line.split()[0] for line in lines if " PASSED" in line]
    return passed, [line.split()[0] for line in lines if " SKIPPED" in line]


def test_unit_tests_have_no_network():
    with pytest.raises(pytest.fail.Exception, match="asks the network for 192.0.2.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=0.1)
    with pytest.raises(pytest.fail.Exception, match="asks the network for example.org"):
        socket.getaddrinfo("example.org", 443)


def test_unit_tests_may_talk_to_this_computer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as client:
            assert client.getpeername()[1] == server.getsockname()[1]


def test_the_tests_run_in_the_environment_of_the_book():
    assert os.environ["OMP_NUM_THREADS"]
    assert os.environ["MPLBACKEND"] == "agg"
