"""Fixtures for tests that look at the site in a real browser.

    def test_something(page_at):
        page = page_at("chapters/01_lenet.html", dark=True, width=375)
        page.get_by_role("button", name="Clear").click()

``page_at`` gives a page of playwright (https://playwright.dev/python), ready, with its widgets
alive. The network is cut off: only the site itself answers. When the test is over, every page that
it opened must be clean: nothing asked of another host, nothing missing, no error in the console.
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tools import build_site, serve, setup_env

sys.path.insert(0, str(Path(__file__).parent))
import browsing
import mini_book
from browsing import Site, Visitor


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses a browser or the built site is marked ``site``."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            if {"site", "mini_site"} & set(getattr(item, "fixturenames", ())):
                item.add_marker(pytest.mark.site)


# --- sites ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def served() -> Iterator[Callable[[Path], Site]]:
    """Serves folders until the tests are over."""
    servers = []

    def start(folder: Path) -> Site:
        server = serve.server(folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return Site(folder.resolve(), f"http://{serve.HOST}:{server.server_port}/")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def site(served: Callable[[Path], Site]) -> Site:
    """The book's own site, built now if it is not up to date."""
    assert build_site.build(), "the book could not be built; its complaints are above"
    return served(setup_env.ROOT / "_build/html")


@pytest.fixture(scope="session")
def mini_site(served: Callable[[Path], Site], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A small book with one of everything, built with the configuration of the real one."""
    book = mini_book.write(tmp_path_factory.mktemp("mini") / "book")
    status, said = build_site.run_jupyter_book(book, book)
    assert status == 0, said
    return served(book / "_build/html")


# --- the browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")  # a running playwright is in the way of others' event loops
def browser() -> Iterator[Browser]:
    """A Chromium or Chrome."""
    with browsing.running_browser() as browser:
        yield browser


@pytest.fixture
def page_at(browser: Browser, site: Site) -> Iterator[Visitor]:
    """Opens pages of the book."""
    visitor = Visitor(browser, site)
    yield visitor
    visitor.check_and_close()


@pytest.fixture
def mini_page_at(browser: Browser, mini_site: Site) -> Iterator[Visitor]:
    """Opens pages of the small book."""
    visitor = Visitor(browser, mini_site)
    yield visitor
    visitor.check_and_close()


# --- looking at pages ----------------------------------------------------------------------------


@pytest.fixture
def accessible() -> Callable[[Page], None]:
    """Checks with axe-core that a page has no serious or critical barriers."""
    if not browsing.AXE.is_file():
        pytest.fail("axe-core is not installed; `make book` does that", pytrace=False)

    def check(page: Page) -> None:
        faults = browsing.axe_faults(page)
        assert not faults, "\n".join(faults)

    return check


@pytest.fixture
def book_copy(tmp_path: Path) -> Iterator[Callable[[dict[str, str]], tuple[int, str, Path]]]:
    """Builds the small book with some files changed: (exit status, what was said, the site)."""

    def build(changes: dict[str, str]) -> tuple[int, str, Path]:
        book = mini_book.write(tmp_path / "book")
        for name, text in changes.items():
            (book / name).write_text(text, "utf-8")
        status, said = build_site.run_jupyter_book(book, book)
        return status, said, book / "_build/html"

    yield build
    shutil.rmtree(tmp_path / "book", ignore_errors=True)
