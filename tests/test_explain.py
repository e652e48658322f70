"""Looking inside: against hand computation, PyTorch's own gradients, and planted objects."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib import explain
from cnnlib.models import create_model

ZFNET = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 12,
    "hidden_units": 24,
    "image_size": 28,
    "stem": "small",
    "initial": "he",
}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def zfnet(*, normalised: bool = True) -> nn.Module:
    model = create_model("zfnet", **ZFNET)
    if not normalised:
        model.norm1 = model.norm2 = nn.Identity()
    return model


def pictures(count: int = 3) -> Tensor:
    return torch.randn(count, 1, 28, 28)


# unpool


maps = st.tuples(st.integers(4, 9), st.integers(4, 9), st.integers(2, 3), st.integers(1, 3))


@given(sizes=maps, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_unpooling_is_the_backward_pass_of_pooling(sizes, seed):
    height, width, window, stride = sizes
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 3, height, width, generator=draw, dtype=torch.float64, requires_grad=True)
    pooled, switches = F.max_pool2d(x, window, stride, ceil_mode=True, return_indices=True)
    signal = torch.randn(pooled.shape, generator=draw, dtype=torch.float64)
    (expected,) = torch.autograd.grad(pooled, x, signal)
    back = explain.unpool(signal, switches, (height, width))
    torch.testing.assert_close(back, expected)  # overlapping windows add up in both


def test_where_windows_do_not_overlap_unpooling_keeps_the_maxima_and_nothing_else():
    x = torch.rand(1, 2, 6, 6) + 1
    pooled, switches = F.max_pool2d(x, 2, return_indices=True)
    back = explain.unpool(pooled, switches, (6, 6))
    assert torch.equal(back[back != 0], x[back != 0])
    assert int((back != 0).sum()) == pooled.numel()
    assert torch.equal(F.max_pool2d(back, 2), pooled)
    torch.testing.assert_close(back, F.max_unpool2d(pooled, switches, 2))


@pytest.mark.parametrize(
    ("pooled", "switches", "message"),
    [
        (torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3).long(), "switches of the same shape"),
        (torch.zeros(1, 2, 2), torch.zeros(1, 2, 2).long(), r"\(N, C, h, w\)"),
        (torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), "int64 switches"),
        (torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 16), "from 16 to 16 point beyond a map"),
        (torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), -1), "point beyond a map of 4 x 4"),
    ],
)
def test_switches_that_do_not_fit_are_refused(pooled, switches, message):
    with pytest.raises(ValueError, match=message):
        explain.unpool(pooled, switches, (4, 4))


# deconvnet


@pytest.mark.parametrize("layer", ["conv1", "conv2", "pool2", "conv3", "conv5", "fc7", "fc8"])
def test_the_deconvnet_is_a_backward_pass_with_another_rule_for_relus(layer):
    """Simonyan et al., arXiv:1312.6034, Section 4; without contrast normalisation, exactly."""
    model, images = zfnet(normalised=False).double(), pictures().double()
    found = explain.activations(model, layer, images)
    units = (found if found.ndim == 2 else found.amax((2, 3))).abs().amin(0)
    unit = int(units.argmax())  # one that answers to all three images
    back = explain.backproject(model, images, layer, unit, rule="deconvnet")
    assert back.abs().amax((1, 2, 3)).gt(0).all()
    for image, expected in zip(images, back, strict=True):
        torch.testing.assert_close(explain.deconvnet(model, image, layer, unit), expected)


def test_normalisation_lets_the_signal_pass():
    model, bare = zfnet(), None
    image = pictures(1)[0]
    back = explain.deconvnet(model, image, "conv1", 2)
    bare = copy.deepcopy(model)
    bare.norm1 = nn.Identity()
    torch.testing.assert_close(back, explain.deconvnet(bare, image, "norm1", 2))
    torch.testing.assert_close(
        explain.deconvnet(model, image, "norm1", 2)
        / explain.activations(model, "norm1", image[None])[0, 2].max(),
        back / explain.activations(model, "conv1", image[None])[0, 2].max(),
        atol=1e-4,
        rtol=1e-3,
    )  # the same filter, only scaled; both start at nearly the same place


def test_one_activation_of_the_first_layer_projects_to_its_filter():
    layer = nn.Conv2d(1, 2, 3)
    model = nn.Sequential(layer, nn.ReLU())
    with torch.no_grad():
        layer.bias.fill_(5.0)  # so that everything is positive
    image = torch.rand(1, 8, 8)
    back = explain.deconvnet(model, image, "1", 1, (2, 4))
    value = model(image[None])[0, 1, 2, 4]
    torch.testing.assert_close(back[0, 2:5, 4:7], value.detach() * layer.weight[1, 0].detach())
    back[0, 2:5, 4:7] = 0
    assert not back.any()


TINY = {"num_classes": 4, "in_channels": 1, "width_multiplier": 1 / 12, "hidden_units": 16}


@pytest.mark.parametrize(
    ("name", "size", "layer"), [("alexnet", 28, "conv5"), ("vgg_a", 32, "pool3")]
)
def test_other_chains_of_the_book_can_be_walked_back(name, size, layer):
    model = create_model(name, **TINY, image_size=size, stem="small", initial="he")
    back = explain.deconvnet(model, torch.randn(1, size, size), layer, 1)
    assert back.shape == (1, size, size) and back.any() and torch.isfinite(back).all()


def test_what_is_no_chain_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"do not simply run one after the other.*backproject"):
        explain.deconvnet(create_model("resnet18"), torch.randn(3, 64, 64), "conv3_x", 0)


def test_a_layer_that_cannot_be_undone_is_named():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Tanh())
    with pytest.raises(ValueError, match="no way back through Tanh"):
        explain.deconvnet(model, torch.rand(1, 8, 8), "1", 0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("conv9", 0), ValueError, "no layer 'conv9'; its own are conv1, pool1"),
        ((3, 0), TypeError, "such as 'conv5'; got 3"),
        (("conv5", 99), ValueError, r"'conv5' has units 0 to 20; got 99"),
        (("conv5", 0, (6, 0)), ValueError, r"have 6 x 6 places; got \(6, 0\)"),
        (("fc8", 0, (0, 0)), ValueError, "is one number and has no position"),
    ],
)
@pytest.mark.parametrize("way", [explain.deconvnet, explain.backproject])
def test_units_that_do_not_exist_are_refused(way, arguments, error, message):
    image = pictures(1) if way is explain.backproject else pictures(1)[0]
    with pytest.raises(error, match=message):
        way(zfnet(), image, *arguments)


# rules


def test_with_the_rule_gradient_the_gradient_is_torchs():
    model, images = zfnet().double().eval(), pictures().double().requires_grad_()
    (expected,) = torch.autograd.grad(model(images)[:, 3].sum(), images)
    torch.testing.assert_close(explain.saliency(model, images, 3), expected)
    targets = torch.tensor([3, 1, 4])
    score = model(images).gather(1, targets[:, None]).sum()
    (expected,) = torch.autograd.grad(score, images)
    torch.testing.assert_close(explain.saliency(model, images, targets), expected)


def test_the_three_rules_differ_as_their_table_says():
    signal = torch.tensor([2.0, 2.0, -2.0, -2.0])
    seen = torch.tensor([1.0, -1.0, 1.0, -1.0])
    passed = {name: rule(signal, seen).tolist() for name, rule in explain.RULES.items()}
    assert passed == {
        "gradient": [2, 0, -2, 0],
        "deconvnet": [2, 2, 0, 0],
        "guided": [2, 0, 0, 0],
    }


class Functional(nn.Module):
    """ReLUs in every way that PyTorch offers."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.relu = nn.Linear(4, 5), relu

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.first(x.flatten(1)))


