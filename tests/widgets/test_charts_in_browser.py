"""Curves and paths in a real browser: what is pressed is drawn, what is drawn can be read."""

import re

import pytest

from cnnlib.widgets import ResidualPaths, RunCurves
from cnnlib.widgets.chart import summary
from tests.widgets.test_in_browser import contrasts, overflow, text_of

pytestmark = pytest.mark.site

DEPTHS = ("14", "44", "56")
EPOCHS = [1, 2, 3, 4]


def error(depth, shortcut, seed, epoch):
    """A made-up error that is different for every depth, shortcut, seed and epoch."""
    level = 0.1 + 0.01 * int(depth) * (shortcut == "plain")
    return level + 0.2 / epoch + 0.01 * seed


@pytest.fixture(scope="module")
def curves():
    made = [
        {
            "facets": {"Layers": depth, "Shortcut": shortcut},
            "seeds": {
                measure: [
                    [scale * error(depth, shortcut, seed, epoch) for epoch in EPOCHS]
                    for seed in range(3)
                ]
                for measure, scale in (("train_error", 1), ("loss", 5))
            },
        }
        for depth in DEPTHS
        for shortcut in ("plain", "A")
    ]

    def make(**options):
        measures = {"train_error": "Training error", "loss": "Training loss"}
        return RunCurves(made, measures, EPOCHS, **options)

    return make


@pytest.fixture(scope="module")
def paths():
    residual = [[0.1 + 0.01 * number + 0.002 * seed for number in range(64)] for seed in range(3)]
    plain = [[0.2] + [0.9] * 63] * 3
    deep = {
        "single": {"residual": [[0.2] * 21] * 3, "plain": [[0.9] * 21] * 3},
        "several": {
            "residual": {"1": [0.2, 0.3], "10": [0.6, 0.7]},
            "plain": {"1": [0.9, 0.9], "10": [0.9, 0.9]},
        },
        "path_gradients": [[10.0 ** -(k / 2) for k in range(22)]] * 3,
    }

    def make(**options):
        return ResidualPaths(
            residual, plain, stages=(2, 2, 2), chance=0.9, **({"deep": deep} | options)
        )

    return make


def rows(page):
    """Name and value of each curve at the cursor."""
    names = page.locator(".cnn-readout-name").all_inner_texts()
    return dict(zip(names, page.locator(".cnn-readout-value").all_inner_texts(), strict=True))


def percent(values):
    return summary(values, "percent")


# --------------------------------------------------------------------------------------- curves


def test_the_readout_has_mean_and_deviation_of_every_curve_that_is_on(show, curves):
    page = show(curves(shown={"Layers": ["44"]}))
    assert text_of(page, ".cnn-readout-title") == "Epoch 4: mean ± standard deviation of 3 seeds"
    expected = {
        f"44, {shortcut}": percent([error("44", shortcut, seed, 4) for seed in range(3)])
        for shortcut in ("plain", "A")
    }
    assert rows(page) == expected


def test_buttons_choose_curves_and_say_whether_they_are_on(show, curves):
    page = show(curves(shown={"Layers": ["44"]}))
    button = page.locator("button[data-facet=Layers][data-value='14']")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert list(rows(page)) == ["14, plain", "14, A", "44, plain", "44, A"]
    assert page.locator(".cnn-plot .cnn-line").count() == 4
    page.locator("button[data-facet=Shortcut][data-value=plain]").click()
    assert list(rows(page)) == ["14, A", "44, A"]
    page.locator("button[data-facet=Shortcut][data-value=A]").click()
    assert page.locator(".cnn-nothing").inner_text().startswith("No curve has been chosen")
    assert not page.locator(".cnn-chart").is_visible()
    page.locator("button[data-facet=Shortcut][data-value=A]").click()
    assert list(rows(page)) == ["14, A", "44, A"] and page.locator(".cnn-chart").is_visible()


def test_the_measure_changes_axis_and_numbers(show, curves):
    page = show(curves(shown={"Layers": ["14"], "Shortcut": ["A"]}))
    page.locator("button[data-measure=loss]").click()
    values = [5 * error("14", "A", seed, 4) for seed in range(3)]
    assert rows(page) == {"14, A": f"{sum(values) / 3:.3g} ± 0.05"}
    assert page.locator(".cnn-axis-name").first.text_content() == "Training loss"
    assert page.locator(".cnn-chart").get_attribute("aria-label") == "Training loss by Epoch"


