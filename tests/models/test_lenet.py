"""LeNet-5 against the paper's printed numbers, and against plain arithmetic."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from cnnlib.models.lenet import (
    BITMAPS,
    OPTIONS,
    RBF,
    TABLE_1,
    LeNet5,
    ScaledTanh,
    Subsampling,
    TableConv2d,
    count_connections,
    digit_codes,
    lenet5,
    lenet5_modern,
    map_loss,
    mse_loss,
)
from tests.models.invariants import Invariants, Tiny

# Section II-B: layer -> shape of its output, trainable parameters, connections
PAPER = {
    "c1": ((6, 28, 28), 156, 122_304),
    "s2": ((6, 14, 14), 12, 5_880),
    "c3": ((16, 10, 10), 1_516, 151_600),
    "s4": ((16, 5, 5), 32, 2_000),
    "c5": ((120, 1, 1), 48_120, 48_120),
    "f6": ((84,), 10_164, 10_164),
    "output": ((10,), 0, 840),
}
VARIANTS = {
    "faithful": lenet5,
    "modern": lenet5_modern,
    "modern with batch norm": lambda: lenet5_modern(batch_norm=True),
}
variants = pytest.mark.parametrize("build", VARIANTS.values(), ids=VARIANTS.keys())


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# The paper's numbers


@pytest.mark.parametrize("layer", PAPER)
def test_parameters_of_each_layer_are_those_of_the_paper(layer):
    assert parameters(lenet5().get_submodule(layer)) == PAPER[layer][1]


def test_there_are_exactly_sixty_thousand_trainable_parameters():
    assert parameters(lenet5()) == 60_000
    assert all(p.requires_grad for p in lenet5().parameters())


def test_connections_are_those_of_the_paper():
    connections = count_connections(lenet5())
    assert connections == {layer: row[2] for layer, row in PAPER.items()}
    assert sum(connections.values()) == 340_908


def test_connections_of_the_modern_form_follow_its_layers():
    connections = count_connections(lenet5_modern(batch_norm=True))
    assert connections["s2"] == 6 * 14 * 14 * 4  # no bias
    assert connections["c3"] == 16 * (6 * 25 + 1) * 100
    assert connections["output"] == 10 * (84 + 1)


def test_modern_forms_have_the_usual_numbers_of_parameters():
    assert parameters(lenet5_modern()) == 61_706
    assert parameters(lenet5_modern(batch_norm=True)) == 61_990


@pytest.mark.parametrize(
    "option, difference",
    [
        ({"connections": "full"}, 36 * 25),  # 96 - 60 links
        ({"subsampling": "average"}, -2 * (6 + 16)),
        ({"subsampling": "max"}, -2 * (6 + 16)),
        ({"activation": "relu"}, 0),
        ({"output": "linear"}, 10 * 85),
        ({"batch_norm": True}, 2 * (6 + 16 + 120)),
        ({"in_channels": 3}, 2 * 6 * 25),
        ({"output": "linear", "num_classes": 100}, 100 * 85),
        ({"num_classes": 2}, 0),
    ],
)
def test_each_option_changes_the_parameters_by_what_it_names(option, difference):
    assert parameters(lenet5(**option)) == 60_000 + difference


@variants
def test_shapes_are_those_of_figure_2(build):
    model, shapes = build(), {}
    for name, child in model.named_children():
        child.register_forward_hook(
            lambda _, __, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    model(torch.zeros(2, 1, 32, 32))
    assert shapes == {layer: row[0] for layer, row in PAPER.items()}


@variants
def test_the_network_is_the_chain_of_its_children(build):
    model, x = build().eval(), torch.randn(3, 1, 32, 32)
    assert [name for name, _ in model.named_children()] == list(PAPER)
    torch.testing.assert_close(nn.Sequential(*model.children())(x), model(x), rtol=0, atol=0)


def test_table_1_has_the_structure_that_the_text_describes():
    assert len(TABLE_1) == 16 and sum(map(len, TABLE_1)) == 60

    def contiguous(n):  # around the circle of six maps
        return {frozenset((start + i) % 6 for i in range(n)) for start in range(6)}

    assert set(map(frozenset, TABLE_1[:6])) == contiguous(3)
    assert set(map(frozenset, TABLE_1[6:12])) == contiguous(4)
    # "some discontinuous subsets of four": two pairs of neighbours, opposite each other
    pairs = [{(s + i) % 6 for i in (0, 1, 3, 4)} for s in range(3)]
    assert all(set(seen) in pairs for seen in TABLE_1[12:15])
    assert len(set(TABLE_1[12:15])) == 3
    assert TABLE_1[15] == (0, 1, 2, 3, 4, 5)


def test_every_s2_map_is_seen_by_ten_c3_maps():
    assert [sum(i in seen for seen in TABLE_1) for i in range(6)] == [10] * 6


# The output and its codes


def test_codes_are_ten_bitmaps_of_seven_by_twelve_signs():
    codes = digit_codes()
    assert codes.shape == (10, 7 * 12)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}


def test_codes_read_the_drawing_digit_by_digit_and_row_by_row():
    picture = digit_codes().view(10, 12, 7)
    lines = BITMAPS.strip().splitlines()
    assert len(lines) == 12
    for digit, row, column in itertools.product(range(10), range(12), range(7)):
        ink = lines[row][8 * digit + column] == "#"
        assert picture[digit, row, column] == (1 if ink else -1)


def test_any_two_digits_differ_in_at_least_ten_pixels():
    codes = digit_codes()
    distances = (codes[:, None] != codes).sum(-1)
    assert distances[~torch.eye(10, dtype=torch.bool)].min() >= 10


def test_rbf_is_minus_equation_7():
    codes, x = digit_codes(), torch.randn(5, 84)
    scores = RBF(codes)(x)
    for n, digit in itertools.product(range(5), range(10)):
        penalty = sum((x[n, k].item() - codes[digit, k].item()) ** 2 for k in range(84))
        assert scores[n, digit].item() == pytest.approx(-penalty, rel=1e-5)


def test_f6_that_draws_a_digit_is_recognised_without_penalty():
    scores = RBF(digit_codes())(digit_codes())
    assert scores.argmax(1).tolist() == list(range(10))
    assert torch.equal(scores.diagonal(), torch.zeros(10))


def test_codes_are_saved_but_not_trained():
    model = lenet5()
    assert "output.codes" in model.state_dict()
    assert "output.codes" not in dict(model.named_parameters())


def test_fewer_classes_use_the_first_digits():
    assert torch.equal(lenet5(num_classes=3).output.codes, digit_codes()[:3])


# The blocks by hand


def test_squashing_has_the_amplitude_of_the_paper_and_is_one_at_one():
    a = torch.linspace(-3, 3, 13, dtype=torch.float64)
    by_hand = torch.tensor([1.7159 * math.tanh(2 * v / 3) for v in a.tolist()])
    torch.testing.assert_close(ScaledTanh()(a), by_hand.double(), rtol=1e-6, atol=1e-6)
    assert ScaledTanh()(torch.tensor(1.0)).item() == pytest.approx(1, abs=1e-4)


def test_subsampling_is_the_sum_of_the_patch_times_coefficient_plus_bias():
    layer, x = Subsampling(2), torch.randn(1, 2, 4, 6)
    with torch.no_grad():
        layer.coefficient.copy_(torch.tensor([0.5, -2.0]))
        layer.bias.copy_(torch.tensor([0.1, 3.0]))
    y = layer(x)
    assert y.shape == (1, 2, 2, 3)
    for c, (coefficient, bias) in enumerate([(0.5, 0.1), (-2.0, 3.0)]):
        for i, j in itertools.product(range(2), range(3)):
            patch = x[0, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            assert y[0, c, i, j].item() == pytest.approx(
                coefficient * patch.sum().item() + bias, abs=1e-5
            )


def test_subsampling_starts_as_an_average():
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(Subsampling(3)(x), F.avg_pool2d(x, 2))


tables = st.lists(
    st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True), min_size=1, max_size=5
)


@given(table=tables, kernel_size=st.integers(1, 4), batch=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_table_convolution_sums_one_small_convolution_per_link(table, kernel_size, batch):
    layer = TableConv2d(table, kernel_size).double()
    x = torch.randn(batch, layer.in_channels, 6, 7, dtype=torch.float64)
    y, kernels = layer(x), iter(layer.weight)
    assert layer.weight.shape == (sum(map(len, table)), kernel_size, kernel_size)
    for number, seen in enumerate(table):
        links = [F.conv2d(x[:, i : i + 1], next(kernels)[None, None])[:, 0] for i in seen]
        torch.testing.assert_close(y[:, number], sum(links) + layer.bias[number])


def test_table_convolution_equals_a_convolution_with_a_masked_weight():
    layer = TableConv2d(TABLE_1, 5).double()
    mask = torch.zeros(16, 6, 1, 1, dtype=torch.float64)
    for number, seen in enumerate(TABLE_1):
        mask[number, list(seen)] = 1
    dense = nn.Conv2d(6, 16, 5).double()
    dense.weight.data, dense.bias.data = torch.randn(16, 6, 5, 5).double() * mask, layer.bias.data
    with torch.no_grad():
        layer.weight.copy_(dense.weight[mask[:, :, 0, 0].bool()])
    assert torch.equal(layer.dense_weight(), dense.weight)
    x = torch.randn(2, 6, 14, 14, dtype=torch.float64)
    torch.testing.assert_close(layer(x), dense(x))


def test_gradients_of_the_table_convolution_are_right():
    layer = TableConv2d([(0, 2), (1,)], 2).double()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *_: layer(x), (x, *layer.parameters()))


def test_an_input_map_without_link_does_not_matter():
    layer, x = TableConv2d(TABLE_1, 5), torch.randn(1, 6, 14, 14)
    changed = x.clone()
    changed[:, 0] += 1
    differs = (layer(x) != layer(changed)).flatten(2).any(2)[0].tolist()
    assert differs == [0 in seen for seen in TABLE_1]


# The losses


def test_mse_loss_is_equation_8():
    scores = torch.tensor([[-1.0, -5.0, -9.0], [-4.0, -2.0, -7.0]])
    assert mse_loss(scores, torch.tensor([0, 2])).item() == pytest.approx((1 + 7) / 2)


@pytest.mark.parametrize("j", [0.1, 3.0])
def test_map_loss_is_equation_9(j):
    penalties, labels = [[1.0, 5.0, 9.0], [4.0, 2.0, 7.0]], [0, 2]
    by_hand = sum(
        row[label] + math.log(math.exp(-j) + sum(math.exp(-y) for y in row))
        for row, label in zip(penalties, labels, strict=True)
    )
    loss = map_loss(-torch.tensor(penalties), torch.tensor(labels), j=j)
    assert loss.item() == pytest.approx(by_hand / 2)


def test_map_loss_does_not_overflow_far_from_all_codes():
    loss = map_loss(torch.full((2, 10), -1e4), torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(1e4 - 0.1)


@pytest.mark.parametrize("loss", [mse_loss, map_loss])
def test_labels_beyond_the_classes_are_refused(loss):
    with pytest.raises((RuntimeError, IndexError), match="out of bounds"):
        loss(torch.zeros(1, 10), torch.tensor([10]))


# Initial weights


def test_weights_are_uniform_in_2_4_over_fan_in():
    model = lenet5()
    layers = {25: model.c1[0], 400: model.c5[0], 120: model.f6[1]}
    for fan_in, layer in layers.items():
        bound = 2.4 / fan_in
        assert 0.9 * bound < layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() <= bound
        # a uniform distribution on (-b, b) has the deviation b / sqrt(3)
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)


def test_each_c3_map_has_its_own_fan_in():
    weights = lenet5().c3[0].weight.split([len(seen) for seen in TABLE_1])
    for kernels in weights:
        assert 0.9 * 2.4 / kernels.numel() < kernels.abs().max() <= 2.4 / kernels.numel()


def test_relu_networks_start_with_the_deviation_of_he():
    model = lenet5_modern(connections="table")
    assert model.c5[0].weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.02)
    assert model.c3[0].weight[-6:].std().item() == pytest.approx((2 / 150) ** 0.5, rel=0.2)
    assert not model.c5[0].bias.any()


# Every network

GREY = (1, 32, 32)


class TestInvariants(Invariants):
    networks = {
        "faithful": Tiny("lenet5", shape=GREY),
        "modern": Tiny("lenet5_modern", shape=GREY),
        "modern with batch norm": Tiny(
            "lenet5_modern", {"batch_norm": True}, GREY, may_be_zero=r"c\d\.0\.bias"
        ),
    }

    def test_the_smallest_size_named_in_an_error_works_and_one_less_does_not(self, tiny: Tiny):
        """One size only, and words of its own: most who err have digits of 28 x 28."""
        model = tiny.build().eval()
        for size in ((28, 28), (31, 32), (32, 33), (64, 64)):
            with pytest.raises(
                ValueError, match=r"\(N, 1, 32, 32\); got .*Pad 28 x 28 images by 2"
            ):
                model(torch.zeros(2, 1, *size))


options = st.fixed_dictionaries(
    {name: st.sampled_from(accepted) for name, accepted in OPTIONS.items()}
    | {
        "batch_norm": st.booleans(),
        "in_channels": st.integers(1, 4),
        "num_classes": st.integers(1, 10),
    }
)


@given(options=options, batch=st.integers(2, 3))
@settings(max_examples=30, deadline=None)
def test_every_combination_runs_and_gives_each_parameter_a_gradient(options, batch):
    torch.manual_seed(0)
    model = LeNet5(**options)
    scores = model(torch.randn(batch, options["in_channels"], 32, 32))
    assert scores.shape == (batch, options["num_classes"])
    scores.square().mean().backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and torch.isfinite(p.grad).all(), name


@variants
def test_weights_fill_a_network_that_was_built_on_meta(build):
    with torch.device("meta"):
        model = build()
    model.to_empty(device="cpu")
    reference, x = build(), torch.randn(2, 1, 32, 32)
    model.load_state_dict(reference.state_dict())
    assert torch.equal(model.eval()(x), reference.eval()(x))


@pytest.mark.gpu
def test_losses_agree_with_the_cpu_on_a_gpu():
    scores, labels = -84 * torch.rand(4, 10, dtype=torch.float64), torch.arange(4)
    for loss in (mse_loss, map_loss):
        there = loss(scores.to("cuda"), labels.to("cuda"))
        torch.testing.assert_close(there.cpu(), loss(scores, labels))


@pytest.mark.parametrize("loss", [map_loss, mse_loss])
def test_it_learns_32_random_images_by_heart_from_the_papers_losses(loss):
    images, labels = torch.randn(32, 1, 32, 32), torch.arange(32) % 10
    model = lenet5()
    optimizer = torch.optim.SGD(model.parameters(), 3e-3, momentum=0.9, nesterov=True)
    for _ in range(150):
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()
    assert (model(images).argmax(1) == labels).all()


# Bad input


def test_pixels_that_are_not_scaled_are_told_the_papers_scale():
    with pytest.raises(TypeError, match=r"got torch.uint8.*-0\.1.*1\.175"):
        lenet5()(torch.zeros(1, 1, 32, 32, dtype=torch.uint8))


def test_more_classes_than_digits_are_refused_with_advice():
    with pytest.raises(ValueError, match='ten digit bitmaps.*got 26.*output="linear"'):
        lenet5(num_classes=26)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_unknown_choice_lists_the_known_ones(option):
    with pytest.raises(ValueError, match=f"{option} must be one of {OPTIONS[option][0]}.*'typo'"):
        lenet5(**{option: "typo"})


@pytest.mark.parametrize("table", [[(0,), ()], [(0, 0)], [(-1, 0)]])
def test_a_table_that_is_no_list_of_links_is_refused(table):
    with pytest.raises(ValueError, match=r"map \d of the table"):
        TableConv2d(table, 5)