@pytest.mark.parametrize(
    "relu",
    [nn.ReLU(), nn.ReLU(inplace=True), F.relu, torch.relu, Tensor.relu, nn.ReLU6(), F.relu6,
     nn.ReLU6(inplace=True), lambda x: F.relu(x, inplace=True)],
)  # fmt: skip
def test_every_way_to_write_a_relu_obeys_the_rule(relu):
    model, images = Functional(relu), 5 * torch.randn(6, 1, 2, 2)
    before = model.first(images.flatten(1))
    top = 6 if relu is F.relu6 or isinstance(relu, nn.ReLU6) else torch.inf
    for name, signal in {"gradient": 1.0, "deconvnet": 1.0, "guided": 1.0}.items():
        passes = before < top if name == "deconvnet" else (before > 0) & (before < top)
        for target in range(5):
            back = explain.saliency(model, images, target, rule=name)
            expected = signal * passes[:, target, None] * model.first.weight[target]
            torch.testing.assert_close(back.flatten(1), expected)


def test_real_weights_networks_with_relu6_can_be_projected_too():
    model = create_model("mobilenet_v2_1", num_classes=5, width_multiplier=0.25)
    images = torch.randn(1, 3, 64, 64)
    plain, guided = (
        explain.saliency(model, images, 0, rule=rule) for rule in ("gradient", "guided")
    )
    assert plain.shape == images.shape and not torch.allclose(plain, guided)


