"""What every interactive owes its reader: names for what is controlled, room for a finger, a way
back for the keyboard, and nothing left behind."""

import re

import pytest

from tests.widgets.samples import WIDGETS

pytestmark = pytest.mark.site
ROLES = ("button", "checkbox", "combobox", "radio", "slider", "spinbutton", "tab", "textbox")


@pytest.fixture(params=WIDGETS.values(), ids=WIDGETS)
def widget(request):
    return request.param()


def test_every_control_has_a_name(show, widget):
    page = show(widget)
    controls = 0
    for role in ROLES:
        everything = page.get_by_role(role)
        named = page.get_by_role(role, name=re.compile(r"\S"))
        without = [e.evaluate("e => e.outerHTML") for e in everything.all()]
        for element in named.all():
            without.remove(element.evaluate("e => e.outerHTML"))
        assert without == []
        controls += everything.count()
    assert controls > 0
    for slider in page.locator("[role=slider]").all():  # drawn ones must say what they are at
        assert slider.get_attribute("aria-valuetext") and slider.get_attribute("aria-valuenow")


def test_every_reference_has_its_target_and_every_name_is_there_once(show, widget):
    page = show(widget)
    faults = page.evaluate(
        """() => {
            const faults = [];
            for (const name of ["aria-labelledby", "aria-describedby", "aria-controls", "for"]) {
                for (const e of document.querySelectorAll(`[${name}]`)) {
                    for (const id of e.getAttribute(name).split(/\\s+/))
                        if (!document.getElementById(id)) faults.push(e.outerHTML);
                }
            }
            const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
            return [...faults, ...ids.filter((id, i) => ids.indexOf(id) !== i)];
        }"""
    )
    assert faults == []


def test_every_target_is_large_enough_for_a_finger(show, widget):
    page = show(widget, width=375)
    small = page.evaluate(
        """() => [...document.querySelectorAll(
                ":is(button, select, summary, input, [role=slider], [role=tab])")]
            .map((e) => ["radio", "checkbox"].includes(e.type) ? (e.closest("label") ?? e) : e)
            .map((e) => [e.outerHTML.slice(0, 120), e.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0 && (box.width < 31.5 || box.height < 31.5))
            .map(([name, box]) => `${box.width} x ${box.height}: ${name}`)"""
    )
    assert small == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(show, widget, theme):
    page = show(widget, width=375, theme=theme)
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0


def test_the_focus_is_visible(show, widget):
    page = show(widget)
    seen = 0
    for _ in range(12):
        page.keyboard.press("Tab")
        outline, inside = page.evaluate(
            """() => {
                const focused = document.activeElement;
                // a control may be invisible itself, as a radio button: then its label is framed
                const style = (e) => getComputedStyle(e).outline;
                const framed = focused.closest("label:has(:focus-visible)");
                const outlines = [style(focused), framed ? style(framed) : ""].join(" | ");
                return [outlines, Boolean(focused.closest(".cnn-widget"))];
            }"""
        )
        if inside:
            seen += 1
            assert "3px" in outline and "solid" in outline
    assert seen > 0


def test_a_view_that_is_closed_leaves_nothing_behind(show, widget):
    page = show(widget)
    assert page.evaluate("listenersLeft()") > 0
    page.evaluate("cleanUp()")
    assert page.evaluate("listenersLeft()") == 0
