"""The map in a browser: what it shows is what the census says, by mouse, finger and keys."""

import pytest

from cnnlib.inspection.census import entries
from cnnlib.widgets import NetworkMap

pytestmark = pytest.mark.site


def labels(page):
    """Names of the networks drawn, by the table's order."""
    return page.locator(".cnn-map [data-row] th").all_text_contents()


def choose(page, name, option):
    page.locator(f"select[data-setting={name}]").select_option(option)


def centre(page, network):
    box = page.locator(f"[data-network='{network}']").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_dot_for_every_network_with_both_numbers(show):
    page = show(NetworkMap())
    for x, y, data in (
        ("macs", "top1", "ImageNet"),
        ("time", "top5", "ImageNet"),
        ("parameters", "top1", "CIFAR-10"),
        ("year", "macs", "MNIST"),
    ):
        for name, value in (("x", x), ("y", y), ("data", data)):
            choose(page, name, value)
        expected = [entry.name for entry in NetworkMap(x=x, y=y, data=data).shown()]
        dots = page.locator("[data-network]")
        assert dots.evaluate_all("all => all.map((e) => e.dataset.network)") == expected
        assert sorted(labels(page)) == sorted(e.label for e in entries() if e.name in expected)


def test_a_test_can_be_left_out_and_its_shape_is_its_own(show):
    page = show(NetworkMap())
    shapes = page.locator(".cnn-map-legend:visible path").evaluate_all(
        "all => all.map((e) => e.getAttribute('d'))"
    )
    assert len(set(shapes)) == len(shapes) == 4
    whole = page.locator("[data-network]").count()
    page.locator("[data-testing='10 crops']").click()
    without = [e for e in NetworkMap().shown() if e.testing != "10 crops"]
    assert page.locator("[data-network]").count() == len(without) < whole
    assert page.locator("[data-testing='10 crops']").get_attribute("aria-pressed") == "false"


def test_fronts_are_drawn_for_each_test_alone(show):
    page = show(NetworkMap(x="time"))
    widget = NetworkMap(x="time")
    for i, testing in enumerate(widget.order):
        front = widget.front(testing)
        line = page.locator(f".cnn-map-front.cnn-colour-{i}")
        assert line.count() == (len(front) > 1)
        if len(front) > 1:
            assert len(line.get_attribute("d").replace("L", "M").split("M")) - 1 == len(front)
    page.locator("[data-toggle=fronts]").click()
    assert page.locator(".cnn-map-front").count() == 0


def test_keys_go_from_dot_to_dot_and_enter_opens_the_chapter(show):
    page = show(NetworkMap())
    page.locator("[role=listbox]").focus()
    page.keyboard.press("Home")
    shown = sorted(NetworkMap().shown(), key=lambda e: e.macs)
    assert page.locator("[aria-selected=true]").get_attribute("data-network") == shown[0].name
    page.keyboard.press("ArrowRight")
    assert page.locator("[aria-selected=true]").get_attribute("data-network") == shown[1].name
    page.keyboard.press("End")
    assert page.locator("[aria-selected=true]").get_attribute("data-network") == shown[-1].name
    page.keyboard.press("ArrowDown")
    active = page.locator("[role=listbox]").get_attribute("aria-activedescendant")
    assert page.locator("[aria-selected=true]").get_attribute("id") == active
    assert opened(page, lambda: page.keyboard.press("Enter"))


def opened(page, act):
    """Where a link would lead: the click is caught, since there is no book around this widget."""
    page.evaluate(
        """() => {
            window.led = null;
            document.addEventListener("click", (event) => {
                const link = event.target.closest("a");
                if (link) { event.preventDefault(); window.led = link.getAttribute("href"); }
            });
        }"""
    )
    act()
    return page.evaluate("led")


def test_a_click_on_a_dot_leads_to_its_chapter(show):
    page = show(NetworkMap())
    place = centre(page, "vgg_e")
    assert opened(page, lambda: page.mouse.click(*place)).startswith("04_vgg.")
    said = page.locator(".cnn-map-readout").inner_text()
    assert said.startswith("VGG-19, 2014.") and "whole image" in said and "27.3 %" in said


def test_a_finger_asks_first_and_opens_with_a_second_tap(show):
    page = show(NetworkMap(), touch=True, width=375)
    place = centre(page, "vgg_e")
    assert opened(page, lambda: page.touchscreen.tap(*place)) is None
    assert "VGG-19" in page.locator(".cnn-map-readout").inner_text()
    assert opened(page, lambda: page.touchscreen.tap(*place)).startswith("04_vgg.")


def test_a_map_without_dots_says_so(show):
    page = show(NetworkMap(data="MNIST", y="top5"))
    assert page.locator(".cnn-nothing").is_visible()
    assert not page.locator(".cnn-map-host").is_visible()


def test_a_change_from_the_kernel_is_shown(show):
    page = show(NetworkMap())
    page.evaluate("model.set('x', 'time'); model.set('log_y', true)")
    assert page.locator("select[data-setting=x]").input_value() == "time"
    assert page.locator("[data-toggle=log_y]").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_names_on_the_map_do_not_cover_each_other(show, theme):
    page = show(NetworkMap(), theme=theme, width=375)
    boxes = page.locator(".cnn-map-name").evaluate_all(
        "all => all.map((e) => e.getBoundingClientRect()).map((b) => [b.x, b.y, b.right, b.bottom])"
    )
    assert len(boxes) >= 4
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = one[2] <= other[0] + 6 or other[2] <= one[0] + 6
            apart = apart or one[3] <= other[1] + 6 or other[3] <= one[1] + 6
            assert apart