# occlusion


class Brightness(nn.Module):
    """Class 1 sees the mean of one square of the image, class 0 sees nothing."""

    def __init__(self, rows: slice, columns: slice) -> None:
        super().__init__()
        self.rows, self.columns = rows, columns

    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, :, self.rows, self.columns].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(seen), 10 * seen], 1)


def test_occlusion_finds_a_planted_object():
    model, image = Brightness(slice(8, 12), slice(16, 20)), torch.ones(3, 24, 24)
    shares = explain.occlusion(model, image, 1, patch=4, stride=4)
    assert shares.shape == (6, 6)
    hidden = shares < 0.6
    assert hidden.nonzero().tolist() == [[2, 4]]  # the cell of rows 8 to 11, columns 16 to 19
    torch.testing.assert_close(shares[~hidden], torch.full((35,), 10.0).sigmoid())
    assert shares[2, 4] == pytest.approx(0.5)


def test_a_larger_square_hides_it_from_more_places():
    model, image = Brightness(slice(8, 12), slice(16, 20)), torch.ones(1, 24, 24)
    small, large = (explain.occlusion(model, image, 1, patch=p, stride=2) for p in (4, 8))
    assert (large < 0.9).sum() > (small < 0.9).sum()


def test_without_a_target_every_class_gets_its_map():
    model, image = zfnet(), pictures(1)[0]
    every = explain.occlusion(model, image, patch=7, stride=5, batch_size=7)
    assert every.shape == (6, 6, 10)
    torch.testing.assert_close(every.sum(2), torch.ones(6, 6))
    one = explain.occlusion(model, image, 4, patch=7, stride=5)
    torch.testing.assert_close(one, every[:, :, 4], rtol=1e-5, atol=1e-6)


def test_each_place_is_what_the_network_says_of_that_image():
    model, image = zfnet().double().eval(), pictures(1)[0].double()
    shares = explain.occlusion(model, image, 2, patch=6, stride=4, fill=0.5)
    for (i, row), (j, _) in [
        ((i, r), (j, c)) for i, r in enumerate(shares) for j, c in enumerate(r)
    ]:
        rows, columns = explain.squares(28, 28, 6, 4)[i][j]
        covered = image.clone()
        covered[:, rows, columns] = 0.5
        with torch.no_grad():
            expected = model(covered[None]).softmax(1)[0, 2]
        torch.testing.assert_close(row[j], expected)


