"""The widget counts errors as the definition says, and its script as the library does."""

import re
from itertools import product

import pytest

from cnnlib.data import list_photographs
from cnnlib.widgets import TopK
from cnnlib.widgets.top_k import OTHER, UNKNOWN

GUESSES = {
    "chelsea": [("tiger cat", 0.4), ("Egyptian cat", 0.35), ("tabby", 0.2), ("lynx", 0.01)],
    "coffee": [("espresso", 0.95), ("cup", 0.02), ("soup", 0.01), ("plate", 0.001)],
    "rocket": [("missile", 0.3), ("projectile", 0.2), ("crane", 0.1), ("obelisk", 0.1)],
}


def test_a_photograph_is_right_if_the_label_is_among_the_first_k_guesses():
    widget = TopK(GUESSES, k=2)
    widget.truths = [2, 0, OTHER]
    assert [widget.errors(k) for k in (1, 2, 3, 4)] == [(2, 3), (2, 3), (1, 3), (1, 3)]


def test_photographs_without_a_label_do_not_count():
    widget = TopK(GUESSES, k=2)
    assert widget.errors(1) == (0, 0)
    widget.truths = [UNKNOWN, 1, UNKNOWN]
    assert widget.errors(1) == (1, 1) and widget.errors(2) == (0, 1)


def test_more_guesses_never_add_an_error():
    widget = TopK(GUESSES, k=2)
    for truths in product(range(UNKNOWN, 4), repeat=3):
        widget.truths = list(truths)
        wrong = [widget.errors(k)[0] for k in (1, 2, 3, 4)]
        assert wrong == sorted(wrong, reverse=True)


def test_the_script_counts_as_the_library_does(node_tests):
    widget = TopK(GUESSES, k=2)
    cases = []
    for truths in product(range(UNKNOWN, 4), repeat=3):
        widget.truths = list(truths)
        cases += [{"truths": truths, "k": k, "errors": widget.errors(k)} for k in (1, 2, 3, 4)]
    node_tests("top_k.test.mjs", script=TopK._esm, cases=cases)


@pytest.mark.parametrize(
    "guesses, options, words",
    [
        ({}, {}, "at least one photograph"),
        ({"chelsea": [("cat", 0.5)]}, {}, "at least two; got {'chelsea': 1}"),
        ({"chelsea": GUESSES["chelsea"], "coffee": GUESSES["coffee"][:2]}, {}, "the same number"),
        ({"chelsea": [("cat", 0.2), ("dog", 0.5)]}, {}, "the largest first"),
        ({"chelsea": [("cat", 0.9), ("dog", 0.5)]}, {}, "must be probabilities"),
        ({"chelsea": [("cat", 0.9), ("dog", -0.1)]}, {}, "must be probabilities"),
        ({"cat": GUESSES["chelsea"]}, {}, "no photograph is called 'cat'; there are astronaut"),
        (GUESSES, {"k": 0}, "k must be 1 to 4, got 0"),
        (GUESSES, {"k": 5}, "k must be 1 to 4, got 5"),
        (GUESSES, {"k": 2, "descriptions": {"dog": "a dog"}}, "without guesses: dog"),
    ],
)
def test_bad_input_is_explained(guesses, options, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        TopK(guesses, **options)


def test_a_change_is_checked_like_the_start():
    widget = TopK(GUESSES, k=2)
    for trait, value, words in [
        ("k", 9, "k must be 1 to 4"),
        ("chosen", 3, "chosen must be 0 to 2, got 3"),
        ("truths", [0, 0], "truths must be 3 numbers from -2 to 3"),
        ("truths", [0, 0, 4], "truths must be 3 numbers from -2 to 3"),
    ]:
        with pytest.raises(ValueError, match=words):
            setattr(widget, trait, value)
    assert (widget.k, widget.chosen, widget.truths) == (2, 0, [UNKNOWN] * 3)
    with pytest.raises(ValueError, match="k must be 1 to 4, got 7"):
        widget.errors(7)


def test_pictures_are_part_of_the_widget():
    every = {name: GUESSES["coffee"] for name in list_photographs()}
    for photograph in TopK(every, k=2).photographs:
        assert photograph["address"].startswith("data:image/jpeg;base64,/9j/")


def test_the_fallback_is_a_table_of_all_guesses():
    html = TopK(GUESSES, k=2, descriptions={"coffee": "coffee & saucer"}).fallback_html()
    for guesses in GUESSES.values():
        for name, share in guesses:
            assert f">{name}<br>{100 * share:.1f}\u00a0%</td>" in html
    assert html.count("<tr>") == 4 and "coffee &amp; saucer" in html and "<img" not in html


def test_the_repr_tells_the_photographs_and_nothing_that_changes():
    assert repr(TopK(GUESSES, k=2)) == "TopK(chelsea, coffee, rocket; k 2 of 4)"
