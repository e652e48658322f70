"""Looking at a site with a browser: what the fixtures of ``conftest.py`` are made of."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, Response, Route, sync_playwright

from tools import setup_env

AXE = setup_env.ROOT / "node_modules/axe-core/axe.min.js"
LAUNCH = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# Jupyter's widget manager says this about its own code on every page
HARMLESS = ("strict mode: use allowUnionTypes",)
WIDGETS_READY = """() => document.documentElement.dataset.widgets === "ready"
  || !document.querySelector('script[type="application/vnd.jupyter.widget-view+json"]')"""


@dataclass(frozen=True)
class Site:
    """A built site, served on this machine.

    Attributes:
        folder: Where it lies.
        address: Where it is served, with a slash at the end.
    """

    folder: Path
    address: str

    def url(self, path: str, scheme: str) -> str:
        """The address of a page, served (``http``) or on disk (``file``)."""
        return self.address + path if scheme == "http" else (self.folder / path).as_uri()


@dataclass
class Visit:
    """A page that a test has opened, and what it asked for and complained about.

    Attributes:
        page: The page.
        foreign: Requests to other hosts; they were not answered.
        faults: Missing files, errors and warnings in the console.
        sizes: Bytes of each file that the site sent, by address: (as they are, gzipped).
    """

    page: Page
    foreign: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass
class Visitor:
    """Opens pages of a site; see the top of this file."""

    browser: Browser
    site: Site
    visits: list[Visit] = field(default_factory=list)

    def __call__(
        self,
        path: str = "index.html",
        *,
        dark: bool = False,
        width: int = 1280,
        height: int = 900,
        scheme: str = "http",
        javascript: bool = True,
        touch: bool = False,
    ) -> Page:
        """Open a page and wait until it is complete.

        Args:
            path: Of the page, in the site.
            dark: Whether the reader prefers dark pages.
            width: Of the window, in CSS pixels.
            height: Of the window, in CSS pixels.
            scheme: ``http`` (from a server) or ``file`` (from disk).
            javascript: Whether the browser runs scripts.
            touch: Whether the screen can be touched.
        """
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=javascript,
            has_touch=touch,
            reduced_motion="reduce",  # no waiting for smooth scrolling
        )
        context.set_default_timeout(20_000)
        visit = Visit(context.new_page())
        self.visits.append(visit)
        self._listen(visit)
        visit.page.goto(self.site.url(path, scheme), wait_until="load")
        if javascript:
            visit.page.evaluate("document.fonts.ready.then(() => null)")
            visit.page.wait_for_function(WIDGETS_READY)
        return visit.page

    def _listen(self, visit: Visit) -> None:
        def admit(route: Route) -> None:
            address = route.request.url
            if address.startswith((self.site.address, "file://", "blob:", "data:")):
                route.continue_()
            else:
                visit.foreign.append(address)
                route.abort()

        def weigh(response: Response) -> None:
            if response.status >= 400:
                visit.faults.append(f"{response.status} for {response.url}")
            elif response.url.startswith(self.site.address):
                place = response.url.removeprefix(self.site.address).split("?")[0]
                file = self.site.folder / place
                content = file.read_bytes() if file.is_file() else b""
                visit.sizes[place] = len(content), len(gzip.compress(content, 6))

        page = visit.page
        page.route("**/*", admit)
        page.on("response", weigh)
        page.on("pageerror", lambda error: visit.faults.append(f"error: {error}"))
        page.on(
            "console",
            lambda message: (
                visit.faults.append(f"console: {message.text}")
                if message.type in ("error", "warning") and not message.text.startswith(HARMLESS)
                else None
            ),
        )

    def check_and_close(self) -> None:
        """Close all pages; each must have been clean."""
        faults = []
        for visit in self.visits:
            where = visit.page.url
            faults += [f"{where} asked for {address}" for address in visit.foreign]
            faults += [f"{where}: {fault}" for fault in visit.faults]
            visit.page.context.close()
        assert not faults, "\n".join(faults)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A Chromium or Chrome, headless.

    Raises:
        FileNotFoundError: There is none.
    """
    path = setup_env.find_browser() or setup_env.playwright_browser()
    if path is None:
        raise FileNotFoundError("no Chromium or Chrome found; `make test` installs one")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = [*LAUNCH, "--no-sandbox"] if root else LAUNCH  # the sandbox does not start for root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def axe_faults(page: Page) -> list[str]:
    """What axe-core finds of serious or critical barriers on a page."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{fault['impact']}: {fault['id']} ({fault['help']}) at {node['target']}: {node['html']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