def test_single_seeds_can_be_left_out(show, curves):
    page = show(curves())
    assert page.locator(".cnn-single").count() == 6 * 3
    page.locator(".cnn-curves-seeds").click()
    assert page.locator(".cnn-single").count() == 0
    assert page.locator(".cnn-curves-seeds").get_attribute("aria-pressed") == "false"


def test_arrow_keys_read_off_point_by_point(show, curves):
    page = show(curves(shown={"Layers": ["44"], "Shortcut": ["plain"]}))
    page.get_by_role("slider").focus()
    for key, epoch in {"ArrowLeft": 3, "Home": 1, "ArrowRight": 2, "End": 4}.items():
        page.keyboard.press(key)
        value = percent([error("44", "plain", seed, epoch) for seed in range(3)])
        assert rows(page) == {"44, plain": value}, key
        spoken = page.get_by_role("slider").get_attribute("aria-valuetext")
        assert spoken == (
            f"Epoch {epoch}: mean ± standard deviation of 3 seeds. 44, plain: {value}"
        )
        assert page.get_by_role("slider").get_attribute("aria-valuenow") == str(epoch - 1)


def test_mouse_and_finger_read_off_where_they_point(show, curves):
    page = show(curves(shown={"Layers": ["44"]}))
    box = page.locator(".cnn-plot").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 100)
    assert text_of(page, ".cnn-readout-title").startswith("Epoch 1:")
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + 100)
    assert text_of(page, ".cnn-readout-title").startswith("Epoch 4:")
    page = show(curves(), touch=True, width=375)
    box = page.locator(".cnn-plot").bounding_box()
    page.touchscreen.tap(box["x"] + 60, box["y"] + 80)
    assert text_of(page, ".cnn-readout-title").startswith("Epoch 1:")


def test_a_press_on_a_name_brings_its_curve_out(show, curves):
    page = show(curves())
    row = page.locator(".cnn-readout-row").nth(2)
    row.click()
    assert row.get_attribute("aria-pressed") == "true"
    assert page.locator(".cnn-plot g.cnn-faded").count() == 5
    row.click()
    assert page.locator(".cnn-plot g.cnn-faded").count() == 0


def test_the_table_has_every_point_of_every_curve_that_is_on(show, curves):
    page = show(curves(shown={"Shortcut": ["A"]}))
    page.locator(".cnn-curves summary").click()
    heads = page.locator(".cnn-numbers thead th").all_inner_texts()
    assert heads == ["Epoch", "14, A", "44, A", "56, A"]
    cells = page.locator(".cnn-numbers tbody td").all_inner_texts()
    assert cells == [
        percent([error(depth, "A", seed, epoch) for seed in range(3)])
        for epoch in EPOCHS
        for depth in DEPTHS
    ]


def test_higher_errors_are_drawn_higher(show, curves):
    page = show(curves(shown={"Layers": ["44"]}))
    plain, residual = (
        [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line.get_attribute("d"))]
        for line in page.locator(".cnn-plot .cnn-line").all()
    )
    assert len(plain) == len(residual) == 4
    assert all(up < down for up, down in zip(plain, residual, strict=True))
    assert plain == sorted(plain)  # and both fall: y counts downwards
    scale = (residual[0] - plain[0]) / 0.44  # pixels per error
    assert (plain[3] - plain[0]) / scale == pytest.approx(0.15, abs=0.002)


def test_the_axis_stays_while_curves_come_and_go(show, curves):
    page = show(curves())
    ticks = page.locator(".cnn-plot text[text-anchor=end]").all_text_contents()
    page.locator("button[data-facet=Shortcut][data-value=plain]").click()
    assert page.locator(".cnn-plot text[text-anchor=end]").all_text_contents() == ticks


def test_the_chart_follows_the_width_of_the_page(show, curves):
    page = show(curves())
    wide = page.locator(".cnn-plot svg").bounding_box()["width"]
    page.set_viewport_size({"width": 375, "height": 800})
    page.wait_for_function(
        "document.querySelector('.cnn-plot svg').getBoundingClientRect().width < 360"
    )
    assert wide > 700 and overflow(page) <= 0


# ---------------------------------------------------------------------------------------- paths


def result(page, network):
    return page.locator(f".cnn-paths-result[data-network={network}] .cnn-result-value").inner_text()