def test_the_colour_may_differ_by_channel():
    seen = []

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images)
            return images.mean((2, 3))

    explain.occlusion(Spy(), torch.zeros(3, 4, 4), patch=4, stride=4, fill=(1.0, 2.0, 3.0))
    assert torch.equal(seen[0][0, :, 0, 0], torch.tensor([1.0, 2.0, 3.0]))
    assert bool((seen[0] > 0).all())


@given(
    height=st.integers(1, 20), width=st.integers(1, 20), patch=st.integers(1, 9),
    stride=st.integers(1, 9),
)  # fmt: skip
@settings(deadline=None)
def test_every_pixel_is_covered_by_squares_that_are_as_large_as_their_cells(
    height, width, patch, stride
):
    places = explain.squares(height, width, patch, stride)
    assert len(places) == -(-height // stride) and len(places[0]) == -(-width // stride)
    covered = torch.zeros(height, width)
    for rows, columns in (place for row in places for place in row):
        assert 0 <= rows.start <= rows.stop <= height
        assert rows.stop - rows.start <= patch and columns.stop - columns.start <= patch
        covered[rows, columns] = 1
    assert patch < stride or covered.all()


def test_the_hottest_square_is_where_the_sum_is_largest():
    values = torch.zeros(9, 12)
    values[2:5, 7:10] = 1.0
    values[8, 0] = 4.0
    assert explain.hottest(values, 3) == (slice(2, 5), slice(7, 10))
    assert explain.hottest(values, 1) == (slice(8, 9), slice(0, 1))
    corner = explain.Box(4, -3, 20, 8)  # reaches beyond the map
    assert explain.hottest(values, 2, corner) == (slice(7, 9), slice(0, 2))


@pytest.mark.parametrize(
    ("shape", "patch", "within", "message"),
    [
        ((1, 9, 9), 2, None, "must be one map"),
        ((9, 9), 10, None, "a square of 10 pixels does not fit into 9 x 9"),
        ((9, 9), 3, explain.Box(-2, 0, 4, 9), "does not fit into 2 x 9"),
        ((9, 9), 1, explain.Box(20, 0, 4, 9), "does not fit into 0 x 9"),
    ],
)
def test_a_square_that_does_not_fit_is_refused(shape, patch, within, message):
    with pytest.raises(ValueError, match=message):
        explain.hottest(torch.zeros(shape), patch, within)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.zeros(1, 1, 28, 28)}, r"must be one image"),
        ({"image": torch.zeros(1, 28, 28).byte()}, "floating-point"),
        ({"target": 10}, "class 10 of a network that knows 0 to 9"),
        ({"target": -1}, "class -1 of a network"),
        ({"patch": 0}, "patch must be a whole number of at least 1; got 0"),
        ({"stride": 0}, "stride must be"),
        ({"fill": (0.0, 1.0)}, "one for each of the 1 channels"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_occlusion_explains_bad_input(change, message):
    given = {"image": pictures(1)[0], "target": 0, "patch": 5, "stride": 9} | change
    with pytest.raises(ValueError, match=message):
        explain.occlusion(zfnet(), given.pop("image"), given.pop("target"), **given)


# Grad-CAM


def test_grad_cam_of_a_linear_model_by_hand():
    head = nn.Linear(2, 2, bias=False)
    model = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 4.0]]))
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    # score 0 = mean(map 0) - 2 mean(map 1): each place has the slopes 1/4 and -2/4
    expected = torch.tensor([[1 / 4, 2 / 4 - 2 / 4], [3 / 4 - 2 / 4, 4 / 4]])
    torch.testing.assert_close(explain.grad_cam(model, "0", maps, 0)[0], expected)
    # score 1 = 4 mean(map 1)
    torch.testing.assert_close(
        explain.grad_cam(model, "0", maps, 1)[0], torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    )
    torch.testing.assert_close(explain.grad_cam(model, "0", -maps, 1), torch.zeros(1, 2, 2))


