"""DenseNet against the paper's tables, three other implementations and plain arithmetic."""

import copy
import itertools
import re

import pytest
import pytorchcv.models.densenet as pytorchcv_densenet
import pytorchcv.models.densenet_cifar as pytorchcv_cifar
import timm
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch.nn import functional as F

from cnnlib.inspection import count_parameters, summarize
from cnnlib.models import create_model, list_models
from cnnlib.models.densenet import (
    TABLE_1,
    TABLE_2,
    DenseBlock,
    DenseLayer,
    DenseNet,
    Transition,
    clamp_and_product,
    connections,
    densenet121,
    densenet161,
    densenet169,
    densenet201,
    densenet264,
    layers_per_block,
    unchanged_statistics,
    without_copies,
)
from tests.models.invariants import Invariants, Tiny, settle
from tests.models.transplant import assert_same_function, randomize

TINY = {
    "plain": Tiny(
        "densenet_cifar_l40_k12",
        {"blocks": (2, 2, 1), "growth_rate": 6, "initial_width": 8},
        lr=1e-2,
    ),
    "BC": Tiny("densenet_bc_cifar_l100_k12", {"blocks": (2, 2, 1), "growth_rate": 6}, lr=1e-2),
    "ImageNet stem, memory saving": Tiny(
        "densenet121",
        {"blocks": (1, 2, 2, 1), "growth_rate": 8, "memory_saving": True},
        shape=(3, 40, 40),
    ),
}
SMALL = {
    "blocks": (2, 3),
    "growth_rate": 4,
    "stem": "small",
    "num_classes": 5,
    "in_channels": 2,
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def small(**options) -> DenseNet:
    return DenseNet(**(SMALL | options))


def weight_layers(model: nn.Module) -> int:
    return sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules())


# The paper's tables


def test_sizes_are_those_of_table_1():
    rows = {
        row.name: row.output_shape
        for row in summarize(create_model("densenet121"), (3, 224, 224)).rows
    }
    printed = {  # side of the maps; numbers of maps follow from k = 32 and theta = 0.5
        "convolution": (64, 112, 112),
        "pooling": (64, 56, 56),
        "block1": (64 + 6 * 32, 56, 56),
        "transition1": (128, 28, 28),
        "block2": (128 + 12 * 32, 28, 28),
        "transition2": (256, 14, 14),
        "block3": (256 + 24 * 32, 14, 14),
        "transition3": (512, 7, 7),
        "block4": (512 + 16 * 32, 7, 7),
        "pool": (1024, 1, 1),
        "classifier": (1000,),
    }
    assert {name: rows[name] for name in printed} == printed


@pytest.mark.parametrize("name", list_models("densenet*"))
def test_the_name_tells_the_number_of_layers_with_weights(name):
    with torch.device("meta"):
        model = create_model(name)
    named = int(re.search(r"(?:densenet|_l)(\d+)", name)[1])
    # "264" is the paper's slip: Table 1 lists 2 (6 + 12 + 64 + 48) + 3 + 1 + 1 = 265 layers
    assert weight_layers(model) == (265 if named == 264 else named)


def test_maps_in_the_three_blocks_of_cifar_networks_are_32_16_and_8_pixels_wide():
    with torch.device("meta"):
        model = create_model("densenet_cifar_l40_k12")
    rows = {row.name: row.output_shape for row in summarize(model, (3, 32, 32)).rows}
    widths = [16, *itertools.accumulate([144] * 3, initial=16)]  # 12 layers of 12 maps each
    assert [rows[f"block{n}"] for n in (1, 2, 3)] == [
        (widths[n + 1], side, side) for n, side in ((1, 32), (2, 16), (3, 8))
    ]


@pytest.mark.parametrize(
    "name, millions",
    [
        ("densenet_cifar_l40_k12", 1.0),
        ("densenet_cifar_l100_k12", 7.0),
        ("densenet_cifar_l100_k24", 27.2),
        ("densenet_bc_cifar_l100_k12", 0.8),
        ("densenet_bc_cifar_l250_k24", 15.3),
        ("densenet_bc_cifar_l190_k40", 25.6),
    ],
)
def test_parameters_round_to_table_2(name, millions):
    with torch.device("meta"):
        assert round(count_parameters(create_model(name)) / 1e6, 1) == millions


