"""NASNet-A against the paper's tables, two independent implementations, and formulas by hand."""

import copy
import functools
import itertools
import math

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorchcv.models.nasnet import get_nasnet, nasnet_4a1056
from timm.models.nasnet import NASNetALarge
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import count_macs, count_parameters, summarize
from cnnlib.models import create_model
from cnnlib.models.layers import Conv2dSame
from cnnlib.models.nasnet import (
    AUXILIARY_WEIGHT,
    COMBINATIONS,
    NASNET_A,
    OPERATIONS,
    Block,
    Cell,
    CellLayers,
    FactorizedReduction,
    Genotype,
    NASNet,
    PoolSame,
    Rectified,
    check_genotype,
    first_filters,
    nasnet_a_cifar,
    nasnet_a_large,
    nasnet_a_mobile,
)
from tests.models.invariants import Invariants, Tiny, settle
from tests.models.transplant import assert_same_function, randomize

SMALL = {"repeats": 1, "filters": 96, "stem": "small"}  # the CIFAR network, 1 @ 96
EVERY_OPERATION = Genotype(  # all thirteen, both combinations, inputs concatenated as they are
    normal=Cell(
        (
            Block((0, "1x3 3x1"), (1, "1x7 7x1")),
            Block((1, "dilated 3x3"), (2, "max 3x3"), "concatenate"),
            Block((3, "max 5x5"), (3, "identity")),
            Block((3, "sep 7x7"), (2, "1x1")),
        ),
        (1, 3, 4, 5),
    ),
    reduction=Cell(
        (
            Block((0, "max 7x7"), (1, "identity")),
            Block((1, "3x3"), (0, "avg 3x3"), "concatenate"),
            Block((3, "sep 3x3"), (2, "sep 5x5")),
            Block((0, "dilated 3x3"), (1, "1x3 3x1")),
        ),
        (0, 4, 5),
    ),
)
TINY = {
    "small, auxiliary head": Tiny(
        "nasnet_a_cifar",
        {"repeats": 1, "filters": 96, "auxiliary_head": True, "image_size": 28},
        lr=0.01,
    ),
    "imagenet, other cells, skipped input": Tiny(
        "nasnet_a_large",
        {
            "repeats": 1,
            "filters": 128,
            "genotype": EVERY_OPERATION,
            "stem_filters": 8,
            "dropout": 0.0,
        },
        (3, 48, 48),
        lr=0.01,
    ),
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@functools.cache
def on_meta(build) -> NASNet:
    """The network without numbers; tests share it, so they must leave it as it is."""
    with torch.device("meta"):
        return build()


# The paper's numbers


@pytest.mark.parametrize(
    "build, side, parameters, macs",
    [
        (nasnet_a_cifar, 32, "3.3M", None),  # Table 1
        (nasnet_a_mobile, 224, "5.3M", "564M"),  # Table 3
        (nasnet_a_large, 331, None, "23.8B"),  # Table 2; for its parameters see the next test
    ],
)
def test_parameters_and_multiply_adds_round_to_those_of_the_paper(build, side, parameters, macs):
    model = on_meta(build)
    if parameters:
        assert f"{count_parameters(model) / 1e6:.1f}M" == parameters
    counted = count_macs(model, (3, side, side))
    assert macs in (None, f"{counted / 1e6:.0f}M", f"{counted / 1e9:.1f}B")


def test_the_printed_size_of_the_large_network_counts_running_statistics():
    model = on_meta(nasnet_a_large)
    moving = sum(b.numel() for name, b in model.named_buffers() if "running" in name)
    assert count_parameters(model) == 88_753_150  # as all ports count
    assert count_parameters(model) + moving == 88_949_818  # printed as 88.9M


def test_sizes_of_the_mobile_network():
    rows = summarize(on_meta(nasnet_a_mobile), (3, 224, 224)).rows
    assert [(row.name, row.output_shape) for row in rows] == [
        ("stem", (32, 111, 111)),
        ("stem_cells", (88, 28, 28)),
        ("normal1", (264, 28, 28)),
        ("reduction1", (352, 14, 14)),
        ("normal2", (528, 14, 14)),
        ("reduction2", (704, 7, 7)),
        ("normal3", (1056, 7, 7)),
        ("pool", (1056, 1, 1)),
        ("dropout", (1056,)),
        ("classifier", (1000,)),
    ]


@pytest.mark.parametrize(
    "build, repeats, filters, stem_cells, side",
    [
        (nasnet_a_mobile, 4, 44, [11, 22], 7),
        (nasnet_a_large, 6, 168, [42, 84], 11),
        (nasnet_a_cifar, 6, 32, [], 8),
    ],
)
def test_cells_follow_figure_2_and_filters_double_with_each_reduction(
    build, repeats, filters, stem_cells, side
):
    model = on_meta(build)
    normal, reduction = [6 * filters] * repeats, 8 * filters  # 6 and 4 concatenated states
    expected = [4 * width for width in stem_cells] + normal + [reduction]
    expected += [2 * width for width in normal] + [2 * reduction] + [4 * width for width in normal]
    assert [cell.out_channels for cell in model.cells()] == expected
    size = {7: 224, 11: 331, 8: 32}[side]
    maps = {row.name: row.output_shape for row in summarize(model, (3, size, size)).rows}
    assert maps["normal3"] == (4 * 6 * filters, side, side)


def test_n_at_f_counts_the_filters_of_the_penultimate_layer():
    assert first_filters(1056) == 44
    assert first_filters(4032) == 168
    assert first_filters(768) == 32
    assert on_meta(nasnet_a_mobile).classifier.in_features == 1056


def test_the_printed_5_at_1538_cannot_be_and_the_error_names_what_can():
    # Table 2 lists "5 @ 1538", but doubling twice and six states call for a multiple of 24
    with pytest.raises(ValueError, match="multiple of 24.*6 hidden states; got 1538, try 1536 or"):
        first_filters(1538)
    with pytest.raises(ValueError, match="got 5, try 24"):
        NASNet(filters=5)


def test_there_are_thirteen_operations_and_five_blocks_of_five_decisions():
    assert len(OPERATIONS) == 13
    assert len(COMBINATIONS) == 2
    for cell in NASNET_A:
        assert len(cell.blocks) == 5
        assert all(block.combine == "add" for block in cell.blocks)


def test_every_hidden_state_that_no_block_reads_is_concatenated():
    for cell in NASNET_A:
        read = {state for block in cell.blocks for state, _ in block[:2]}
        assert set(range(2, 7)) - read <= set(cell.concatenated)
    # and two more, which blocks read too: h_{i-1}, and the reduction's second block
    assert NASNET_A.normal.concatenated == (0, 2, 3, 4, 5, 6)
    assert NASNET_A.reduction.concatenated == (3, 4, 5, 6)


def test_edges_can_be_drawn():
    edges = NASNET_A.reduction.edges()
    assert edges[:2] == [("h_i", "block 1", "sep 5x5"), ("h_{i-1}", "block 1", "sep 7x7")]
    assert edges[6] == ("block 2", "block 4", "identity")
    assert edges[-1] == ("block 5", "h_{i+1}", "concatenate")
    assert len(edges) == 10 + 4
    for genotype in (NASNET_A, EVERY_OPERATION):
        for cell in genotype:
            drawn = {"h_{i-1}", "h_i"}
            for start, end, _ in cell.edges():  # from bottom to top: nothing starts in the air
                assert start in drawn
                drawn.add(end)


# Equal function


def previous_first(theirs: nn.Module, previous: tuple[str, ...], current: str):
    """They fit h_i before h_{i-1} in some of their cells; we do it the other way round."""

    def arrange(layers: list[nn.Module]) -> list[nn.Module]:
        place = {layer: number for number, layer in enumerate(layers)}
        arranged = list(layers)
        for cell in theirs.modules():
            if not hasattr(cell, current):
                continue
            parts = [getattr(cell, name) for name in (*previous, current) if hasattr(cell, name)]
            wanted = [m for part in parts for m in part.modules() if m in place]
            places = sorted(place[m] for m in wanted)
            for number, layer in zip(places, wanted, strict=True):
                arranged[number] = layer
        return arranged

    return arrange


def test_mobile_network_equals_pytorchcv():
    theirs = nasnet_4a1056()
    arrange = previous_first(theirs, ("path", "conv1x1_prev"), "conv1x1")
    assert_same_function(nasnet_a_mobile(), theirs, (3, 224, 224), arrange=arrange)


# Pytorchcv's padding is right for maps that are odd and even in a fixed order: in its large form
# as 165, 83, 42, 21, 11, which images of 43 and 75 pixels share; in its mobile form as 111, 56, 28,
# 14, 7, which multiples of 32 share.


# A single repeat of the large form it cannot build: its widths of skipped inputs assume two.


@pytest.mark.parametrize("repeats, size, pooled", [(2, 43, 2), (3, 75, 3)])
def test_narrow_networks_of_the_large_form_equal_pytorchcv(repeats, size, pooled):
    theirs = get_nasnet(repeats, 192, 16, pooled, False, True, (size, size), num_classes=10)
    ours = nasnet_a_large(num_classes=10, repeats=repeats, filters=192, stem_filters=16)
    arrange = previous_first(theirs, ("path", "conv1x1_prev"), "conv1x1")
    assert_same_function(ours, theirs, (3, size, size), arrange=arrange)


@pytest.mark.parametrize("repeats, size, pooled", [(1, 64, 2), (2, 96, 3)])
def test_narrow_networks_of_the_mobile_form_equal_pytorchcv(repeats, size, pooled):
    theirs = get_nasnet(repeats, 192, 8, pooled, True, False, (size, size), num_classes=10)
    ours = nasnet_a_mobile(num_classes=10, repeats=repeats, filters=192, stem_filters=8)
    arrange = previous_first(theirs, ("path", "conv1x1_prev"), "conv1x1")
    assert_same_function(ours, theirs, (3, size, size), arrange=arrange)


@pytest.mark.slow
def test_large_network_equals_pytorchcv():
    theirs = get_nasnet(6, 4032, 96, 2, False, True, (43, 43))
    arrange = previous_first(theirs, ("path", "conv1x1_prev"), "conv1x1")
    assert_same_function(nasnet_a_large(), theirs, (3, 43, 43), arrange=arrange)


def without_padding_in_averages(theirs: NASNetALarge) -> NASNetALarge:
    """Timm's one difference removed: its averages of stride 2 count the zeros of the padding."""
    for module in theirs.modules():
        pool = getattr(module, "comb_iter_2_left", None)
        if isinstance(pool, nn.AvgPool2d) and pool.stride in (2, (2, 2)):
            module.comb_iter_2_left = PoolSame("avg", 3, 2)
    return theirs


def timm_arrangement(theirs: nn.Module):
    previous = ("path_1", "path_2", "final_path_bn", "conv_prev_1x1")
    return previous_first(theirs, previous, "conv_1x1")


@pytest.mark.parametrize("size", [37, 64])  # odd and even maps, on each level
def test_networks_of_six_repeats_equal_timm_but_for_its_averages(size):
    theirs = NASNetALarge(num_classes=10, stem_size=12, num_features=96)
    plain = copy.deepcopy(theirs)
    without_padding_in_averages(theirs)
    ours = nasnet_a_large(num_classes=10, filters=96, stem_filters=12)
    assert_same_function(ours, theirs, (3, size, size), arrange=timm_arrangement(theirs))

    images = torch.randn(1, 3, size, size, dtype=torch.float64)
    randomize(plain)  # the same numbers as above
    with torch.no_grad():
        assert not torch.allclose(plain(images), ours(images))
        torch.testing.assert_close(theirs(images), ours(images))


@pytest.mark.slow
def test_large_network_equals_timm_but_for_its_averages():
    theirs = without_padding_in_averages(timm.create_model("nasnetalarge"))
    arrange = timm_arrangement(theirs)
    assert_same_function(nasnet_a_large(), theirs, (3, 64, 64), arrange=arrange)


# No library at hand has the CIFAR network: its first cell, the one that differs, by hand.


def test_first_cell_of_the_cifar_network_by_hand():
    model = settle(nasnet_a_cifar(**SMALL, num_classes=10).double())
    stem = model.stem(torch.randn(2, 3, 32, 32, dtype=torch.float64))
    cell, relu = model.normal1[0], F.relu
    o, s, h = cell.operations, stem, cell.current(relu(stem))  # h_{i-1} is the stem itself
    blocks = [
        o[0](relu(h)) + o[1](relu(s)),
        o[2](relu(s)) + o[3](relu(s)),
        F.avg_pool2d(h, 3, 1, 1, count_include_pad=False) + o[5](relu(s)),
        o[6](s) + o[7](s),
        o[8](relu(h)) + h,
    ]
    assert isinstance(o[5], Rectified)  # the identity of 12 maps as 4 takes a convolution
    by_hand = relu(torch.cat([cell.fits["0"](s), *blocks], 1))
    torch.testing.assert_close(cell(s, relu(s)), by_hand)


def test_wiring_of_a_cell_with_every_operation_by_hand():
    model = settle(TINY["imagenet, other cells, skipped input"].build().double())
    cell, relu = model.normal2[0], F.relu
    previous = torch.rand(2, cell.previous.here.in_channels, 9, 9, dtype=torch.float64)
    current = torch.rand(2, cell.current[0].in_channels, 5, 5, dtype=torch.float64)
    o, p, h = cell.operations, cell.previous(previous), cell.current(current)
    b1 = o[0](relu(p)) + o[1](relu(h))
    b2 = torch.cat([o[2](relu(h)), F.max_pool2d(b1, 3, 1, 1)], 1)
    b3 = o[4](b2) + o[5](relu(b2))
    b4 = o[6](relu(b2)) + o[7](relu(b1))
    by_hand = relu(torch.cat([h, cell.fits["3"](b2), b3, b4], 1))
    torch.testing.assert_close(cell(previous, current), by_hand)


# Operations


@given(
    kind=st.sampled_from(["avg", "max"]),
    kernel=st.sampled_from([3, 5, 7]),
    stride=st.sampled_from([1, 2]),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_pooling_sees_no_padding_wherever_tensorflow_puts_it(kind, kernel, stride, height, width):
    maps = torch.randn(1, 2, height, width, dtype=torch.float64)
    pooled = PoolSame(kind, kernel, stride)(maps)
    rows, columns = (math.ceil(size / stride) for size in (height, width))
    assert pooled.shape == (1, 2, rows, columns)

    def window(place: int, size: int, places: int) -> slice:
        before = max((places - 1) * stride + kernel - size, 0) // 2
        start = place * stride - before
        return slice(max(start, 0), start + kernel)

    for i, j in itertools.product(range(rows), range(columns)):
        seen = maps[0, :, window(i, height, rows), window(j, width, columns)]
        expected = seen.mean((1, 2)) if kind == "avg" else seen.amax((1, 2))
        torch.testing.assert_close(pooled[0, :, i, j], expected)


@given(
    name=st.sampled_from(sorted(OPERATIONS)),
    channels=st.sampled_from([(6, 6), (6, 4), (3, 8)]),
    stride=st.sampled_from([1, 2]),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@settings(max_examples=60, deadline=None)
def test_every_operation_can_stride_and_change_the_number_of_maps(name, channels, stride, size):
    in_channels, filters = channels
    layers = OPERATIONS[name](in_channels, filters, stride).eval()
    result = layers(torch.randn(2, in_channels, *size))
    assert result.shape == (2, filters, *(math.ceil(side / stride) for side in size))


@pytest.mark.parametrize(
    "name, weights",  # of 8 maps into 8, without the two numbers per map of batch normalisation
    {
        "identity": 0,
        "1x3 3x1": 2 * 3 * 64,
        "1x7 7x1": 2 * 7 * 64,
        "dilated 3x3": 9 * 64,
        "avg 3x3": 0,
        "max 3x3": 0,
        "max 5x5": 0,
        "max 7x7": 0,
        "1x1": 64,
        "3x3": 9 * 64,
        "sep 3x3": 2 * (9 * 8 + 64),  # twice (Appendix A.4)
        "sep 5x5": 2 * (25 * 8 + 64),
        "sep 7x7": 2 * (49 * 8 + 64),
    }.items(),
)
def test_weights_of_each_operation(name, weights):
    layers = OPERATIONS[name](8, 8, 1)
    convolutions = [m for m in layers.modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.weight.numel() for m in convolutions) == weights
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in layers.modules())
    assert count_parameters(layers) == weights + 16 * norms
    assert all(m.bias is None for m in convolutions)


def test_separable_convolutions_have_nothing_between_their_two_parts():
    kinds = [type(layer) for layer in OPERATIONS["sep 5x5"](8, 8, 2)]
    once = [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d]
    assert kinds == [Conv2dSame, *once[1:], nn.ReLU, *once]  # the first ReLU is the cell's


def test_dilated_convolution_leaves_out_every_other_pixel():
    layers = OPERATIONS["dilated 3x3"](1, 1, 1).eval()
    layers[0].weight.data.fill_(1)
    spot = torch.zeros(1, 1, 7, 7)
    spot[..., 3, 3] = 1
    hit = layers(spot)[0, 0].nonzero().tolist()
    assert hit == [[row, column] for row in (1, 3, 5) for column in (1, 3, 5)]


@pytest.mark.parametrize("height, width", [(6, 6), (5, 7), (1, 1)])
def test_factorized_reduction_sees_two_of_each_four_pixels(height, width):
    layer = FactorizedReduction(1, 2).eval()
    layer.here.weight.data.fill_(1)
    layer.there.weight.data.fill_(1)
    layer.norm.eps = 0.0
    maps = torch.arange(1.0, height * width + 1).view(1, 1, height, width)
    here, there = layer(maps)[0]
    assert torch.equal(here, maps[0, 0, ::2, ::2])
    moved = torch.zeros_like(here)  # beyond the last row and column there are zeros
    inside = maps[0, 0, 1::2, 1::2]
    moved[: inside.shape[0], : inside.shape[1]] = inside
    assert torch.equal(there, moved)


def test_a_factorized_reduction_to_one_map_is_refused():
    with pytest.raises(ValueError, match="at least 2 filters; got 1"):
        FactorizedReduction(4, 1)


# The cells' surroundings


@pytest.mark.parametrize("skip", [False, True])
def test_the_cell_behind_a_reduction_may_have_the_same_previous_cell(skip):
    model = NASNet(10, 1, **SMALL, skip_reduction_input=skip).eval()
    seen = []
    for cell in model.cells():  # normal, reduction, normal, reduction, normal
        cell.register_forward_pre_hook(lambda _, states: seen.append(states))
    model(torch.randn(1, 1, 28, 28))
    reduction, behind, last = seen[1], seen[2], seen[4]
    assert (behind[0] is reduction[0]) == skip
    assert (behind[0] is reduction[1]) == (not skip)
    assert [maps.shape[-1] for maps in last] == [14, 7]


def test_a_state_is_rectified_once_and_pooled_once_for_all_who_read_it(monkeypatch):
    cell = NASNet(10, 1, **SMALL).normal2[0].eval()
    pools, relus, relu = [], [], F.relu
    for layer in cell.operations:
        if isinstance(layer, PoolSame):
            layer.register_forward_hook(lambda *_: pools.append(1))
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: relus.append(inplace) or relu(x))
    previous, current = (torch.rand(1, width, size, size) for width, size in ((24, 8), (32, 4)))
    with torch.no_grad():
        cell(previous, current)
    assert len(pools) == 2  # of three in Fig. 4: h_{i-1} is averaged twice
    assert relus.count(False) == 2  # h_{i-1} and h_i, for three and two separable convolutions


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_any_cells_make_a_network(data):
    def cell() -> Cell:
        blocks = []
        for there in range(2, 2 + data.draw(st.integers(1, 4))):
            read = st.tuples(st.integers(0, there - 1), st.sampled_from(sorted(OPERATIONS)))
            blocks.append(Block(data.draw(read), data.draw(read), data.draw(combine)))
        states = range(2 + len(blocks))
        read = {state for block in blocks for state, _ in block[:2]}
        more = data.draw(st.sets(st.sampled_from(states)))
        return Cell(tuple(blocks), tuple(sorted((set(states[2:]) - read) | more)))

    combine = st.sampled_from(COMBINATIONS)
    genotype = Genotype(cell(), cell())
    filters = 4 * 8 * len(genotype.normal.concatenated)
    stem = data.draw(st.sampled_from(["small", "imagenet"]))
    model = NASNet(
        3,
        1,
        repeats=data.draw(st.integers(1, 2)),
        filters=filters,
        genotype=genotype,
        stem=stem,
        skip_reduction_input=data.draw(st.booleans()),
        dropout=0.0,
    )
    assert model.classifier.in_features == filters
    size = data.draw(st.integers(16, 21))
    logits = model(torch.randn(3, 1, size, size))
    assert logits.shape == (3, 3)
    logits.square().sum().backward()
    assert torch.isfinite(model.stem[0].weight.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_genotype_may_come_as_plain_lists():
    plain = [
        [[[[*block.left], [*block.right]] for block in cell.blocks], [*cell.concatenated]]
        for cell in NASNET_A
    ]
    assert check_genotype(plain) == NASNET_A
    assert isinstance(check_genotype(plain).normal.blocks[0], Block)


def wired(*blocks: Block, concatenated: tuple[int, ...] = (2,)) -> Genotype:
    return NASNET_A._replace(normal=Cell(blocks, concatenated))


@pytest.mark.parametrize(
    "genotype, message",
    [
        (wired(), "normal cell must have at least one block.*got 0 and 1"),
        (wired(Block((0, "1x1"), (1, "1x1")), concatenated=()), "got 1 and 0"),
        (
            wired(Block((0, "1x1"), (2, "1x1"))),
            r"block 1 of the normal cell asks for hidden state 2; there are 0 \(h_\{i-1\}\), "
            r"1 \(h_i\).*0 to 1 here",
        ),
        (wired(Block((-1, "1x1"), (1, "1x1"))), "asks for hidden state -1"),
        (wired(Block((0, "sep 9x9"), (1, "1x1"))), "operation must be one of identity.*'sep 9x9'"),
        (
            wired(Block((0, "1x1"), (1, "1x1"), "multiply")),
            "combine must be one of add, concatenate; got 'multiply'",
        ),
        (
            wired(Block((0, "1x1"), (1, "1x1")), concatenated=(2, 3)),
            "the end of the normal cell asks for hidden state 3",
        ),
        (
            wired(Block((0, "1x1"), (1, "1x1")), concatenated=(0,)),
            "nobody reads hidden state 2 of the normal cell, the result of block 1",
        ),
    ],
)
def test_a_cell_that_cannot_be_is_refused(genotype, message):
    with pytest.raises(ValueError, match=message):
        NASNet(genotype=genotype, **SMALL)


def test_layers_for_a_hidden_state_that_no_block_reads_are_left_out():
    cell = Cell((Block((0, "1x1"), (0, "3x3")),), (2,))
    layers = CellLayers(cell, 4, 6, 5, stride=1, previous_stride=1)
    assert isinstance(layers.current, nn.Identity)
    assert count_parameters(layers) == (5 * 4 + 8) + (16 + 8) + (9 * 16 + 8)


# Training: the auxiliary head and ScheduledDropPath


def test_auxiliary_head_sees_two_thirds_of_the_way_up_and_only_while_training():
    with torch.device("meta"):
        model, images = nasnet_a_mobile(auxiliary_head=True), torch.empty(2, 3, 224, 224)
    seen = []
    model.auxiliary.register_forward_pre_hook(lambda _, maps: seen.append(maps[0].shape))
    logits, auxiliary = model(images)
    assert logits.shape == auxiliary.shape == (2, 1000)
    assert seen == [(2, 528, 14, 14)]
    names = [name for name, _ in model.named_children()]
    assert names.index("auxiliary") == names.index("normal2") + 1
    assert model.eval()(images).shape == (2, 1000)
    assert len(seen) == 1
    assert AUXILIARY_WEIGHT == 0.4


def test_auxiliary_head_costs_nothing_in_use_and_may_then_have_any_size():
    model = NASNet(10, 1, **SMALL, auxiliary_head=True, image_size=28)
    assert count_macs(model, (1, 28, 28)) == count_macs(NASNet(10, 1, **SMALL), (1, 28, 28))
    assert model.eval()(torch.zeros(1, 1, 20, 24)).shape == (1, 10)
    with pytest.raises(ValueError, match="must be 28 x 28 pixels; got 20 x 24"):
        model.train()(torch.zeros(2, 1, 20, 24))


@pytest.mark.parametrize("stem, smallest", [("imagenet", 67), ("small", 9)])
def test_smallest_image_for_the_auxiliary_head_is_named_and_works(stem, smallest):
    options = SMALL | {"stem": stem, "auxiliary_head": True}
    with pytest.raises(ValueError, match=f"image_size must be at least {smallest} .*; got"):
        NASNet(10, 1, **options, image_size=smallest - 1)
    model = NASNet(10, 1, **options, image_size=smallest)
    assert model.auxiliary[4].kernel_size == (1, 1)
    logits, auxiliary = model(torch.randn(2, 1, smallest, smallest))
    assert logits.shape == auxiliary.shape == (2, 10)


def test_drop_path_grows_with_the_training_and_with_depth():
    with torch.device("meta"):
        model = nasnet_a_cifar()
    assert [cell.drop_path.rate for cell in model.cells()] == [0] * 20
    model.set_progress(1)
    rates = [cell.drop_path.rate for cell in model.cells()]
    assert rates == pytest.approx([0.4 * place / 20 for place in range(1, 21)])
    model.set_progress(0.25)
    assert [cell.drop_path.rate for cell in model.cells()] == pytest.approx([r / 4 for r in rates])
    for wrong in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"from 0 to 1; got {wrong}"):
            model.set_progress(wrong)


def test_dropped_paths_are_all_but_the_identities():
    model = NASNet(10, 1, **SMALL, drop_path=0.5)
    cell, dropped = model.normal1[0], []
    cell.drop_path.register_forward_hook(lambda *_: dropped.append(1))
    model(torch.randn(2, 1, 28, 28))
    assert len(dropped) == 8  # of ten paths


def test_dropped_paths_change_training_and_not_use():
    model = NASNet(10, 1, **SMALL, drop_path=0.9, dropout=0.0)
    images = torch.randn(4, 1, 28, 28)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0  # else training mode would move what is used in eval
    assert torch.equal(model(images), model(images))  # at the start nothing is dropped
    before = model.eval()(images)
    model.train().set_progress(1)
    assert not torch.equal(model(images), model(images))
    assert torch.equal(model.eval()(images), before)


def test_dropout_before_the_classifier_is_a_half_on_imagenet_and_none_on_cifar():
    assert on_meta(nasnet_a_mobile).dropout.p == on_meta(nasnet_a_large).dropout.p == 0.5
    assert on_meta(nasnet_a_cifar).dropout.p == 0


@pytest.mark.parametrize("build, eps", [(nasnet_a_mobile, 1e-3), (nasnet_a_cifar, 1e-5)])
def test_batch_normalisation_adds_what_the_authors_add(build, eps):
    norms = [m for m in on_meta(build).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {m.eps for m in norms} == {eps}


# Initialisation


def test_weights_are_drawn_by_fan_out():
    model = NASNet(10, 3, repeats=1, filters=768, stem="small")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 5_000:
            fan_out = layer.out_channels / layer.groups * math.prod(layer.kernel_size)
            assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
            assert abs(layer.weight.mean().item()) < 0.1 * (2 / fan_out) ** 0.5
    depthwise = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    numbers = torch.cat([(w * w[0, 0].numel() ** 0.5).flatten() for w in depthwise])
    assert numbers.std().item() == pytest.approx(2**0.5, rel=0.02)  # a filter has one map


# All networks


class TestInvariants(Invariants):
    networks = TINY


def test_small_networks_for_small_images_are_arguments_away():
    model = create_model("nasnet_a_cifar", in_channels=1, repeats=1, filters=96)
    assert count_parameters(model) == 25_270
    assert model.smallest == 1
    assert on_meta(nasnet_a_large).smallest == 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"stem": "cifar"}, "stem must be one of imagenet, small; got 'cifar'"),
        ({"repeats": 0}, "repeats must be a whole number of at least 1; got 0"),
        ({"filters": 72}, 'stem="imagenet" begins with a quarter.*multiple of 96; got 72.*them 3'),
        ({"stem_filters": 0}, "stem_filters must be a whole number of at least 1; got 0"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"dropout": -0.1}, "dropout"),
        ({"auxiliary_head": True, "image_size": 0}, "image_size must be a whole number"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NASNet(**options)
