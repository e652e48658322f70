"""A block is drawn as it runs: right boxes, right order, nothing on top of anything else."""

import pytest
import torch
from matplotlib.patches import Circle, FancyBboxPatch
from torch import nn

from cnnlib import plots
from cnnlib.models import googlenet, squeezenet
from cnnlib.models.preact_resnet import FIGURE_2, FIGURE_4, ResidualUnit
from cnnlib.models.resnet import BasicBlock, Bottleneck

BLOCKS = {
    "basic": (BasicBlock(16, 16), (16, 8, 8)),
    "projection": (BasicBlock(16, 32, 2), (16, 8, 8)),
    "option A": (BasicBlock(16, 32, 2, shortcut="A"), (16, 8, 8)),
    "plain": (BasicBlock(16, 16, shortcut="none"), (16, 8, 8)),
    "bottleneck": (Bottleneck(64, 16), (64, 8, 8)),
    "inception": (googlenet.Inception(192, googlenet.TABLE_1["3a"]), (192, 28, 28)),
    "naive inception": (googlenet.NaiveInception(192, googlenet.TABLE_1["3a"]), (192, 28, 28)),
    **{f"order {name}": (ResidualUnit(16, 16, order=name), (16, 8, 8)) for name in FIGURE_4},
    **{f"shortcut {name}": (ResidualUnit(16, 16, shortcut=name), (16, 8, 8)) for name in FIGURE_2},
    "fire": (squeezenet.SqueezeNet().get_submodule("fire2"), (96, 55, 55)),
}


def labels(figure) -> list[str]:
    texts = [text for axis in figure.axes for text in axis.texts if text.get_text()]
    places = [(*reversed(text.get_position()), text.get_text()) for text in texts]
    return [text for _, _, text in sorted(places, key=lambda place: (-place[0], place[1]))]


def boxes(axis):
    """(left, right, bottom, top) of every box and every sign."""
    found = []
    for patch in axis.patches:
        if isinstance(patch, Circle):
            (x, y), r = patch.center, patch.radius
            found.append((x - r, x + r, y - r, y + r))
        elif isinstance(patch, FancyBboxPatch):
            x, y = patch.get_x(), patch.get_y()
            found.append((x, x + patch.get_width(), y, y + patch.get_height()))
    return found


def test_a_residual_block_is_drawn_layer_by_layer():
    assert labels(plots.diagram(*BLOCKS["basic"])) == [
        "16×8×8", "3×3 conv, 16", "batch norm", "ReLU", "3×3 conv, 16", "batch norm", "+", "ReLU",
        "16×8×8",
    ]  # fmt: skip


def test_a_plain_block_has_no_sum_and_no_shortcut():
    assert "+" not in labels(plots.diagram(*BLOCKS["plain"]))


def test_a_stride_and_the_new_shape_are_said():
    drawn = labels(plots.diagram(*BLOCKS["projection"]))
    assert "1×1 conv, 32, /2" in drawn and drawn[-1] == "32×4×4"


@pytest.mark.parametrize("name", BLOCKS)
def test_nothing_lies_on_top_of_anything(name):
    [axis] = plots.diagram(*BLOCKS[name]).axes
    found = boxes(axis)
    assert found
    for i, (left, right, bottom, top) in enumerate(found):
        for other in found[:i]:
            apart = left >= other[1] or other[0] >= right or bottom >= other[3] or other[2] >= top
            assert apart, "two boxes overlap"
        for line in axis.lines:
            xs, ys = line.get_data()
            for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:], strict=False):
                inside = 0.02
                beside = max(x0, x1) <= left + inside or min(x0, x1) >= right - inside
                beyond = max(y0, y1) <= bottom + inside or min(y0, y1) >= top - inside
                assert beside or beyond, "a line runs through a box"


@pytest.mark.parametrize("name", BLOCKS)
def test_everything_fits_into_the_picture(name):
    [axis] = plots.diagram(*BLOCKS[name]).axes
    (left, right), (bottom, top) = axis.get_xlim(), axis.get_ylim()
    for box in boxes(axis):
        assert left <= box[0] and box[1] <= right and bottom <= box[2] and box[3] <= top


def test_several_blocks_stand_side_by_side_under_their_titles():
    figure = plots.diagram({name: BLOCKS[name] for name in ("basic", "bottleneck")})
    assert len(figure.axes) == 2
    assert {"basic", "bottleneck"} <= set(labels(figure))


def test_the_module_stays_as_it_was():
    block = BasicBlock(4, 4)
    before = {name: value.clone() for name, value in block.state_dict().items()}
    plots.diagram(block, (4, 8, 8))
    assert block.training and all(not p.is_meta for p in block.parameters())
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())


class Undecided(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_what_cannot_be_drawn_is_said():
    with pytest.raises(ValueError, match="at least one module"):
        plots.diagram({})
    with pytest.raises(
        ValueError, match=r"BasicBlock does not take images of the shapes \(3, 8, 8\)"
    ):
        plots.diagram(BasicBlock(4, 4), (3, 8, 8))
    with pytest.raises(TypeError, match="the forward of Undecided cannot be traced"):
        plots.diagram(Undecided(), (3, 8, 8))


def test_a_depthwise_convolution_is_called_so_and_a_grouped_one_has_its_groups():
    block = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8, stride=2), nn.Conv2d(8, 16, 1, groups=4))
    words = [text.get_text() for text in plots.diagram(block, (8, 9, 9)).axes[0].texts]
    assert "3×3 depthwise, 8, /2" in words
    assert "1×1 conv, 16, 4 groups" in words