def test_grad_cam_takes_a_class_for_each_image_and_does_not_mix_them():
    model, images = zfnet(), pictures(3)
    targets = torch.tensor([3, 1, 4])
    together = explain.grad_cam(model, "conv5", images, targets)
    assert together.shape == (3, 6, 6) and bool((together >= 0).all())
    for image, target, expected in zip(images, targets, together, strict=True):
        alone = explain.grad_cam(model, "conv5", image[None], int(target))
        torch.testing.assert_close(alone[0], expected)


def test_a_convolution_before_a_relu_in_place_is_caught_as_it_was():
    model, images = zfnet(), pictures(1)
    before = explain.activations(model, "conv5.0", images)
    assert before.min() < 0  # the ReLU behind it writes into the same memory
    torch.testing.assert_close(explain.activations(model, "conv5", images), before.clamp(min=0))
    assert explain.grad_cam(model, "conv5.0", images, 0).shape == (1, 6, 6)


@pytest.mark.parametrize(
    ("name", "layer"),
    [("lenet5", "c3"), ("resnet18", None), ("googlenet", None), ("densenet121", None),
     ("squeezenet1_1", None), ("mobilenet_v3_small_1", None), ("efficientnet_lite0", "stage9")],
)  # fmt: skip
def test_grad_cam_works_for_networks_of_the_book(name, layer):
    model = create_model(name)
    images = torch.randn(1, 1, 32, 32) if name == "lenet5" else torch.randn(1, 3, 96, 96)
    if layer is None:
        layer = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)][-1]
        if name in ("squeezenet1_1", "googlenet"):
            layer = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)][5]
    found = explain.grad_cam(model, layer, images, 1)
    assert found.ndim == 3 and len(found) == 1 and torch.isfinite(found).all()


def test_grad_cam_wants_maps():
    with pytest.raises(ValueError, match=r"needs maps .*'fc7' gives \(1, 24\)"):
        explain.grad_cam(zfnet(), "fc7", pictures(1), 0)
    unused = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    unused.add_module("never", nn.Conv2d(1, 1, 1))
    unused.forward = lambda x: unused[1](unused[0](x))
    with pytest.raises(ValueError, match="'never' ran 0 times for one batch, expected once"):
        explain.grad_cam(unused, "never", pictures(1), 0)


# units


def test_the_strongest_activations_are_those_of_a_plain_search():
    model, images = zfnet(), pictures(12)
    found = explain.strongest(model, "conv3", images, 4, batch_size=5)
    maps = explain.activations(model, "conv3", images)
    for unit in range(0, maps.shape[1], 5):
        peaks = maps[:, unit].flatten(1).amax(1)
        order = peaks.argsort(descending=True, stable=True)[:4]
        assert found.images[unit].tolist() == order.tolist()
        torch.testing.assert_close(found.values[unit], peaks[order])
        for image, (row, column) in found.places(unit):
            assert maps[image, unit, row, column] == peaks[image]


def test_units_of_a_fully_connected_layer_have_no_place():
    found = explain.strongest(zfnet(), "fc8", pictures(5), 2)
    assert found.values.shape == (10, 2) and not found.rows.any() and not found.columns.any()


def test_more_patches_than_images_cannot_be_had():
    with pytest.raises(ValueError, match="k=4 patches from 4 images asked for, but there are 3"):
        explain.strongest(zfnet(), "conv3", pictures(3), 4)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "pool2", "conv3", "conv4"])
def test_an_activation_depends_on_its_box_and_on_nothing_else(layer):
    model = zfnet().double()
    images = pictures(1).double()
    place = (2, 3)
    box = explain.seen_by(model, layer, place, (1, 28, 28))
    pixels = images.clone().requires_grad_()
    at = []
    # softened ReLUs and poolings: otherwise a pixel may happen to play no part
    for module in model.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[-1], nn.ReLU):
            module[-1] = nn.Softplus()
    model.pool2 = nn.AvgPool2d(3, 2, ceil_mode=True)
    handle = model.get_submodule(layer).register_forward_hook(
        lambda _m, _i, o: at.append(o.clone().square().sum(1)[0, *place])
    )
    model.eval()(pixels)
    handle.remove()
    (slopes,) = torch.autograd.grad(at[0], pixels)
    rows, columns = slopes[0, 0].nonzero().T
    inside = [max(box.top, 0), min(box.top + box.height, 28) - 1]
    assert [int(rows.min()), int(rows.max())] == inside
    inside = [max(box.left, 0), min(box.left + box.width, 28) - 1]
    assert [int(columns.min()), int(columns.max())] == inside


