"""What must hold for the files of a built site; each function returns faults as sentences.

The tests of the real site use them, and the tests of the gates see that they find planted faults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

# attributes by which a page makes the browser fetch something at once; links wait for a click
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
FETCHED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "manifest"}
ADDRESS = r"""\s*["'`]?(?:https?:)?//[^\s"'`)]+"""
FETCHED_BY_SCRIPT = re.compile(r"(?:\bimport\s*\(?|\bfrom|\bfetch\()" + ADDRESS)
FETCHED_BY_STYLE = re.compile(r"(?:@import(?:\s*url\()?|url\()" + ADDRESS)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


@cache
def parse(path: Path) -> BeautifulSoup:
    """A page of the site."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def pages(site: Path) -> list[Path]:
    """All pages of a site."""
    return sorted(site.rglob("*.html"))


def is_foreign(address: str) -> bool:
    """Whether an address leads to a network."""
    parts = urlsplit(address.strip())
    return bool(parts.netloc) or parts.scheme in ("http", "https", "ws", "wss")


def foreign_resources(site: Path) -> list[str]:
    """Scripts, styles, pictures and frames that a page or a style sheet asks of another host."""
    faults = []
    for path in pages(site):
        name, page = path.relative_to(site), parse(path)
        for address in fetched_addresses(page):
            if is_foreign(address):
                faults.append(f"{name} fetches {address}")
        scripts = [code.get_text() for code in page.find_all("script")]
        styles = [COMMENT.sub("", code.get_text()) for code in page.find_all("style")]
        found = FETCHED_BY_SCRIPT.findall("\n".join(scripts))
        found += FETCHED_BY_STYLE.findall("\n".join(styles))
        faults += [f"{name} has code that fetches: {code}" for code in found]
    for path in sorted(site.rglob("*.css")):
        for code in FETCHED_BY_STYLE.findall(COMMENT.sub("", path.read_text("utf-8"))):
            faults.append(f"{path.relative_to(site)} fetches: {code}")
    return faults


def fetched_addresses(page: BeautifulSoup) -> Iterator[str]:
    """The addresses that a browser fetches when it shows a page."""
    for name, attribute in FETCHED.items():
        for element in page.find_all(name):
            if address := element.get(attribute):
                yield str(address)
            for part in str(element.get("srcset") or "").split(","):
                if part.strip():
                    yield part.split()[0]
    for link in page.find_all("link"):
        if FETCHED_LINKS & set(link.get("rel") or ()):
            yield str(link.get("href") or "")


def dead_links(site: Path) -> list[str]:
    """Links, pictures and scripts of the site that lead nowhere in the site."""
    faults = []
    for path in pages(site):
        page = parse(path)
        addresses = [str(link["href"]) for link in page.find_all("a", href=True)]
        for address in [*addresses, *fetched_addresses(page)]:
            if fault := _fault_of_address(address, path, site):
                faults.append(f"{path.relative_to(site)}: {fault}")
    return faults


def _fault_of_address(address: str, path: Path, site: Path) -> str | None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(site.resolve()) or not target.is_file():
        return f"{address} leads to no file of the site"
    if parts.fragment and target.suffix == ".html":
        wanted = unquote(parts.fragment)
        if wanted not in {str(element["id"]) for element in parse(target).find_all(id=True)}:
            return f"{address}: the page has no place #{wanted}"
    return None


def images_without_alt(site: Path) -> list[str]:
    """Pictures that say nothing to those who do not see them.

    Sphinx writes the file's name where there is no text; that counts as none. A picture with an
    empty text is decoration and must say so by ``role="presentation"`` or sit in a named link.
    """
    faults = []
    for path in pages(site):
        for image in parse(path).find_all("img"):
            alt = image.get("alt")
            if alt is None or (not str(alt).strip() and not _is_decoration(image)):
                faults.append(f"{path.relative_to(site)}: {image.get('src')} has no alt text")
            elif Path(str(alt)).name == Path(unquote(str(image.get("src") or "-"))).name:
                faults.append(f"{path.relative_to(site)}: {alt} has its file name as alt text")
    return faults


def _is_decoration(image: Tag) -> bool:
    link = image.find_parent("a")
    named = link is not None and bool(link.get_text(strip=True))
    return image.get("role") == "presentation" or image.get("aria-hidden") == "true" or named
