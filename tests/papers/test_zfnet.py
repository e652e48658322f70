"""What is printed of ZFNet agrees with itself, with the library's other figures and its network."""

import pytest

from cnnlib.models.zfnet import FIGURE_3, WIDE, WIDTHS
from cnnlib.papers import paper
from cnnlib.papers.zfnet import (
    ALEXNET_ABLATION,
    CLARIFAI_ONE_NETWORK_TOP5,
    CLARIFAI_TOP5,
    TABLE_1,
    TABLE_2,
    ZFNET_ABLATION,
    Result,
)
from cnnlib.published import published


def row(table: tuple[Result, ...], network: str) -> Result:
    (found,) = (result for result in table if result.network == network)
    return found


def test_the_two_tables_print_the_same_networks_alike():
    for network, ablation in (
        ("AlexNet, trained anew", row(ALEXNET_ABLATION, "all layers")),
        ("ZFNet", row(ZFNET_ABLATION, "all layers")),
        ("ZFNet, wider layers 3 to 5", row(ZFNET_ABLATION, "wider layers 3 to 5")),
    ):
        printed = row(TABLE_2, network)
        assert (printed.top1, printed.top5) == (ablation.top1, ablation.top5)


def test_the_errors_are_those_of_the_librarys_records():
    ours = row(ZFNET_ABLATION, "all layers")
    assert (ours.top1, ours.top5) == (published("zfnet").top1_error, published("zfnet").top5_error)
    assert paper("zfnet").network.error in (ours.top1, ours.top5)
    wide = published("zfnet_wide")
    if wide.top1_error is not None:
        printed = row(ZFNET_ABLATION, "wider layers 3 to 5")
        assert (wide.top1_error, wide.top5_error) == (printed.top1, printed.top5)


@pytest.mark.parametrize("table", [ALEXNET_ABLATION, ZFNET_ABLATION, TABLE_2])
def test_five_guesses_err_less_often_than_one(table):
    for result in table:
        assert result.top5 < result.top1 / 1.3
        if result.test_top5 is not None:
            assert abs(result.test_top5 - result.top5) <= 0.2


def test_the_claims_of_the_text_follow_from_the_table():
    base = row(ALEXNET_ABLATION, "all layers").top1
    middle = row(ALEXNET_ABLATION, "without 3 and 4").top1 - base
    top = row(ALEXNET_ABLATION, "without 6 and 7").top1 - base
    both = row(ALEXNET_ABLATION, "without 3, 4, 6 and 7").top1 - base
    assert both > 3 * (middle + top)
    # "beating their single model result by 1.7 %", Section 5.1
    theirs, ours = row(TABLE_2, "AlexNet, as its authors report it"), row(TABLE_2, "ZFNet")
    assert theirs.top5 - ours.top5 == pytest.approx(1.7)


def test_the_winner_of_2013_did_better_than_anything_in_the_paper():
    assert CLARIFAI_TOP5 < CLARIFAI_ONE_NETWORK_TOP5 < min(result.top5 for result in TABLE_2)


def test_the_wider_network_has_the_maps_that_table_3_names():
    assert WIDE[2:] == (512, 1024, 512) and WIDE[:2] == WIDTHS[:2]
    assert list(FIGURE_3) == ["conv1", "conv2", "conv3", "conv4", "conv5"]


def test_parts_of_faces_correspond_more_than_random_places_in_layer_5_only():
    *parts, anywhere = TABLE_1
    for part in parts:
        assert sum(part.layer5) < anywhere.layer5[0]
        assert sum(part.layer7) > anywhere.layer7[0]