def test_a_patch_beyond_the_border_is_filled():
    image = torch.arange(9.0).view(1, 3, 3)
    cut = explain.patch(image, explain.Box(-1, 1, 3, 3), fill=-5)
    assert cut[0].tolist() == [[-5, -5, -5], [1, 2, -5], [4, 5, -5]]
    away = explain.patch(image, explain.Box(9, 9, 2, 2))
    assert away.tolist() == [[[0, 0], [0, 0]]]


# How far to trust it


def test_covering_what_the_gradient_shows_silences_a_unit_that_looks_at_one_place():
    layer = nn.Conv2d(1, 1, 5, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 0, 0] = 1.0  # sees one pixel of its 25
    model, images = nn.Sequential(layer, nn.ReLU()), torch.rand(4, 1, 9, 9) + 0.1
    found = explain.drop_when_covered(model, "1", images, patch=1, k=4)
    assert found["gradient"] == found["deconvnet"] == 1.0
    assert 0 <= found["chance"] < 1
    same = float(images[:, :, :5, :5].max())  # the filter's corner reaches no other pixels
    kept = explain.drop_when_covered(model, "1", images, patch=1, k=1, fill=same)
    assert kept["gradient"] == pytest.approx(0, abs=1e-6)  # its pixel has that colour already


def test_squares_lie_in_what_the_unit_sees_and_where_the_explanation_is_strongest():
    model, images = zfnet(), pictures(6)
    cases = list(explain.pointed_at(model, "conv3", images, patch=4, k=2))
    found = explain.strongest(model, "conv3", images, 2)
    assert len(cases) == int((found.values > 0).sum())
    for unit, place, value, image, squares in cases[::7]:
        maps = explain.activations(model, "conv3", images[image][None])[0, unit]
        assert value == pytest.approx(float(maps[place])) == pytest.approx(float(maps.max()))
        box = explain.seen_by(model, "conv3", place, (1, 28, 28))
        for way, (rows, columns) in squares.items():
            assert rows.stop - rows.start == columns.stop - columns.start == 4
            assert max(box.top, 0) <= rows.start and rows.stop <= box.top + box.height
            assert max(box.left, 0) <= columns.start and columns.stop <= box.left + box.width
            if way != "chance":
                back = explain.backproject(
                    model, images[image][None], "conv3", unit, place, rule=way
                )
                assert explain.hottest(back[0, 0].abs(), 4, box) == (rows, columns)


def test_units_that_answer_are_listed_strongest_first():
    model = zfnet()
    with torch.no_grad():
        model.conv3[0].bias[5] = -99
    found = explain.strongest(model, "conv3", pictures(6), 1)
    peaks = found.values[found.alive(), 0].tolist()
    assert 5 not in found.alive() and peaks == sorted(peaks, reverse=True) and min(peaks) > 0
    assert len(peaks) == int((found.values > 0).sum())


def test_silent_units_are_left_out():
    silent = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    with torch.no_grad():
        silent[0].bias.fill_(-99)
    with pytest.raises(ValueError, match="no unit of '1' answers to any"):
        explain.drop_when_covered(silent, "1", torch.rand(3, 1, 8, 8), patch=2)


