"""Folding, faster inference and ONNX, on every family in small and on networks of others."""

import copy
import errno
import os

import pytest
import timm
import torch
import torchvision
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from cnnlib import deploy, fetch
from cnnlib.deploy import fuse, optimize, plan_fusion, to_onnx
from cnnlib.models import create_model
from cnnlib.models.layers import Conv2dSame, DropPath
from tests.models import families
from tests.models.invariants import settle
from tests.models.transplant import randomize

NETWORKS = {
    f"{family}: {variant}": tiny
    for family in families.FAMILIES
    for variant, tiny in families.networks(family).items()
}
every_family = pytest.mark.parametrize("tiny", NETWORKS.values(), ids=list(NETWORKS))


def scores(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(images)


def assert_equal_scores(ours: nn.Module, theirs: nn.Module, images, share: float) -> None:
    """The largest difference is at most that share of the range of the scores."""
    expected = scores(theirs, images)
    difference = (scores(ours, images) - expected).abs().max()
    assert difference <= share * (expected.max() - expected.min())


def norms(model: nn.Module) -> list[str]:
    return [name for name, m in model.named_modules() if isinstance(m, nn.BatchNorm2d)]


def plan(model: nn.Module) -> dict[str, tuple[str, ...] | str]:
    """What `plan_fusion` says: name -> where it goes, or why it stays."""
    return {fold.norm: fold.into or fold.why_not for fold in plan_fusion(model)}


@pytest.fixture
def resnet() -> nn.Module:
    torch.manual_seed(0)
    widths = {"widths": (8, 8, 16, 16), "num_classes": 10, "stem": "small"}
    return randomize(create_model("resnet18", **widths)).float()


# -- folding ----------------------------------------------------------------------------------


@every_family
def test_folding_is_exact_for_every_family(tiny):
    model = settle(tiny.build().double())
    images = tiny.images(2, torch.float64)
    fused = fuse(model)
    assert norms(fused) == [fold.norm for fold in plan_fusion(model) if not fold.into]
    assert_equal_scores(fused, model, images, 1e-10)
    assert_equal_scores(fuse(model.float()), model, images.float(), 1e-5)


@pytest.mark.parametrize(
    ("name", "folded", "stays"),
    [  # counted by hand
        ("vgg_d_bn", 13, 0),
        ("googlenet_bn_aux", 57, 2),  # those of the heads, which only training uses
        ("resnet50", 53, 0),
        ("resnext50_32x4d", 53, 0),
        ("preact_resnet18", 1 + 8, 8),  # the first of each block reads a sum
        ("densenet121", 1 + 58, 58 + 4),  # stem and second of each layer; first, transitions, last
        ("mobilenet_v1_1_224", 27, 0),
        ("mobilenet_v2_1", 52, 0),
        ("mobilenet_v3_large_1", 46, 0),
        ("efficientnet_b0", 49, 0),
    ],
)
def test_what_can_be_folded_is_known_before_and_costs_no_memory(name, folded, stays):
    with torch.device("meta"):
        model = create_model(name)
        into = [bool(fold.into) for fold in plan_fusion(model)]
        assert (into.count(True), into.count(False)) == (folded, stays)
        fused = fuse(model)
    assert len(norms(fused)) == stays
    assert all(tensor.is_meta for tensor in fused.parameters())


def test_the_reason_why_a_normalisation_stays_is_said():
    with torch.device("meta"):
        dense = plan(create_model("densenet121"))
        pre = plan(create_model("preact_resnet18"))
    layer = "block1.layers.1"
    assert dense[f"{layer}.norm2"] == (f"{layer}.conv1",)
    assert f"behind it, {layer}.relu1 (ReLU) cannot take it over" in dense[f"{layer}.norm1"]
    assert "others read conv2_x.0.addition (Addition) too" in pre["conv2_x.1.activation.0"]
    stays, goes = deploy.Fold("norm1", why_not="so"), deploy.Fold("norm2", ("conv",))
    assert [str(stays), str(goes)] == ["norm1 stays: so", "norm2 goes into conv"]


def test_folding_by_hand():
    # 4 (2 x + 1 - 1) / sqrt(3 + 1) + 5 = 4 x + 5
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=1.0)
    values = {conv.weight: 2, conv.bias: 1, norm.running_mean: 1, norm.running_var: 3}
    values |= {norm.weight: 4, norm.bias: 5}
    for tensor, value in values.items():
        nn.init.constant_(tensor, value)
    behind, before = fuse(nn.Sequential(conv, norm)), fuse(nn.Sequential(norm, conv))
    assert (behind[0].weight.item(), behind[0].bias.item()) == (4, 5)
    # 2 (4 (x - 1) / 2 + 5) + 1 = 4 x + 7
    assert (before[1].weight.item(), before[1].bias.item()) == (4, 7)
    assert isinstance(behind[1], nn.Identity) and isinstance(before[0], nn.Identity)


