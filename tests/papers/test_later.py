"""The few figures of later papers: whole, cited, and quoted where they are compared."""

import re
from pathlib import Path

import pytest

from cnnlib.papers import PAPERS
from cnnlib.papers.later import LATER, RESNET_50
from cnnlib.published import published

BIBLIOGRAPHY = (Path(__file__).parents[2] / "references.bib").read_text()


@pytest.mark.parametrize("record", [*LATER, *RESNET_50], ids=lambda r: r.name)
def test_a_record_names_its_paper(record):
    [number] = re.findall(r"arxiv\.org/abs/([\d.]+)", record.url)
    entry = re.search(rf"@\w+{{{record.cite},.*?\n}}", BIBLIOGRAPHY, re.DOTALL)
    assert entry and number in entry[0]
    assert record.source
    assert 2000 + int(number[:2]) == record.year


def test_they_came_after_the_networks_of_the_book():
    assert min(network.year for network in LATER) > max(paper.year for paper in PAPERS.values())


def test_the_first_recipe_is_that_of_the_book():
    assert RESNET_50[0].top1_error == published("resnet50").top1_error
    assert RESNET_50[0].testing in published("resnet50").protocol


def test_a_better_recipe_is_worth_more_than_five_points_on_the_same_test():
    one_crop = [recipe.top1_error for recipe in RESNET_50 if recipe.testing == "1 crop"]
    assert max(one_crop) - min(one_crop) > 5