def test_a_block_that_is_taken_out_takes_half_of_the_paths_with_it(show, paths):
    widget = paths()
    page = show(widget)
    assert (
        text_of(page, ".cnn-paths-left") == "64 of 64 paths are left; in the plain network 1 of 1."
    )
    assert result(page, "residual") == percent([0.1, 0.102, 0.104])
    page.locator("[data-block='3']").click()
    page.locator("[data-block='5']").click()
    assert page.evaluate("model.get('deleted')") == 0b10100
    assert (
        text_of(page, ".cnn-paths-left") == "16 of 64 paths are left; in the plain network 0 of 1."
    )
    assert page.locator(".cnn-path").count() == 64
    assert page.locator(".cnn-path-cut").count() == 48
    counts = page.locator(".cnn-gallery-of-paths text:not(.cnn-length)").all_text_contents()
    assert [int(text.split("/")[0]) for text in counts] == widget.lengths((3, 5))
    assert [int(text.split("/")[1]) for text in counts] == widget.lengths()
    assert result(page, "residual") == percent([0.3, 0.302, 0.304])
    assert result(page, "plain") == "90.0 ± 0.0 %"
    page.locator("[data-block='3']").click()
    assert page.evaluate("model.get('deleted')") == 0b10000
    page.locator(".cnn-put-back").click()
    assert text_of(page, ".cnn-paths-left").startswith("64 of 64")


def test_blocks_of_the_plain_network_can_be_pressed_too(show, paths):
    page = show(paths(), touch=True, width=375)
    page.locator(".cnn-twin").nth(1).tap()
    assert page.evaluate("model.get('deleted')") == 0b10
    button = page.locator("[data-block='2']")
    assert button.get_attribute("aria-pressed") == "true"
    assert button.get_attribute("aria-label") == "Block 2, taken out"
    assert page.locator(".cnn-networks .cnn-cut").count() == 2  # once in each network


def test_blocks_are_within_reach_of_the_keyboard_and_the_change_is_said(show, paths):
    page = show(paths())
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.evaluate("model.get('deleted')") == 0b10
    page.wait_for_selector(
        ".cnn-paths > .cnn-spoken[role=status]:has-text('32 of 64 paths are left')",
        state="attached",
    )
    spoken = page.locator(".cnn-paths > .cnn-spoken[role=status]").inner_text()
    assert f"residual {percent([0.12, 0.122, 0.124])}" in spoken


def test_a_path_can_be_followed_by_mouse_touch_and_keys(show, paths):
    page = show(paths())
    gallery = page.locator(".cnn-gallery-of-paths svg")
    box = gallery.bounding_box()
    column = box["width"] / 7
    page.mouse.move(box["x"] + 6.5 * column, box["y"] + 100)
    assert text_of(page, ".cnn-path-text") == "This path passes blocks 1, 2, 3, 4, 5, 6: unbroken"
    followed = page.locator(".cnn-followed").get_attribute("d")
    assert "C" not in followed  # through all blocks, over no shortcut
    page.locator("[data-block='1']").click()
    page.mouse.move(box["x"] + 0.5 * column, box["y"] + 100)
    assert text_of(page, ".cnn-path-text") == "This path passes no block: unbroken"
    assert page.locator(".cnn-followed").get_attribute("d").count("C") == 6
    page.locator(".cnn-gallery-of-paths").focus()
    page.keyboard.press("ArrowRight")
    assert text_of(page, ".cnn-path-text") == "This path passes block 1: cut"
    assert page.locator(".cnn-followed.cnn-lost").count() == 1
    page.keyboard.press("ArrowUp")
    assert text_of(page, ".cnn-path-text") == "This path passes block 2: unbroken"
    value = page.locator(".cnn-gallery-of-paths").get_attribute("aria-valuetext")
    assert value == "This path passes block 2: unbroken"
    page = show(paths(), touch=True, width=375)
    box = page.locator(".cnn-gallery-of-paths svg").bounding_box()
    page.touchscreen.tap(box["x"] + 1.5 * box["width"] / 7, box["y"] + 150)
    assert text_of(page, ".cnn-path-text").startswith("This path passes block ")


def test_bars_and_dots_stand_at_the_measured_errors(show, paths):
    page = show(paths())
    page.locator("[data-block='6']").click()
    page.wait_for_timeout(50)
    strip = page.locator("[data-network=residual] .cnn-strip").bounding_box()
    bar = page.locator("[data-network=residual] .cnn-strip-bar").bounding_box()
    assert bar["width"] / strip["width"] == pytest.approx(0.422, abs=0.01)
    lefts = page.locator("[data-network=residual] .cnn-dot").evaluate_all(
        "dots => dots.map((dot) => parseFloat(dot.style.left))"
    )
    assert lefts == pytest.approx([42.0, 42.2, 42.4])
    level = page.locator("[data-network=plain] .cnn-level").evaluate("e => e.style.left")
    assert level == "90%"


