"""The contest's results agree with each other and with what the papers print of them."""

import re
from pathlib import Path

import pytest

from cnnlib.models.resnet import TABLE_1
from cnnlib.papers import ilsvrc
from cnnlib.papers import resnet as printed

ROOT = Path(__file__).parents[2]
YEARS = list(range(2010, 2018))


def test_there_is_one_winner_each_year_and_each_beats_the_one_before():
    winners = ilsvrc.winners()
    assert list(winners) == YEARS
    errors = [winner.error for winner in winners.values()]
    assert errors == sorted(errors, reverse=True)
    assert all(winner.year == year for year, winner in winners.items())


def test_extra_data_helped_in_the_two_years_in_which_a_winner_used_them():
    provided, extra = ilsvrc.winners(), ilsvrc.winners(extra_data=True)
    assert list(extra) == YEARS
    changed = [year for year in YEARS if extra[year] != provided[year]]
    assert changed == [2012, 2013]
    for year in changed:
        assert extra[year].team == provided[year].team
        assert extra[year].extra_data and extra[year].error < provided[year].error


def test_a_winner_has_the_lowest_error_of_its_year():
    for entry in ilsvrc.ENTRIES:
        if not entry.extra_data:
            winner = ilsvrc.winners()[entry.year]
            assert entry.error >= winner.error and (entry.place > 1) == (entry != winner)


def test_networks_win_from_2012_on_and_never_alone():
    for year, winner in ilsvrc.winners().items():
        assert winner.convolutional == (year >= 2012)
        assert (winner.together == "–") == (year < 2012)
        assert winner.together not in ("0", "1")


def test_only_networks_have_layers():
    for entry in ilsvrc.ENTRIES:
        if not entry.convolutional:
            assert entry.layers is None and entry.networks is None


@pytest.mark.parametrize(
    "year, team, printed_error",
    [  # as papers round them: Krizhevsky et al. table 2, Simonyan and Zisserman table 7, He et al.
        (2012, "SuperVision", "16.4"),
        (2013, "Clarifai", "11.7"),
        (2014, "VGG", "7.3"),
        (2014, "GoogLeNet", "6.66"),
        (2015, "MSRA", "3.57"),
        (2017, "WMW", "2.25"),
    ],
)
def test_papers_print_the_error_rounded(year, team, printed_error):
    (entry,) = (e for e in ilsvrc.ENTRIES if (e.year, e.team, e.extra_data) == (year, team, False))
    places = len(printed_error.split(".")[1])
    assert f"{entry.error:.{places}f}" == printed_error


def test_the_winner_of_2015_is_the_ensemble_of_the_resnet_paper():
    winner = ilsvrc.winners()[2015]
    assert round(winner.error, 2) == printed.ENSEMBLE.top5
    assert winner.layers == max(TABLE_1)


def test_half_as_many_errors_again_separate_the_first_network_from_the_best_without():
    """The jump of 2012 is between two entries to the same contest, not only between two years."""
    first, second = (e for e in ilsvrc.ENTRIES if e.year == 2012 and not e.extra_data)
    assert first.convolutional and not second.convolutional
    assert second.error > 1.5 * first.error


def test_more_practice_made_a_better_annotator():
    a1, a2 = ilsvrc.ANNOTATORS["A1"], ilsvrc.ANNOTATORS["A2"]
    assert a1.practice > a2.practice and a1.error < a2.error
    assert a1.error < a1.network_error and a2.error > a2.network_error


def test_every_entry_says_where_it_is_from():
    entries = (ROOT / "references.bib").read_text()
    for entry in ilsvrc.ENTRIES:
        assert entry.results_page.endswith(f"/{entry.year}/results")
        match = re.match(r"([A-Z][a-z]+) .*\((\d{4})\)", entry.source)
        if match:  # a paper, which is then in the bibliography
            assert f"{{{match[1]}, " in entries, entry.source
        else:
            assert entry.source == "page of results"


def test_sizes_are_those_that_the_resnet_paper_rounds():
    images = ilsvrc.IMAGES[2012]
    assert f"{images.training / 1e6:.2f} million" == "1.28 million"  # section 4.1
    assert images[1:] == (50_000, 100_000)
