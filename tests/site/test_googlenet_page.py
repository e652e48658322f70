"""Chapter 5 in the browser: the bench computes the bills of the library, by mouse, touch and keys.

Its JavaScript is compared with ``cnnlib.inspection``, which counts on the modules themselves.
"""

import pytest
import torch

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.googlenet import TABLE_1, Inception, NaiveInception, Widths

pytestmark = pytest.mark.site

PATH = "chapters/05_googlenet.html"
FORMS = {"naive": NaiveInception, "reduced": Inception}


def counted(channels: int, side: int, widths: Widths, wide_kernel: int = 5) -> dict:
    """Quantity -> (naive, reduced), counted on the modules."""
    numbers = []
    for kind in FORMS.values():
        with torch.device("meta"):
            block = kind(channels, widths, wide_kernel=wide_kernel)
        macs = count_macs(block, (channels, side, side))
        numbers.append((macs, count_parameters(block), block.out_channels))
    return dict(zip(("macs", "parameters", "maps"), zip(*numbers, strict=True), strict=True))


def shown(page) -> dict:
    """The same numbers as the page's table shows them."""
    return {
        quantity: tuple(
            int(page.locator(f"[data-cell='{quantity} {form}']").inner_text().replace(",", ""))
            for form in FORMS
        )
        for quantity in ("macs", "parameters", "maps")
    }


def test_it_begins_with_the_bill_of_the_text(page_at):
    page = page_at(PATH)
    assert shown(page)["macs"] == (303_464_448, 128_049_152)
    assert shown(page)["maps"] == (416, 256)
    branch = page.locator(".cnn-bench [data-form] li[data-branch='5x5'] .cnn-bench-number")
    assert branch.all_inner_texts() == ["120.4\u00a0M", "12.4\u00a0M"]


def test_every_module_of_table_1_has_the_bill_of_the_library(page_at):
    page = page_at(PATH)
    channels = 192
    for row, widths in TABLE_1.items():
        page.locator("select[data-setting=module]").select_option(row)
        side = {"3": 28, "4": 14, "5": 7}[row[0]]
        assert shown(page) == counted(channels, side, widths), row
        channels = widths.n1x1 + widths.n3x3 + widths.n5x5 + widths.pool_proj


def test_the_first_thing_to_try_does_what_the_text_says(page_at):
    page = page_at(PATH)
    branch = page.locator("[data-form=reduced] li[data-branch='3x3'] .cnn-bench-number")
    page.locator("[data-slider=n3x3_reduce]").fill("160")
    assert float(branch.inner_text().split()[0]) < 173.4  # exercise 3: it saves below 164.6
    page.locator("[data-slider=n3x3_reduce]").fill("168")
    assert float(branch.inner_text().split()[0]) > 173.4
    assert not page.locator(".cnn-bench-warning").is_visible()
    page.locator("[data-slider=n3x3_reduce]").fill("512")
    assert page.locator(".cnn-bench-warning").is_visible()


def test_the_second_thing_to_try_hurts_the_naive_module_more(page_at):
    page = page_at(PATH)
    page.locator("select[data-setting=module]").select_option("5b")
    bills = {}
    for side in (3, 7):
        page.locator("select[data-setting=wide_kernel]").select_option(str(side))
        bills[side] = shown(page)
        assert bills[side] == counted(832, 7, TABLE_1["5b"], side)
    naive, reduced = (bills[7]["macs"][i] - bills[3]["macs"][i] for i in (0, 1))
    assert naive > 10 * reduced


def test_pooling_is_the_culprit_of_the_third(page_at):
    page = page_at(PATH)
    page.locator("select[data-setting=quantity]").select_option("maps")
    for row in TABLE_1:
        page.locator("select[data-setting=module]").select_option(row)
        assert "pooling" in page.locator("[data-form=naive] .cnn-bench-most").inner_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_keys_move_a_slider_and_the_numbers_follow(page_at, dark):
    page = page_at(PATH, dark=dark, width=375)
    page.get_by_role("slider", name="pooling, projection").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    widths = TABLE_1["3a"]._replace(pool_proj=64)
    assert shown(page) == counted(192, 28, widths)
    assert page.locator("select[data-setting=module]").input_value() == "own"
