"""Every page of the book, in a real browser with the network cut off."""

from __future__ import annotations

import json

import pytest

from tools import build_site, site_checks

PAGES = [*build_site.pages(), "search.html", "genindex.html"]
WEIGHTS = build_site.ROOT / "_build/page-weights.json"
HEAVIEST = 1_500_000  # bytes of a page with all that it loads, not compressed


@pytest.mark.parametrize("scheme", ["http", "file"])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_loads_in_peace(page_at, path: str, scheme: str) -> None:
    page = page_at(path, scheme=scheme)  # that nothing was missing is checked when it closes
    assert page.locator("#main-content :is(h1, h2):visible").first.is_visible()
    assert page_at.visits[0].foreign == []


OPEN_ALL = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible(page_at, accessible, path: str) -> None:
    page = page_at(path)
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    accessible(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_dark_page_with_all_its_folds_open_is_accessible(page_at, accessible, path: str) -> None:
    page = page_at(path, dark=True)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.evaluate(OPEN_ALL)
    accessible(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_a_phone(page_at, accessible, path: str) -> None:
    page = page_at(path, width=375, height=740, touch=True)
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    assert page.evaluate("document.body.scrollWidth") <= 375
    accessible(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_light(page_at, path: str, record_property) -> None:
    page_at(path)
    sizes = page_at.visits[0].sizes.values()
    raw, zipped = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
    record_property("bytes", raw)
    record_property("bytes with gzip", zipped)
    weights = json.loads(WEIGHTS.read_text()) if WEIGHTS.exists() else {}
    WEIGHTS.write_text(json.dumps(weights | {path: {"raw": raw, "gzip": zipped}}, indent=1) + "\n")
    assert raw <= HEAVIEST


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("chapters/")])
def test_widgets_come_alive(page_at, path: str) -> None:
    page = page_at(path)
    views = page.locator('script[type="application/vnd.jupyter.widget-view+json"]')
    for number in range(views.count()):
        output = views.nth(number).locator("xpath=..")
        assert output.locator(".anywidget, .widget-subarea > *").first.evaluate(
            "(element) => element.childElementCount"
        )
        for picture in output.locator(":scope > .widget-fallback").all():
            assert not picture.is_visible()


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("chapters/")])
def test_without_javascript_widgets_are_still_pictures(page_at, path: str) -> None:
    page = page_at(path, javascript=False)
    views = page.locator('script[type="application/vnd.jupyter.widget-view+json"]')
    pictures = page.locator(".widget-fallback")
    assert pictures.count() == views.count()
    for picture in pictures.all():
        assert picture.is_visible()


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("chapters/")])
def test_a_chapter_can_be_taken_home(page_at, site, path: str) -> None:
    page = page_at(path)
    with page.expect_download() as download:
        page.locator(".notebook-links").get_by_text("Download this notebook").click()
    notebook = json.loads(download.value.path().read_text("utf-8"))
    assert notebook["nbformat"] == 4
    assert list((site.folder / "notebooks").glob("cnnlib-*.whl"))


@pytest.mark.parametrize("path", [path for path in PAGES if path.startswith("chapters/")])
def test_code_can_be_copied(page_at, path: str) -> None:
    page = page_at(path)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cell = page.locator("div.cell:not(.tag_hide-cell) div.cell_input").first
    cell.hover()
    cell.get_by_role("button", name="Copy").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == cell.locator("pre").inner_text().strip()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_search_finds_convolution(page_at, scheme: str) -> None:
    page = page_at("search.html", scheme=scheme)
    page.locator("main input[name=q], .bd-article-container input[name=q]").first.fill(
        "convolution"
    )
    page.keyboard.press("Enter")
    page.wait_for_selector("ul.search li a")
    assert "glossary.html" in " ".join(
        link.get_attribute("href") or "" for link in page.locator("ul.search li a").all()
    )


def test_search_is_one_key_away(page_at) -> None:
    page = page_at("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("convolution")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=convolution")
    page.wait_for_selector("ul.search li a")


def test_a_reader_can_choose_dark_and_it_stays(page_at) -> None:
    page = page_at("index.html")
    button = page.locator(".theme-switch-button").first
    for _ in range(3):
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        button.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_every_link_leads_somewhere(site) -> None:
    assert site_checks.dead_links(site.folder) == []


def test_no_page_asks_another_host(site) -> None:
    assert site_checks.foreign_resources(site.folder) == []


def test_every_picture_says_what_it_shows(site) -> None:
    assert site_checks.images_without_alt(site.folder) == []


def test_every_page_describes_itself(site) -> None:
    descriptions = {}
    for path in site_checks.pages(site.folder):
        if path.name in ("search.html", "genindex.html"):
            continue
        tag = site_checks.parse(path).find("meta", attrs={"name": "description"})
        assert tag and len(tag["content"]) > 20, path
        descriptions[tag["content"]] = path
    assert descriptions
