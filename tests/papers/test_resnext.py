"""What is printed of ResNeXt agrees with itself and with blocks that the library builds."""

import pytest
import torch

from cnnlib.inspection import count_parameters
from cnnlib.models import resnext
from cnnlib.models.resnet import Bottleneck
from cnnlib.papers import resnext as printed
from cnnlib.published import published


@pytest.mark.parametrize("template", printed.TABLE_3)
def test_every_template_has_about_as_many_weights(template):
    with torch.device("meta"):
        block = Bottleneck(256, template.filters, out_channels=256, groups=template.cardinality)
    weights = sum(p.numel() for p in block.parameters() if p.ndim == 4)
    assert abs(weights / printed.BLOCK_PARAMETERS - 1) < 0.025


def test_the_filters_are_those_of_table_2():
    assert tuple(t.filters for t in printed.TABLE_3) == printed.GROUPED_WIDTHS


def test_the_first_template_is_resnet_and_the_last_the_network_of_the_paper():
    first, *_, last = printed.TABLE_3
    assert first.cardinality == 1
    with torch.device("meta"):
        block = resnext.resnext50_32x4d().conv2_x[0].residual.conv2
    assert (block.groups, block.out_channels) == (last.cardinality, last.filters)
    assert published("resnext50_32x4d").top1_error == last.error_50


def test_as_many_parameters_in_the_whole_networks():
    with torch.device("meta"):
        grouped = count_parameters(resnext.resnext50_32x4d())
    assert abs(grouped / published("resnet50").parameters - 1) < 0.03


def test_more_paths_are_better_at_equal_cost():
    for depth in ("error_50", "error_101"):
        errors = [getattr(template, depth) for template in printed.TABLE_3]
        assert errors == sorted(errors, reverse=True)


def test_twice_the_work_is_best_spent_on_paths():
    by_use = {}
    for row in printed.TABLE_4:
        by_use.setdefault(row.spent_on, []).append(row.error)
    assert max(by_use["paths"]) < min(by_use["width"] + by_use["depth"])
    assert max(row.error for row in printed.TABLE_4) < printed.TABLE_3[0].error_101
