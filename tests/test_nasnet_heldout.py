"""The held-out runs of chapter 12: chosen by the table that is there; one computed again."""

import json

import pytest

from cnnlib import book
from cnnlib.search import SmallCell, load_table
from experiments import nasnet_heldout


@pytest.fixture(scope="module")
def stored():
    return book.stored_runs("nasnet_heldout")


def test_the_stored_cells_are_those_that_the_table_would_choose_today(stored):
    arms = nasnet_heldout.arms()
    assert [arm["name"] for arm in arms] == [arm.name for arm in stored.arms]
    for arm, kept in zip(arms, stored.arms, strict=True):
        assert arm["recipe"] == kept.recipe and arm["parameters"] == kept.parameters
        for key in ("groups", "rank", "proxy_accuracy"):
            assert json.loads(json.dumps(arm[key])) == kept.more[key]


def test_groups_are_what_their_names_say(stored):
    table = load_table()
    groups: dict[str, list[SmallCell]] = {}
    for arm in stored.arms:
        cell = SmallCell.from_code(arm.name)
        assert cell.connected and cell == cell.canonical
        for group in arm.more["groups"]:
            groups.setdefault(group, []).append(cell)
    assert sorted(map(table.rank, groups["best"])) == [1, 2, 3]
    for name in ("best of its size", "random of its size"):
        assert {cell.convolutions for cell in groups[name]} == {nasnet_heldout.SIZE}
    assert not set(groups["best of its size"]) & set(groups["random of its size"])
    by_hand = {SmallCell.from_code(code).canonical for code in nasnet_heldout.BY_HAND}
    assert set(groups["by hand"]) == by_hand


@pytest.mark.parametrize("name, seed", [("-i--p", 0)])
def test_a_stored_run_comes_out_about_the_same_again(stored, name, seed):
    kept = stored[name]
    arm = next(arm for arm in nasnet_heldout.arms() if arm["name"] == name)
    again = nasnet_heldout.run(arm, seed)
    for key in ("test_loss", "test_error"):
        assert again[key] == pytest.approx(kept.runs[seed][key], abs=0.01)
