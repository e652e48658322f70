"""Chapter 9 in the browser: the excitations that it shows are those of the stored networks.

What the page prints is compared with the stored experiment, which is read here anew: independent of
the page's JavaScript and of the notebook's stored outputs.
"""

from statistics import mean, stdev

import pytest

from cnnlib import book, data

pytestmark = pytest.mark.site

PATH = "chapters/09_senet.html"
BEGINNING = {"Trouser", "Pullover", "Coat", "Sandal"}


@pytest.fixture(scope="module")
def networks() -> list:
    """[seed][unit][class][channel], thousandths."""
    return book.stored_runs("senet_gain")["with units"].values("means")


@pytest.fixture(scope="module")
def classes() -> tuple[str, ...]:
    return data.load("fashion_6k").classes


def spread(table: list[list[int]]) -> str:
    """Deviation of the class means, averaged over the channels, as the page writes it."""
    return f"{mean(stdev(column) for column in zip(*table, strict=True)) / 1000:.3f}"


def readout(widget) -> dict[str, float]:
    """What is read off at the cursor, by line."""
    names = widget.locator(".cnn-readout-name").all_inner_texts()
    values = widget.locator(".cnn-readout-value").all_inner_texts()
    return dict(zip(names, map(float, values), strict=True))


def test_it_begins_with_four_classes_in_the_last_block_of_the_first_network(page_at, networks):
    widget = page_at(PATH).locator(".cnn-excitations")
    assert set(readout(widget)) == {*BEGINNING, "mean of all classes"}
    numbers = widget.locator(".cnn-excitation-number").all_inner_texts()
    assert numbers == [spread(table) for table in networks[0]]
    assert widget.locator("button[data-unit='5']").get_attribute("aria-pressed") == "true"


def test_in_every_network_the_last_block_stands_out(page_at, networks):
    widget = page_at(PATH).locator(".cnn-excitations")
    for seed, units in enumerate(networks):
        widget.locator(f"button[data-seed='{seed}']").click()
        numbers = widget.locator(".cnn-excitation-number").all_inner_texts()
        assert numbers == [spread(table) for table in units]
        assert float(numbers[5]) > 2.5 * max(map(float, numbers[:4]))


def test_the_most_alike_and_the_most_different_are_named(page_at, networks, classes):
    widget = page_at(PATH).locator(".cnn-excitations")
    for unit in (0, 5):
        widget.locator(f"button[data-unit='{unit}']").click()
        table = networks[0][unit]
        distances = {
            (classes[i], classes[k]): mean(
                (a - b) ** 2 for a, b in zip(table[i], table[k], strict=True)
            )
            for i in range(10)
            for k in range(i + 1, 10)
        }
        for fact, choose in (("alike", min), ("apart", max)):
            pair = choose(distances, key=distances.__getitem__)
            said = widget.locator(f"[data-fact={fact}]").inner_text()
            assert f"{pair[0]} and {pair[1]}" in said
            assert f"{distances[pair] ** 0.5 / 1000:.3f}" in said


def test_sorted_by_spread_the_first_place_is_the_most_class_specific(page_at, networks, classes):
    page = page_at(PATH)
    widget = page.locator(".cnn-excitations")
    widget.locator("button[data-unit='0']").click()
    widget.locator("button[data-order=spread]").click()
    widget.get_by_role("slider").focus()
    page.keyboard.press("Home")
    column = max(zip(*networks[0][0], strict=True), key=stdev)
    shown = readout(widget)
    for name in BEGINNING:
        assert shown[name] == pytest.approx(column[classes.index(name)] / 1000)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_keys_are_enough_on_a_phone(page_at, networks, dark):
    page = page_at(PATH, dark=dark, width=375)
    widget = page.locator(".cnn-excitations")
    button = widget.locator("button[data-unit='2']")
    button.focus()
    page.keyboard.press("Space")
    assert button.get_attribute("aria-pressed") == "true"
    assert spread(networks[0][2]) in widget.locator("[data-fact=spread]").inner_text()
    every = widget.locator("button[data-classes=all]")
    every.focus()
    page.keyboard.press("Enter")
    assert len(readout(widget)) == 11


def test_drawings_of_blocks_are_there_in_words_too(page_at):
    texts = [img.get_attribute("alt") or "" for img in page_at(PATH).locator("img").all()]
    assert any("global average" in text and "sigmoid" in text for text in texts)