def test_a_forgetting_copy_has_just_the_named_layers_from_the_other():
    model, fresh = zfnet(), zfnet()
    before = copy.deepcopy(model.state_dict())
    mixed = explain.forgetting(model, fresh, ["fc8", "conv3"])
    for key, tensor in mixed.state_dict().items():
        source = fresh if key.startswith(("fc8", "conv3")) else model
        assert torch.equal(tensor, source.state_dict()[key]), key
    assert all(torch.equal(t, before[k]) for k, t in model.state_dict().items())
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        explain.forgetting(model, fresh, ["conv9"])


def test_the_rank_correlation_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    maps, others = torch.randn(2, 5, 1, 6, 7)
    ours = explain.rank_correlation(maps, others)
    for one, two, value in zip(maps, others, ours, strict=True):
        assert float(value) == pytest.approx(stats.spearmanr(one.flatten(), two.flatten())[0])
    torch.testing.assert_close(
        explain.rank_correlation(maps, maps.exp()), torch.ones(5, dtype=torch.float64)
    )
    torch.testing.assert_close(
        explain.rank_correlation(maps, -maps), -torch.ones(5, dtype=torch.float64)
    )


@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 4), (5,)])
def test_maps_of_other_shapes_are_not_compared(shape):
    with pytest.raises(ValueError, match="two batches of maps of one shape"):
        explain.rank_correlation(torch.zeros(2, 2, 2), torch.zeros(shape))


# The model stays as it was


@dataclass
class Way:
    name: str
    ask: Callable[[nn.Module, Tensor], object]


WAYS = [
    Way("occlusion", lambda m, x: explain.occlusion(m, x[0], 0, patch=9, stride=9)),
    Way("deconvnet", lambda m, x: explain.deconvnet(m, x[0], "conv5", 0)),
    Way("backproject", lambda m, x: explain.backproject(m, x, "conv5", 0)),
    Way("saliency", lambda m, x: explain.saliency(m, x, 0)),
    Way("grad_cam", lambda m, x: explain.grad_cam(m, "conv5", x, 0)),
    Way("activations", lambda m, x: explain.activations(m, "conv5", x)),
    Way("strongest", lambda m, x: explain.strongest(m, "conv5", x, 2)),
]


def state(model: nn.Module) -> dict:
    return {
        "modes": [module.training for module in model.modules()],
        "weights": copy.deepcopy(model.state_dict()),
        "gradients": [parameter.grad for parameter in model.parameters()],
        "wants": [parameter.requires_grad for parameter in model.parameters()],
        "hooks": [len(module._forward_hooks) for module in model.modules()],
    }


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_the_model_and_the_images_stay_as_they_were(way):
    model, images = zfnet(), pictures()
    model.train()
    model.conv3.eval()
    before, pixels = state(model), images.clone()
    way.ask(model, images)
    after = state(model)
    weights = before.pop("weights"), after.pop("weights")
    assert before == after and torch.equal(images, pixels)
    for key, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][key]), key
    assert not images.requires_grad


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_hooks_are_taken_off_after_an_error_too(way):
    model = zfnet()
    before = state(model)["hooks"]
    with pytest.raises(ValueError):
        way.ask(model, torch.randn(3, 2, 28, 28))  # two channels, where the network takes one
    assert state(model)["hooks"] == before


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_it_works_with_frozen_weights_and_under_no_grad(way):
    model = zfnet().requires_grad_(False)
    with torch.no_grad():
        way.ask(model, pictures())


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_numbers_have_the_type_of_the_images(way):
    for dtype in (torch.float32, torch.float64):
        found = way.ask(zfnet().to(dtype), pictures().to(dtype))
        found = found.values if isinstance(found, explain.Strongest) else found
        assert found.dtype == dtype


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_without_numbers_shapes_are_still_right(way):
    if way.name in ("deconvnet", "backproject"):
        pytest.skip("the strongest place is a number")
    model = zfnet().to("meta")
    found = way.ask(model, pictures().to("meta"))
    expected = way.ask(zfnet(), pictures())
    if isinstance(found, explain.Strongest):
        found, expected = found.values, expected.values
    assert found.is_meta and found.shape == expected.shape