def test_the_table_averages_over_all_sets_of_a_size(show, paths):
    page = show(paths())
    page.locator("[data-block='1']").click()
    page.locator(".cnn-paths summary").first.click()
    lines = page.locator(".cnn-paths table").first.locator("tbody tr").all_inner_texts()
    cells = [line.split("\t") for line in lines]
    assert cells[0] == ["now: 1", "32", percent([0.11, 0.112, 0.114]), "90.0 ± 0.0 %"]
    assert cells[1][:2] == ["0", "64"] and cells[7][:2] == ["6", "1"]
    one_out = [0.1 + 0.01 * 63 / 6 + 0.002 * seed for seed in range(3)]
    assert cells[2] == ["1", "32", percent(one_out), "90.0 ± 0.0 %"]


def test_deep_networks_are_shown_in_three_pictures(show, paths):
    page = show(paths())
    assert rows(page) == {"residual": "20.0 ± 0.0 %", "plain": "90.0 ± 0.0 %"}
    tab = page.get_by_role("tab", selected=True)
    assert tab.inner_text() == "One block out"
    tab.focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", selected=True).inner_text() == "Several blocks out"
    assert text_of(page, ".cnn-readout-title").endswith("of 2 random choices")
    assert rows(page)["residual"] == percent([0.6, 0.7])
    page.locator("[data-view=gradients]").click()
    page.locator(".cnn-chart").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert rows(page) == {"one path": "10⁻¹", "all paths of this length": "2.1·10¹"}  # 210 pairs


def test_without_deep_networks_nothing_stands_in_their_place(show, paths):
    page = show(paths(deep=None))
    assert not page.locator(".cnn-deep").is_visible()


# -------------------------------------------------------------------------------------- for both


@pytest.fixture(params=["curves", "paths"])
def widget(request, curves, paths):
    return {"curves": curves, "paths": paths}[request.param]()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_overflows_on_a_phone_and_everything_can_be_read(show, widget, theme):
    page = show(widget, theme=theme, width=375)
    selectors = [".cnn-readout-title", ".cnn-readout-value", ".cnn-details summary"]
    if isinstance(widget, ResidualPaths):
        page.locator("[data-block='2']").click()
        selectors += [".cnn-out", "[data-block='1']", ".cnn-paths-left", ".cnn-path-text"]
        selectors += [".cnn-result-name", ".cnn-paths-help", "[role=tab][aria-selected=true]"]
    else:
        selectors += ["button[aria-pressed=true]", ".cnn-choice .cnn-title"]
    assert overflow(page) <= 0
    for selector, contrast in zip(selectors, contrasts(page, selectors), strict=True):
        assert contrast >= 4.5, selector


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_of_the_lines_stand_out_from_the_page(show, curves, theme):
    page = show(curves(), theme=theme)
    page.evaluate(
        """() => {
            for (let i = 0; i < 8; i++) {
                const box = document.createElement("i");
                box.className = `cnn-colour-${i} probe-${i}`;
                box.style.color = "var(--cnn-series)";
                document.querySelector(".cnn-curves").append(box);
            }
        }"""
    )
    for contrast in contrasts(page, [f".probe-{i}" for i in range(8)]):
        assert contrast >= 4.5  # names are written in these colours


def test_a_change_from_the_kernel_is_shown(show, curves, paths):
    page = show(curves())
    page.evaluate("model.set('shown', {Layers: ['14'], Shortcut: ['A']})")
    assert list(rows(page)) == ["14, A"]
    page = show(paths())
    page.evaluate("model.set('deleted', 63)")
    assert text_of(page, ".cnn-paths-left").startswith("1 of 64")


def test_all_words_come_from_the_labels(show, curves, paths):
    own = {"Layers", "Shortcut", "Training error", "Training loss", "Epoch", "plain", "A"}
    for kind in (curves, paths):
        marked = {key: f"¤{text}" for key, text in kind().LABELS.items()}
        page = show(kind(labels=marked))
        words = page.evaluate(
            """() => {
                const words = [];
                const walker = document.createTreeWalker(
                    document.querySelector(".cnn-widget"), NodeFilter.SHOW_TEXT);
                while (walker.nextNode()) words.push(walker.currentNode.textContent);
                for (const e of document.querySelectorAll(".cnn-widget [aria-label]")) {
                    words.push(e.getAttribute("aria-label"));
                }
                return words;
            }"""
        )
        foreign = {word for word in words if "¤" not in word and any(map(str.isalpha, word))}
        names = {f"{depth}, {shortcut}" for depth in DEPTHS for shortcut in ("plain", "A")}
        assert foreign <= own | names
        assert len(words) > 20