@given(
    groups=st.sampled_from([1, 2, 4]),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    kernel=st.sampled_from([1, 3, (1, 3)]),
    padding=st.sampled_from([0, 1, "same", "valid"]),
    mode=st.sampled_from(["zeros", "circular", "reflect"]),
    bias=st.booleans(),
    affine=st.booleans(),
    same=st.booleans(),
)
@example(1, (2, 2), 3, "same", "circular", True, True, False)  # fits, though it pads
@example(2, (2, 2), 3, "same", "zeros", True, True, False)
@example(2, (2, 2), 1, 0, "zeros", True, True, True)
@settings(max_examples=60, deadline=None)
def test_folding_on_both_sides_of_any_convolution(
    groups, widths, kernel, padding, mode, bias, affine, same
):
    inputs, outputs = (groups * width for width in widths)
    if same:
        conv: nn.Conv2d = Conv2dSame(inputs, outputs, kernel, groups=groups, bias=bias)
    else:
        options = {"padding": padding, "padding_mode": mode, "groups": groups, "bias": bias}
        conv = nn.Conv2d(inputs, outputs, kernel, **options)
    first, last = nn.BatchNorm2d(inputs, affine=affine), nn.BatchNorm2d(outputs, affine=affine)
    model = randomize(nn.Sequential(nn.MaxPool2d(1), first, conv, last))
    images = torch.randn(2, inputs, 5, 6, dtype=torch.float64)
    fused = fuse(model)
    torch.testing.assert_close(fused(images), model(images), rtol=1e-10, atol=1e-10)
    pads_zeros = (same or (mode == "zeros" and padding in (1, "same"))) and (
        kernel != 1 or (padding == 1 and not same)
    )
    assert norms(fused) == (["1"] if pads_zeros else [])


