"""Chapter 14 in the browser: the map holds what the census holds, and leads to the chapters."""

import pytest

from cnnlib.inspection.census import entries
from cnnlib.widgets import NetworkMap

pytestmark = pytest.mark.site

PATH = "chapters/14_looking_back.html"


def choose(page, **settings):
    for name, option in settings.items():
        page.locator(f".cnn-map select[data-setting={name}]").select_option(option)


def drawn(page):
    return page.locator(".cnn-map [data-network]").evaluate_all(
        "all => all.map((e) => e.dataset.network)"
    )


def test_it_begins_with_error_against_time(page_at):
    page = page_at(PATH)
    assert drawn(page) == [entry.name for entry in NetworkMap(x="time").shown()]


def test_the_second_thing_to_try_shows_the_networks_of_cifar(page_at):
    page = page_at(PATH)
    choose(page, data="CIFAR-10", x="parameters")
    widget = NetworkMap(x="parameters", data="CIFAR-10")
    assert drawn(page) == [entry.name for entry in widget.shown()]
    rows = page.locator(".cnn-map tbody tr")
    assert rows.count() == len(widget.shown())
    cheapest = min(widget.shown(), key=lambda e: e.parameters)
    assert rows.first.get_attribute("data-row") == cheapest.name == widget.front("as it is")[0].name


@pytest.mark.parametrize("name", ["vgg_e", "efficientnet_b7", "alexnet"])
def test_a_click_opens_the_chapter_of_a_network(page_at, name):
    page = page_at(PATH)
    chapter = next(entry.chapter for entry in entries() if entry.name == name)
    dot = page.locator(f".cnn-map [data-network='{name}']")
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_url(f"**/{chapter}.html")


def test_keys_alone_lead_to_a_chapter(page_at):
    page = page_at(PATH, dark=True, width=375)
    page.locator(".cnn-map [role=listbox]").focus()
    page.keyboard.press("End")
    slowest = max(NetworkMap(x="time").shown(), key=lambda e: e.time.median)
    selected = page.locator(".cnn-map [aria-selected=true]")
    assert selected.get_attribute("data-network") == slowest.name
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{slowest.chapter}.html")