def test_the_wide_264_layers_have_the_73_million_parameters_of_the_second_paper():
    with torch.device("meta"):
        assert round(count_parameters(create_model("densenet264_k48")) / 1e6) == 73


def test_constructors_are_the_networks_of_the_registry():
    with torch.device("meta"):
        for build in (densenet121, densenet161, densenet169, densenet201, densenet264):
            ours, named = build(num_classes=7), create_model(build.__name__, num_classes=7)
            shapes = [(name, p.shape) for name, p in ours.named_parameters()]
            assert shapes == [(name, p.shape) for name, p in named.named_parameters()]


def test_parameters_of_a_small_network_by_hand():
    # k = 4, theta = 0.5: 8 maps; block of 2: 16; transition to 8; block of 3: 20
    def layer(maps: int) -> int:  # BN, 1 x 1 to 16, BN, 3 x 3 to 4
        return 2 * maps + 16 * maps + 2 * 16 + 9 * 16 * 4

    by_hand = 9 * 2 * 8 + sum(map(layer, (8, 12))) + 2 * 16 + 16 * 8
    by_hand += sum(map(layer, (8, 12, 16))) + 2 * 20 + 5 * 20 + 5
    assert count_parameters(small()) == by_hand


def test_every_kind_of_table_2_is_what_its_letters_say():
    for kind, (bottleneck, compression, _) in TABLE_2.items():
        letters = kind.removeprefix("densenet").strip("_")
        assert bottleneck == ("b" in letters)
        assert (compression < 1) == ("c" in letters)


@pytest.mark.parametrize(
    "options, width",
    [
        ({}, 2 * 12),  # DenseNet-BC
        ({"compression": 1.0}, 16),
        ({"bottleneck": False}, 16),
        ({"bottleneck": False, "compression": 1.0}, 16),
        ({"initial_width": 5}, 5),
        ({"stem": "imagenet", "bottleneck": False}, 2 * 12),
    ],
)
def test_the_first_convolution_has_2k_maps_in_bc_networks_and_else_16(options, width):
    model = small(growth_rate=12, **options)
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    assert first.out_channels == width


