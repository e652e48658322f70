"""Chapter 6 in the browser: the curves and the paths show what the stored runs say.

What the page prints is compared with the stored experiment, which is read here anew: independent of
the page's JavaScript and of the notebook's stored outputs.
"""

import re
from statistics import mean, stdev

import pytest

from cnnlib import book

pytestmark = pytest.mark.site

PATH = "chapters/06_resnet.html"


@pytest.fixture(scope="module")
def runs() -> book.StoredRuns:
    return book.stored_runs("resnet_depth")


def percent(text: str) -> list[float]:
    """The numbers of a text such as "12.3 ± 0.4 %"."""
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def readout(page) -> dict[str, str]:
    """What the curves read off at the cursor, by curve."""
    curves = page.locator(".cnn-curves")
    names = curves.locator(".cnn-readout-name").all_inner_texts()
    values = curves.locator(".cnn-readout-value").all_inner_texts()
    return dict(zip(names, values, strict=True))


def at_the_end(runs: book.StoredRuns, name: str, measure: str) -> tuple[float, float]:
    """Mean and deviation over the seeds of a curve's last point, in percent."""
    values = [100 * curves[measure][-1] for curves in runs[name].values("curves")]
    return mean(values), stdev(values)


def assert_reads(shown: str, expected: tuple[float, float]) -> None:
    for number, value in zip(percent(shown), expected, strict=True):
        assert number == pytest.approx(value, abs=0.06)


def test_the_curves_begin_with_the_four_networks_of_the_claim(page_at, runs):
    page = page_at(PATH)
    page.locator(".cnn-curves").scroll_into_view_if_needed()
    shown = readout(page)
    assert len(shown) == 4
    for depth in (14, 44):
        plain, residual = (
            next(v for k, v in shown.items() if k.startswith(f"{depth},") and word in k)
            for word in ("plain", "A")
        )
        assert_reads(plain, at_the_end(runs, f"plain-{depth}", "train_error"))
        assert_reads(residual, at_the_end(runs, f"residual-{depth}", "train_error"))


def test_other_depths_and_the_test_error_can_be_chosen(page_at, runs):
    page = page_at(PATH)
    curves = page.locator(".cnn-curves")
    for depth in ("14", "44"):
        curves.locator(f"button[data-facet=Layers][data-value='{depth}']").click()
    curves.locator("button[data-facet=Layers][data-value='56']").click()
    curves.locator("button[data-measure=test_error]").click()
    shown = readout(page)
    assert len(shown) == 2 and all(name.startswith("56,") for name in shown)
    values = {("plain" if "plain" in name else "residual"): v for name, v in shown.items()}
    for kind, value in values.items():
        assert_reads(value, at_the_end(runs, f"{kind}-56", "test_error"))


def test_options_b_and_c_are_there_at_44_layers(page_at, runs):
    page = page_at(PATH)
    curves = page.locator(".cnn-curves")
    for option in "BC":
        curves.locator(f"button[data-facet=Shortcut][data-value='{option}']").click()
        value = next(v for name, v in readout(page).items() if name == f"44, {option}")
        assert_reads(value, at_the_end(runs, f"residual-44 {option}", "train_error"))


def test_the_keyboard_reads_the_curves_from_the_start(page_at, runs):
    page = page_at(PATH)
    page.locator(".cnn-curves").get_by_role("slider").focus()
    page.keyboard.press("Home")
    values = [100 * c["train_error"][0] for c in runs["plain-44"].values("curves")]
    shown = next(v for name, v in readout(page).items() if "44" in name and "plain" in name)
    assert_reads(shown, (mean(values), stdev(values)))


@pytest.mark.parametrize("cut", [(3,), (2, 5), (1, 2, 3, 4, 5, 6)], ids=str)
def test_a_block_that_is_cut_takes_half_of_the_paths_with_it(page_at, runs, cut):
    page = page_at(PATH)
    paths = page.locator(".cnn-paths")
    for block in cut:
        button = paths.locator(f"button[data-block='{block}']")
        button.focus()
        page.keyboard.press("Space")
        assert button.get_attribute("aria-pressed") == "true"
    left = paths.locator(".cnn-paths-left").inner_text()
    assert percent(left)[:2] == [2 ** (6 - len(cut)), 64]
    mask = sum(1 << block - 1 for block in cut)
    for network in ("plain", "residual"):
        errors = [100 * run[mask] for run in runs[f"{network}-14"].values("subset_test_error")]
        shown = paths.locator(f".cnn-paths-result[data-network={network}]").inner_text()
        assert any(n == pytest.approx(mean(errors), abs=0.06) for n in percent(shown)), shown


def test_the_deep_networks_can_be_looked_at_from_three_sides(page_at):
    page = page_at(PATH)
    paths = page.locator(".cnn-paths")
    for view in ("single", "several", "gradients"):
        tab = paths.locator(f"[role=tab][data-view={view}]")
        tab.click()
        assert tab.get_attribute("aria-selected") == "true"
        assert paths.locator(".cnn-plot .cnn-line:visible").count() >= 2


def test_drawings_of_blocks_are_there_in_words_too(page_at):
    page = page_at(PATH)
    texts = [img.get_attribute("alt") or "" for img in page.locator("img").all()]
    assert any("plus" in text and "3 by 3" in text for text in texts)