class Wired(nn.Module):
    """Two convolutions, a normalisation and a ReLU, wired as the test says."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.norm, self.relu = nn.BatchNorm2d(3), nn.ReLU(inplace=True)
        self.drop = nn.Sequential(nn.Dropout(), DropPath(0.5), nn.Sequential())
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def read_twice(m, x):
    x = m.conv(x)
    return m.norm(x) + x


def read_by_an_operation_in_place(m, x):
    x = m.conv(x)
    nn.functional.relu_(x)
    return m.norm(x)


def input_changed_later(m, x):
    x = m.relu(m.conv(x)) + 1
    y = m.norm(x)
    x.mul_(2)
    return m.other(y)


@pytest.mark.parametrize(
    ("forward", "why"),
    [
        (read_twice, "others read conv"),
        (read_by_an_operation_in_place, "others read conv"),
        (input_changed_later, "changed in place"),
        (lambda m, x: m.norm(m.conv(m.conv(x))), "conv is called 2 times"),
        (lambda m, x: m.norm(m.other(m.norm(m.conv(x)))), "norm is called 2 times"),
        (lambda m, x: m.norm(m.conv(x)) * m.norm.weight.sum(), "without calling it"),
        (lambda m, x: m.norm(m.conv(x)) * m.conv.weight.sum(), "without calling it"),
        (lambda m, x: m.norm(torch.cat([m.conv(x)], dim=2)), "cat()"),
        (lambda m, x: m.norm(x), "before it, the input"),
        (lambda m, x: m.norm(x), "behind it, the output"),
        (lambda m, x: m.conv(x), "not called in eval mode"),
        (lambda m, x: (m.norm(y := m.relu(x)), m.other(y))[0], "before it, others read relu"),
    ],
)
def test_what_must_not_be_folded_stays(forward, why):
    model = randomize(Wired(forward))
    assert why in plan(model)["norm"]
    images = torch.rand(2, 3, 7, 7, dtype=torch.float64)
    assert torch.equal(fuse(model)(images.clone()), model(images.clone()))


@pytest.mark.parametrize(
    ("forward", "into"),
    [
        (lambda m, x: m.norm(m.drop(m.conv(x))), ("conv",)),
        (lambda m, x: m.norm(input=m.conv(input=x)), ("conv",)),
        (
            lambda m, x: (y := m.norm(m.relu(x)), m.conv(y) + m.other(m.drop(y)))[1],
            ("conv", "other"),
        ),
        (lambda m, x: m.other(m.relu(m.norm(m.conv(x)))), ("conv",)),
    ],
)
def test_what_can_be_folded_is(forward, into):
    model = randomize(Wired(forward))
    assert plan(model)["norm"] == into
    images = torch.rand(2, 3, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(fuse(model)(images.clone()), model(images.clone()))


def test_a_normalisation_of_several_outputs_is_dealt_out_to_them():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.norm = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 5, 1), None
            self.norm = nn.BatchNorm2d(7)

        def forward(self, x):
            return self.norm(torch.cat([self.left(x), self.right(x)], dim=1))

    model = randomize(Two())
    assert plan(model) == {"norm": ("left", "right")}
    images = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(fuse(model)(images), model(images))


def test_linear_layers_take_normalisations_too():
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.BatchNorm1d(6), nn.Linear(6, 2)
    model = nn.Sequential(*layers).double()
    for norm in (model[1], model[3]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    model.eval()
    assert plan(model) == {"1": ("0",), "3": ("4",)}
    features = torch.randn(5, 4, dtype=torch.float64)
    torch.testing.assert_close(fuse(model)(features), model(features))


def test_a_normalisation_with_two_names_is_replaced_under_both():
    class Alias(Wired):
        def __init__(self) -> None:
            super().__init__(lambda m, x: m.again(m.conv(x)))
            self.again = self.norm

    model = randomize(Alias())
    fused = fuse(model)
    assert isinstance(fused.norm, nn.Identity) and isinstance(fused.again, nn.Identity)
    images = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(fused(images), model(images))


def test_layers_that_share_their_weights_are_folded_each_for_itself():
    model = Wired(lambda m, x: m.norm(m.conv(x)) + m.other(x))
    model.other.weight = model.conv.weight
    randomize(model)
    images = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    torch.testing.assert_close(fuse(model)(images), model(images))


@pytest.mark.parametrize("name", ["norm", "conv"])
def test_layers_with_hooks_stay(name):
    model = Wired(lambda m, x: m.norm(m.conv(x))).eval()
    model.get_submodule(name).register_forward_hook(lambda *_: None)
    assert "hooks" in plan(model)["norm"]


def test_a_normalisation_by_the_batch_stays():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, track_running_stats=False))
    assert "no running statistics" in plan(model)["1"]


def test_layers_of_unknown_kinds_stay():
    class Odd(nn.Conv2d):
        def forward(self, input):
            return super().forward(input) ** 2

    class OddNorm(nn.BatchNorm2d):
        pass

    model = nn.Sequential(Odd(1, 1, 1), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1), OddNorm(1))
    assert plan(model) == {"1": ("2",), "3": "what a OddNorm does besides is not known"}


def test_an_activation_behind_a_folded_normalisation_works_in_place():
    alone = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.SiLU(), nn.Conv2d(1, 1, 1))
    fused = fuse(alone)
    assert fused[2].inplace and not alone[2].inplace
    shared = Wired(lambda m, x: (y := m.norm(m.conv(x)), m.relu(y) + y)[1])
    shared.relu = nn.ReLU()
    assert not fuse(shared).relu.inplace


def test_folding_changes_nothing_in_the_original_and_twice_is_once(resnet):
    resnet.train()
    resnet.conv1.eval()
    before = copy.deepcopy(resnet.state_dict())
    modes = [m.training for m in resnet.modules()]
    fused = fuse(resnet)
    assert modes == [m.training for m in resnet.modules()]
    assert all(torch.equal(value, before[key]) for key, value in resnet.state_dict().items())
    assert type(fused) is type(resnet) and not any(m.training for m in fused.modules())
    again = fuse(fused)
    assert plan_fusion(fused) == []
    assert all(map(torch.equal, again.parameters(), fused.parameters()))


def test_a_network_that_cannot_be_followed_is_refused_with_the_reason():
    def branch(m, x):
        return m.norm(m.conv(x)) if x.sum() > 0 else x

    with pytest.raises(TypeError, match="forward of Wired: .*control flow.*depend on the images"):
        fuse(Wired(branch))


@pytest.mark.parametrize(
    ("build", "stays"),
    [
        (lambda: torchvision.models.resnet18(), 0),
        (lambda: torchvision.models.shufflenet_v2_x0_5(), 0),
        (lambda: torchvision.models.mobilenet_v3_small(), 0),
        (lambda: timm.create_model("efficientnet_lite0"), 0),  # activation inside the normalisation
        (lambda: timm.create_model("resnetv2_50"), 17),
        (lambda: timm.create_model("tf_mobilenetv3_small_minimal_100"), 5),  # padded by itself
    ],
)
def test_networks_of_others_are_folded_too(build, stays):
    model = randomize(build())
    fused = fuse(model)
    assert len([fold for fold in plan_fusion(model) if not fold.into]) == stays
    assert_equal_scores(fused, model, torch.randn(2, 3, 64, 64, dtype=torch.float64), 1e-10)


# -- faster inference -------------------------------------------------------------------------


def images_for(model: nn.Module, n: int) -> torch.Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(n))


def test_an_optimised_network_gives_the_same_scores_for_any_batch(resnet):
    before = copy.deepcopy(resnet.state_dict())
    optimized = optimize(resnet, images_for(resnet, 2), backend="eager")
    assert optimized.backend == "eager" and not norms(optimized)
    for n in (1, 2, 5):
        assert_equal_scores(optimized, resnet, images_for(resnet, n), 1e-5)
    assert not optimized(images_for(resnet, 1).requires_grad_()).requires_grad
    assert all(torch.equal(value, before[key]) for key, value in resnet.state_dict().items())
    conv = next(m for m in optimized.modules() if isinstance(m, nn.Conv2d))
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_densenet_is_run_without_copies():
    torch.manual_seed(0)
    model = settle(create_model("densenet_bc_cifar_l40_k12"))
    images = images_for(model, 2)
    optimized = optimize(model, images, backend="eager")
    assert "BlockInPlace" in str(optimized)
    assert_equal_scores(optimized, model, images_for(model, 3), 1e-4)
    again = optimize(optimized.network, images, backend="eager")  # is in this form already
    assert_equal_scores(again, model, images, 1e-4)


def test_a_network_that_cannot_be_followed_is_optimised_all_the_same():
    model = randomize(Wired(lambda m, x: m.norm(m.conv(x)) if x.sum() > -1e9 else x)).float()
    images = torch.randn(2, 3, 8, 8)
    assert_equal_scores(optimize(model, images, backend="eager"), model, images, 1e-5)


def test_onnxruntime_gives_the_same_scores_for_any_batch(resnet):
    resnet.train()
    optimized = optimize(resnet, images_for(resnet, 1))
    assert resnet.training and optimized.backend == "onnxruntime"  # it is installed here
    resnet.eval()
    for n in (1, 2, 5):
        assert_equal_scores(optimized, resnet, images_for(resnet, n), 1e-5)
    with pytest.raises(ValueError, match=r"float32 of shape \('N', 3, 32, 32\).*got .*40, 40"):
        optimized(torch.zeros(1, 3, 40, 40))
    with pytest.raises(ValueError, match="got torch.float64"):
        optimized(torch.zeros(1, 3, 32, 32, dtype=torch.float64))


def test_without_onnxruntime_pytorch_runs_the_network(resnet, monkeypatch):
    monkeypatch.setattr(deploy, "_missing", lambda: ["onnxruntime"])
    assert optimize(resnet, images_for(resnet, 1)).backend == "eager"
    with pytest.raises(ImportError, match=r"onnxruntime not installed.*pip install cnnlib\[onnx\]"):
        optimize(resnet, images_for(resnet, 1), backend="onnxruntime")


def test_an_optimised_network_is_for_inference(resnet):
    optimized = optimize(resnet, images_for(resnet, 1), backend="eager")
    assert optimized.eval() is optimized
    with pytest.raises(ValueError, match="train the original"):
        optimized.train()
    assert "eager" in repr(optimized)


def test_a_result_that_differs_is_not_returned(resnet, monkeypatch):
    def spoilt(model):
        model = copy.deepcopy(model)
        nn.init.constant_(model.fc.bias, 100.0)
        return model

    monkeypatch.setattr(deploy, "fuse", spoilt)
    with pytest.raises(RuntimeError, match="run by eager differs from the original by"):
        optimize(resnet, images_for(resnet, 1), backend="eager")
    nn.init.constant_(resnet.fc.bias, float("nan"))
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="nan"):
        optimize(resnet, images_for(resnet, 1), backend="eager")


def test_what_cannot_be_optimised_is_refused(resnet):
    with pytest.raises(ValueError, match="auto, eager, compile, onnxruntime; got 'fast'"):
        optimize(resnet, images_for(resnet, 1), backend="fast")

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(TypeError, match="Pair must return one tensor in eval mode; got tuple"):
        optimize(Pair(), torch.zeros(1))


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_scores_for_any_batch(resnet):
    optimized = optimize(resnet, images_for(resnet, 2), backend="compile")
    for n in (2, 5, 7):
        assert_equal_scores(optimized, resnet, images_for(resnet, n), 1e-5)


@pytest.mark.slow
@every_family
def test_every_family_is_optimised(tiny):
    model = settle(tiny.build())
    optimized = optimize(model, tiny.images(2), backend="eager")
    assert_equal_scores(optimized, model, tiny.images(3), 1e-4)


@pytest.mark.gpu
def test_a_network_on_a_gpu_is_compiled(resnet):
    resnet.cuda()
    optimized = optimize(resnet, images_for(resnet, 2).cuda())
    assert optimized.backend == "compile"
    assert_equal_scores(optimized, resnet, images_for(resnet, 3).cuda(), 1e-2)


# -- ONNX -------------------------------------------------------------------------------------


def test_an_onnx_file_says_what_goes_in_and_out(resnet, tmp_path):
    import onnx

    resnet.train()
    path = to_onnx(resnet, tmp_path / "net.onnx", images_for(resnet, 1))
    assert resnet.training and list(tmp_path.iterdir()) == [path]
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == deploy.OPSET
    (given,), (result,) = proto.graph.input, proto.graph.output
    sizes = [
        [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (given, result)
    ]
    assert (given.name, result.name) == ("images", "scores")
    assert sizes == [["batch", 3, 32, 32], ["batch", 10]]
    resnet.eval()
    for n in (1, 4):
        assert_equal_scores(deploy.OnnxNetwork(path), resnet, images_for(resnet, n), 1e-5)


@pytest.mark.slow
@every_family
def test_every_family_runs_in_onnxruntime(tiny, tmp_path):
    model = settle(tiny.build())
    path = to_onnx(fuse(model), tmp_path / "net.onnx", tiny.images(1))
    assert_equal_scores(deploy.OnnxNetwork(path), model, tiny.images(3), 1e-4)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), ((3, 2), 1)])
def test_pooling_by_another_number_than_that_of_pixels_is_exported(size, stride):
    class Sums(nn.Module):
        def forward(self, x):
            pooled = nn.functional.avg_pool2d(x, size, stride, padding=1, divisor_override=7)
            return pooled + nn.functional.avg_pool2d(x, size, stride, padding=1)

    images = torch.rand(2, 1, 6, 6)
    network = deploy.OnnxNetwork(deploy._onnx_bytes(Sums(), images))
    torch.testing.assert_close(network(images), Sums()(images))


def test_scores_are_compared_by_their_range():
    scores = torch.tensor([[100.0, 101.0]])
    deploy._require_equal(scores + 0.0009, scores, "it")
    with pytest.raises(RuntimeError, match="it differs .* from 100 to 101"):
        deploy._require_equal(scores + 0.0011, scores, "it")
    deploy._require_equal(torch.full((1, 1), 100.00005), torch.full((1, 1), 100.0), "it")


def broken(*args):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(step, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(deploy, "_onnx_bytes", lambda *_: b"new")
    monkeypatch.setattr(deploy, "OnnxNetwork", lambda _: lambda images: images)
    with monkeypatch.context() as patch:
        patch.setattr(os, step, broken)
        with pytest.raises(OSError, match=r"No space left on device: '.*net\.onnx'"):
            to_onnx(nn.Identity(), path, torch.ones(1))
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    to_onnx(nn.Identity(), path, torch.ones(1))
    assert path.read_bytes() == b"new"


def test_a_folder_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="the folder .*missing does not exist"):
        to_onnx(nn.Identity(), tmp_path / "missing" / "net.onnx", torch.ones(1))
    (tmp_path / "net.onnx").mkdir()  # in the place of the file
    with pytest.raises(OSError, match=r"net\.onnx"):
        fetch.write(b"new", tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_what_onnx_cannot_take_is_refused(resnet, tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(TypeError, match=r"float32.*got torch.float32 and torch.float64"):
        to_onnx(resnet, path, images_for(resnet, 1).double())

    class Untraceable(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(TypeError, match="Untraceable cannot be exported"):
        to_onnx(Untraceable(), path, torch.ones(1, 1))
    assert not path.exists()


def test_a_file_that_computes_something_else_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(deploy, "_onnx_bytes", lambda *_: b"new")
    monkeypatch.setattr(deploy, "OnnxNetwork", lambda _: lambda images: images + 1)
    with pytest.raises(RuntimeError, match="the ONNX file differs from the original by 1"):
        to_onnx(nn.Identity(), tmp_path / "net.onnx", torch.ones(1))
    assert not list(tmp_path.iterdir())
