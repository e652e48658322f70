"""What every run of pytest shares: one environment, chapters as tests, no network, the report.

    pytest                         the unit tests that are quick and need nothing
    pytest --nbval                 and every chapter: each code cell is run in a fresh kernel and
                                   what it prints is compared with what is stored
    pytest --nbval -m ""           and all the rest: slow, site, colab (this is `make test`)
    pytest -m slow, -m site ...    only the tests with that mark
    pytest --network -m network    the tests that fetch something from a public mirror
    pytest --gpu                   only the tests marked gpu, with the GPU in sight

The selection of a plain run is the `-m` in pyproject.toml; one on the command line replaces it.
Add `-n 2` for two processes: the cells of a chapter stay together (`--dist=loadscope`).
"""

import os
import socket
from collections.abc import Iterator
from unittest import mock

import pytest

from tools import checks, notebooks

for _name, _value in notebooks.DEFAULTS.items():
    os.environ.setdefault(_name, _value)
os.environ["MPLBACKEND"] = "agg"  # figures of unit tests need no window


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cnnlib")
    group.addoption("--network", action="store_true", help="run the tests marked network too")
    group.addoption("--gpu", action="store_true", help="run the tests marked gpu, and only those")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.gpu:
        config.option.markexpr = "gpu"
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the same tests everywhere
    if not getattr(config.option, "nbval_sanitize_with", "unknown option"):
        # nbval would look for the file where pytest was started, not where it lies
        config.option.nbval_sanitize_with = str(config.rootpath / "nbval.cfg")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("network") and not config.option.network:
            item.add_marker(pytest.mark.skip(reason="needs --network"))
        if item.get_closest_marker("gpu") and not (config.option.gpu and _sees_gpu()):
            reason = "no CUDA device" if config.option.gpu else "needs --gpu"
            item.add_marker(pytest.mark.skip(reason=reason))


def _sees_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


# -- chapters ---------------------------------------------------------------------------------


def _is_cell(item: pytest.Item) -> bool:
    return type(item).__name__ == "IPyNbCell"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    """The first cell of a chapter starts its kernel, which inherits the book's environment."""
    if not _is_cell(item):
        return (yield)
    with mock.patch.dict(os.environ, notebooks.FIXED):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """nbval lets a cell pass that was never run: there is nothing to compare with. We do not."""
    result = yield
    if _is_cell(item) and item.cell.execution_count is None:
        pytest.fail("this cell was never run; store its output with `make execute`", pytrace=False)
    return result


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """After `pytest --nbval`: how many cells are compared, and which are not, and why."""
    if not getattr(config.option, "nbval", False):
        return
    lines = checks.report(notebooks.chapters(config.rootpath / "chapters"))
    if lines:
        terminalreporter.section("cells of the chapters")
        for line in lines:
            terminalreporter.line(line)


# -- no network -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Unit tests talk to this computer at most; one that is marked `network` may go out."""
    if request.node.get_closest_marker("network") is None:
        connect, look_up = socket.socket.connect, socket.getaddrinfo

        def checked_connect(self: socket.socket, address):
            if self.family in (socket.AF_INET, socket.AF_INET6):
                _only_here(address[0])
            return connect(self, address)

        def checked_look_up(host, *args, **kwargs):
            _only_here(host)
            return look_up(host, *args, **kwargs)

        monkeypatch.setattr(socket.socket, "connect", checked_connect)
        monkeypatch.setattr(socket, "getaddrinfo", checked_look_up)
    yield


def _only_here(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    local = name is None or name in ("", "localhost", "::1", "0.0.0.0") or name.startswith("127.")
    if not local:  # not an exception that the code under test would take for a dead network
        pytest.fail(f"this test asks the network for {name}; mark it `network` or fake the answer")