def test_a_block_of_L_layers_has_L_times_L_plus_1_over_2_connections():
    block = DenseBlock(5, 3, 2, bottleneck=True, dropout=0.0, memory_saving=False)
    inputs = [layer.norm1.num_features for layer in block.layers]
    seen = [1 + (maps - 3) // 2 for maps in inputs]  # the block's input, and 2 maps of each layer
    assert sum(seen) == 5 * 6 // 2


def test_each_layer_sees_all_maps_before_it_in_order():
    block = DenseBlock(3, 4, 2, bottleneck=False, dropout=0.0, memory_saving=False).eval()
    x = torch.randn(2, 4, 6, 6)
    maps = x
    for layer in block.layers:
        norm, relu, conv = layer
        maps = torch.cat([maps, conv(relu(norm(maps)))], 1)  # x_l = H_l([x_0, ..., x_l-1])
    assert torch.equal(block(x), maps)


def test_a_transition_keeps_the_share_theta_of_the_maps_rounded_down():
    assert small(compression=0.5, growth_rate=3).transition1.conv.out_channels == 12 // 2
    assert small(compression=0.29, initial_width=92).transition1.conv.out_channels == 29
    assert small(compression=0.3, initial_width=5).transition1.conv.out_channels == int(0.3 * 13)


def test_dropout_follows_every_convolution_but_the_first():
    model = small(dropout=0.2)
    after = [
        type(layers[place + 1])
        for m in model.modules()
        if isinstance(m, DenseLayer | Transition)
        for layers in [list(m)]
        for place, layer in enumerate(layers)
        if isinstance(layer, nn.Conv2d)
    ]
    assert after == [nn.Dropout] * (2 * 5 + 1)
    assert isinstance(model.convolution, nn.Conv2d)
    assert not any(isinstance(m, nn.Dropout) for m in small().modules())


# Depth


@pytest.mark.parametrize(
    "depth, bottleneck, n", [(40, False, 12), (100, False, 32), (40, True, 6), (100, True, 16)]
)
def test_depth_gives_the_layers_of_each_block(depth, bottleneck, n):
    assert layers_per_block(depth, bottleneck=bottleneck) == (n, n, n)


@given(depth=st.integers(1, 300), bottleneck=st.booleans(), blocks=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_a_depth_either_fits_or_the_two_named_ones_do(depth, bottleneck, blocks):
    def count(layers):
        return sum(layers) * (1 + bottleneck) + blocks + 1

    try:
        assert count(layers_per_block(depth, bottleneck=bottleneck, blocks=blocks)) == depth
    except ValueError as error:
        near = re.search(r"nearest are (\d+) and (\d+)", str(error))
        for other in map(int, near.groups()):
            layers = layers_per_block(other, bottleneck=bottleneck, blocks=blocks)
            assert len(layers) == blocks and count(layers) == other


# Equal function


@pytest.mark.parametrize("name", ["densenet121", "densenet169", "densenet201", "densenet161"])
def test_it_computes_what_torchvision_computes(name):
    theirs = torchvision.models.get_model(name, num_classes=7)
    assert_same_function(create_model(name, num_classes=7), theirs, (3, 64, 64))


@pytest.mark.parametrize("depth", [121, 264])
def test_it_computes_what_timm_computes(depth):
    # its densenet264d has another stem; its class builds the paper's 264 layers as well
    theirs = timm.models.densenet.DenseNet(block_config=TABLE_1[depth], num_classes=7)
    assert_same_function(DenseNet(7, blocks=TABLE_1[depth]), theirs, (3, 64, 64))


@pytest.mark.parametrize(
    "name", ["densenet121", pytest.param("densenet161", marks=pytest.mark.slow)]
)
def test_it_computes_what_pytorchcv_computes(name):
    theirs = getattr(pytorchcv_densenet, name)(num_classes=7)
    theirs.features.final_pool = nn.AdaptiveAvgPool2d(1)  # 7 x 7 there, for images of 224 pixels
    assert_same_function(create_model(name, num_classes=7), theirs, (3, 64, 64))


@pytest.mark.parametrize(
    "name, theirs, options",
    [
        ("densenet_bc_cifar_l40_k12", "densenet40_k12_bc_cifar10", {}),
        ("densenet_bc_cifar_l100_k12", "densenet100_k12_bc_cifar10", {}),
        # its networks without "bc" are of type C, and have 2k maps at first instead of 16; it has
        # neither plain networks nor -B, whose transitions keep all maps
        ("densenet_c_cifar_l40_k12", "densenet40_k12_cifar10", {"initial_width": 24}),
        pytest.param(
            "densenet_c_cifar_l100_k12",
            "densenet100_k12_cifar10",
            {"initial_width": 24},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_cifar_networks_compute_what_pytorchcv_computes(name, theirs, options):
    theirs = getattr(pytorchcv_cifar, theirs)()
    assert_same_function(create_model(name, **options), theirs, (3, 32, 32))


@pytest.mark.parametrize("bottleneck", [False, True])
def test_without_compression_it_computes_what_the_text_says(bottleneck):
    model = randomize(small(bottleneck=bottleneck, compression=1.0))

    def norm_relu(x, norm):
        mean, scale = norm.running_mean, norm.weight / (norm.running_var + norm.eps).sqrt()
        return ((x - mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]).relu()

    x = images = torch.randn(2, 2, 9, 9, dtype=torch.float64)
    x = F.conv2d(x, model.convolution.weight, padding=1)
    for block, transition in ((model.block1, model.transition1), (model.block2, None)):
        for layer in block.layers:
            new = x
            if bottleneck:
                new = F.conv2d(norm_relu(new, layer.norm1), layer.conv1.weight)
            new = F.conv2d(norm_relu(new, layer.norm2), layer.conv2.weight, padding=1)
            x = torch.cat([x, new], 1)
        if transition:
            assert transition.conv.out_channels == transition.conv.in_channels
            x = F.avg_pool2d(F.conv2d(norm_relu(x, transition.norm), transition.conv.weight), 2)
    by_hand = model.classifier(norm_relu(x, model.norm).mean((2, 3)))
    torch.testing.assert_close(model(images), by_hand)


# Who reads what


@pytest.mark.parametrize("bottleneck", [False, True])
def test_connections_are_those_of_the_blocks_and_of_what_reads_them(bottleneck):
    found = list(connections(small(bottleneck=bottleneck, blocks=(2, 3, 5))))
    for number, layers in ((1, 2), (2, 3), (3, 5)):
        here = [c for c in found if c.block == number]
        assert [(c.target, c.source) for c in here] == [
            (target, source) for target in range(1, layers + 2) for source in range(target)
        ]
        inside = sum(c.target <= layers for c in here)
        assert inside == layers * (layers + 1) // 2 and len(here) == inside + layers + 1


@pytest.mark.parametrize("bottleneck", [False, True])
def test_the_columns_of_a_connection_are_the_inputs_that_its_source_fills(bottleneck):
    model = randomize(small(bottleneck=bottleneck, dropout=0.1)).eval()
    images = torch.randn(2, 2, 12, 12, dtype=torch.float64)
    names = {parameter: name for name, parameter in model.named_parameters()}
    for connection in connections(model):
        deaf, mute = copy.deepcopy(model), copy.deepcopy(model)
        name, columns = names[connection.weight], connection.columns
        with torch.no_grad():
            deaf.get_parameter(name)[:, columns] = 0

        def silence(_, given, columns=columns):
            maps = given[0].clone()
            maps[:, columns] = 0
            return (maps,)

        mute.get_submodule(name.removesuffix(".weight")).register_forward_pre_hook(silence)
        torch.testing.assert_close(deaf(images), mute(images))
        assert not torch.allclose(deaf(images), model(images))


def test_connections_to_a_reader_cover_its_inputs_without_gap():
    for bottleneck in (False, True):
        ends: dict[torch.Tensor, int] = {}
        for c in connections(small(bottleneck=bottleneck)):
            assert c.columns.start == ends.get(c.weight, 0)
            ends[c.weight] = c.columns.stop
        assert all(end == weight.shape[1] for weight, end in ends.items())


# Saving memory


def train_once(model: nn.Module, images: torch.Tensor):
    """Loss, gradients and running statistics of one step."""
    loss = F.cross_entropy(model(images), torch.arange(len(images)) % 5)
    loss.backward()
    return loss, [p.grad for p in model.parameters()], list(model.buffers())


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_saving_memory_changes_neither_loss_nor_gradients_nor_statistics(bottleneck, dropout):
    plain = small(bottleneck=bottleneck, dropout=dropout).double()
    saving = small(bottleneck=bottleneck, dropout=dropout, memory_saving=True).double()
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(6, 2, 12, 12, dtype=torch.float64)
    for step in range(2):
        torch.manual_seed(step)  # for dropout
        expected = train_once(plain, images)
        torch.manual_seed(step)
        loss, gradients, statistics = train_once(saving, images)
        assert torch.equal(loss, expected[0])
        for ours, theirs in zip(gradients + statistics, expected[1] + expected[2], strict=True):
            assert torch.equal(ours, theirs)


def test_statistics_count_a_batch_once_although_it_is_computed_twice():
    model, images = small(memory_saving=True), torch.randn(6, 2, 12, 12)
    train_once(model, images)
    for name, count in model.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert count == 1, name


def test_statistics_are_put_back_even_after_an_error():
    norm = nn.BatchNorm2d(3)
    before = copy.deepcopy(norm.state_dict())
    x = torch.randn(4, 3, 2, 2)
    with pytest.raises(KeyError), unchanged_statistics(nn.Sequential(norm)):
        inside = norm(x)
        raise KeyError
    assert all(map(torch.equal, before.values(), norm.state_dict().values()))
    assert torch.equal(inside, norm(x)) and norm.num_batches_tracked == 1


def saved_bytes(model: nn.Module, images: torch.Tensor) -> int:
    """What the way forward keeps for the way back, without the parameters."""
    storages = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage  # alive, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = model.train()(images)
    assert kept.requires_grad
    return sum(storage.nbytes() for storage in storages.values())


def test_saving_memory_keeps_less_than_a_third_of_what_torchvision_keeps():
    images = torch.randn(2, 3, 64, 64)
    theirs = saved_bytes(torchvision.models.densenet121(), images)
    plain = saved_bytes(densenet121(), images)
    # checkpointed tensors are not packed: what they keep is the inputs of the layers, counted here
    saving = densenet121(memory_saving=True)
    inputs = sum(
        row.output_shape[0] * row.output_shape[1] * row.output_shape[2] * 4 * len(images)
        for row in summarize(saving, (3, 64, 64)).rows
        if row.name.startswith("block")
    )
    assert plain == pytest.approx(theirs, rel=0.01)
    assert saved_bytes(saving, images) + inputs < theirs / 3


# Inference without copies


CONVERTED = {
    "BC": {},
    "plain": {"bottleneck": False, "compression": 1.0},
    "B": {"compression": 1.0},
    "C": {"bottleneck": False},
    "ImageNet stem": {"stem": "imagenet", "dropout": 0.1, "memory_saving": True},
}


@pytest.mark.parametrize("options", CONVERTED.values(), ids=CONVERTED)
@pytest.mark.parametrize("batch, height, width", [(1, 16, 16), (3, 21, 18), (2, 5, 5)])
def test_without_copies_the_scores_are_equal(options, batch, height, width):
    model = randomize(small(**options))
    for number, norm in enumerate(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        with torch.no_grad():  # trained networks have scales of either sign, and dead channels
            norm.weight[number % norm.num_features] *= -1
            norm.weight[0] = (0.0, 1e-320, -1e-320)[number % 3]
            norm.bias[0] = (-0.5, 0.5, 0.0)[number % 3]
    images = torch.randn(batch, 2, height, width, dtype=torch.float64)
    converted = without_copies(model)
    torch.testing.assert_close(converted(images), model(images))
    last = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(converted(last), model(images))


def test_without_copies_densenet121_gives_the_scores_of_torchvision():
    theirs, ours = torchvision.models.densenet121(num_classes=7), densenet121(num_classes=7)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    assert_same_function(ours, theirs, (3, 64, 64))
    torch.testing.assert_close(without_copies(ours)(images), theirs(images))


def test_without_copies_nothing_is_concatenated_and_transitions_cost_a_quarter():
    class Names(torch.utils._python_dispatch.TorchDispatchMode):
        seen: set[str] = set()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.seen.add(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    model = settle(small())
    converted = without_copies(model)
    with Names() as names:
        converted(torch.randn(1, 2, 16, 16))
    assert "cat" not in names.seen and "convolution" in names.seen
    before, after = (summarize(m, (2, 16, 16)).macs for m in (model, converted))
    transition = model.transition1.conv.weight.numel() * 16 * 16
    assert before - after == transition * 3 // 4


def test_without_copies_the_original_stays_as_it_is():
    model = settle(small()).train()
    before = copy.deepcopy(model.state_dict())
    converted = without_copies(model)
    assert model.training and not converted.training
    assert all(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in converted.parameters())
    converted(torch.randn(1, 2, 16, 16))
    with torch.no_grad():
        for tensor in [*converted.parameters(), *converted.buffers()]:
            tensor.zero_()
    assert all(map(torch.equal, before.values(), model.state_dict().values()))


def test_without_copies_gradients_are_refused_rather_than_wrong():
    images = torch.randn(2, 2, 12, 12, requires_grad=True)
    scores = without_copies(settle(small()))(images)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        scores.sum().backward()


@pytest.mark.parametrize("bottleneck", [False, True])
def test_without_copies_it_can_be_exported_traced_and_run_in_half_precision(bottleneck):
    model = settle(small(bottleneck=bottleneck))
    converted, images = without_copies(model), torch.randn(5, 2, 16, 16)
    expected = model(images)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        converted, (torch.randn(3, 2, 16, 16),), dynamic_shapes=({0: batch},)
    )
    torch.testing.assert_close(program.module()(images), expected)
    torch.testing.assert_close(fx.symbolic_trace(converted)(images), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        quick = converted(images).float()
    assert F.cosine_similarity(quick.flatten(), expected.flatten(), dim=0) > 0.98
    with torch.device("meta"):
        assert without_copies(small(bottleneck=bottleneck))(images.to("meta")).is_meta


@pytest.mark.slow
@pytest.mark.parametrize("convert", [False, True])
def test_it_compiles_as_one_graph(convert):
    model, images = settle(small()), torch.randn(2, 2, 16, 16)
    expected = model(images)
    model = without_copies(model) if convert else model
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(images), expected)


@pytest.mark.slow
def test_it_trains_compiled_and_saving_memory():
    plain, saving = small(), small(memory_saving=True)
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(6, 2, 12, 12)
    expected, actual = train_once(plain, images), train_once(torch.compile(saving), images)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)


def test_what_is_no_densenet_or_has_no_statistics_is_refused():
    with pytest.raises(TypeError, match="takes a DenseNet; got Conv2d"):
        without_copies(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="already: convert the original"):
        without_copies(without_copies(small()))
    model = small(bottleneck=False)
    model.transition1.norm = nn.BatchNorm2d(16, track_running_stats=False)
    with pytest.raises(ValueError, match="without running statistics"):
        without_copies(model)


@given(scale=st.floats(-2, 2), shift=st.floats(-2, 2), x=st.floats(-3, 3))
@settings(max_examples=200, deadline=None)
def test_relu_of_an_affine_map_is_an_affine_map_of_a_clamp(scale, shift, x):
    norm, conv = nn.BatchNorm2d(1, eps=0.0).double(), nn.Conv2d(1, 1, 1).double()
    with torch.no_grad():
        norm.weight.fill_(scale), norm.bias.fill_(shift), conv.weight.fill_(3.0)
        conv.bias.fill_(-1.0)
    lower, upper, matrix, bias = clamp_and_product(norm, conv)
    out = torch.tensor([x], dtype=torch.float64).clamp(lower, upper) @ matrix + bias
    assert out.item() == pytest.approx(3 * max(scale * x + shift, 0) - 1, abs=1e-12)


# Initial weights


def test_weights_start_with_the_deviation_of_he():
    model = DenseNet(blocks=(3, 3), growth_rate=24)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            assert layer.bias is None
            assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.06)
    assert not model.classifier.bias.any()


# Every network


class TestInvariants(Invariants):
    networks = TINY


@given(
    blocks=st.lists(st.integers(1, 2), min_size=1, max_size=3),
    growth_rate=st.integers(1, 5),
    bottleneck=st.booleans(),
    compression=st.sampled_from([0.5, 0.7, 1.0]),
    stem=st.sampled_from(["imagenet", "small"]),
    extra=st.integers(0, 9),
    memory_saving=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_options_and_sizes_train_and_convert(
    blocks, growth_rate, bottleneck, compression, stem, extra, memory_saving
):
    model = DenseNet(
        3,
        1,
        blocks=blocks,
        growth_rate=growth_rate,
        bottleneck=bottleneck,
        compression=compression,
        initial_width=4,
        stem=stem,
        memory_saving=memory_saving,
    ).double()
    images = torch.randn(2, 1, model.smallest + extra, model.smallest, dtype=torch.float64)
    model(images).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    model.eval()
    torch.testing.assert_close(without_copies(model)(images), model(images))


# Bad options


@pytest.mark.parametrize(
    "options, message",
    [
        ({"blocks": ()}, "at least one dense block; got none"),
        ({"blocks": (2, 0)}, "layers of block 2 must be .*at least 1; got 0"),
        ({"growth_rate": 0}, "growth_rate must be .*got 0"),
        ({"initial_width": 0}, "initial_width must be .*got 0"),
        ({"compression": 0}, "compression must be above 0.*got 0"),
        ({"compression": 1.5}, "at most 1, which keeps all maps; got 1.5"),
        ({"compression": 0.01}, "none of the 16 maps of block 1: it must be at least 0.0625"),
        ({"stem": "large"}, "stem must be one of imagenet, small; got 'large'"),
        ({"dropout": 1.0}, r"dropout must be a share.*got 1\.0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


@pytest.mark.parametrize("depth", [0, -3, 2.5])
def test_depths_that_are_no_counts_are_refused(depth):
    with pytest.raises(ValueError, match="depth must be a whole number"):
        layers_per_block(depth, bottleneck=True)
