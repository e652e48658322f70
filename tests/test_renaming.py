"""Weights of others under our names: the same function, and back again without loss."""

import pytest
import torch
import torchvision
from torch import nn

from cnnlib import renaming, weights
from cnnlib.models import create_model, efficientnet
from tests.models.transplant import randomize

# pixels of the images: small ones suffice where a network takes any
SIZES = {"alexnet_owt": 224} | {name: 224 for name in weights.TORCHVISION if name[:3] == "vgg"}
QUICK = [  # one of each family, where one takes no more than a second or two
    *("googlenet_bn_aux", "resnet18", "resnext50_32x4d", "densenet121", "squeezenet1_1"),
    *("mobilenet_v2_1", "mobilenet_v3_small_1", "efficientnet_b0"),
]
NAMES = [
    pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
    for name in weights.TORCHVISION
]


def theirs(name: str, **options) -> nn.Module:
    builder = weights.TORCHVISION[name]
    if builder == "googlenet":
        options = {"aux_logits": name.endswith("_aux"), "init_weights": False} | options
    return torchvision.models.get_model(builder, **options)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_torchvision_give_the_same_scores_and_come_back(name):
    original = randomize(theirs(name))
    state = original.state_dict()
    ours = create_model(name).double().eval()
    ours.load_state_dict(renaming.from_torchvision(ours, state))
    size = SIZES.get(name, 65)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 3, size, size, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), original(images), rtol=1e-10, atol=1e-10)
    back = renaming.to_torchvision(ours)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize("name", weights.TORCHVISION)
def test_every_tensor_of_torchvision_has_one_name_of_ours(name):
    with torch.device("meta"):
        ours, original = create_model(name), theirs(name)
    names = renaming.torchvision_names(ours)
    shapes = {names[key]: tensor.shape for key, tensor in ours.state_dict().items()}
    assert shapes == {key: tensor.shape for key, tensor in original.state_dict().items()}


def test_other_sizes_of_a_family_have_names_too():
    ours = create_model("resnet18", num_classes=7, blocks=(1, 2, 1, 1))
    original = torchvision.models.ResNet(
        torchvision.models.resnet.BasicBlock, [1, 2, 1, 1], num_classes=7
    )
    ours.load_state_dict(renaming.from_torchvision(ours, original.state_dict()))


def test_a_googlenet_without_heads_leaves_those_of_the_weights_out():
    state = theirs("googlenet_bn_aux").state_dict()
    ours = create_model("googlenet_bn")
    ours.load_state_dict(renaming.from_torchvision(ours, state))


def test_old_files_of_torchvision_fit_too():
    """Those of 2017 write "norm.1" in DenseNet and do not count batches."""
    original = theirs("densenet121")
    for norm in original.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.num_batches_tracked.fill_(3)
    old = {
        key.replace("norm1", "norm.1").replace("conv2", "conv.2"): tensor
        for key, tensor in original.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    ours = create_model("densenet121")
    state = renaming.from_torchvision(ours, old)
    ours.load_state_dict(state)
    assert torch.equal(ours.norm.weight, original.features.norm5.weight)
    assert ours.norm.num_batches_tracked == 0


def test_weights_that_do_not_fit_are_refused():
    ours, state = create_model("resnet18"), theirs("resnet18").state_dict()
    with pytest.raises(ValueError, match=r"no fc\.bias, which is fc\.bias here"):
        renaming.from_torchvision(ours, {k: v for k, v in state.items() if k != "fc.bias"})
    with pytest.raises(ValueError, match="also have extra.weight, which"):
        renaming.from_torchvision(ours, {**state, "extra.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"fc.bias is of shape \(3,\), but fc.bias of \(1000,\)"):
        renaming.from_torchvision(ours, {**state, "fc.bias": torch.zeros(3)})


def test_networks_that_torchvision_does_not_have_are_refused():
    with torch.device("meta"):
        with pytest.raises(ValueError, match="known for ZFNet; known are AlexNet, VGG"):
            renaming.torchvision_names(create_model("zfnet"))
        with pytest.raises(ValueError, match="layer conv1.1, which has no counterpart"):
            renaming.torchvision_names(create_model("squeezenet1_0", batch_norm=True))


def test_names_of_lite0_are_those_of_its_file():
    with torch.device("meta"):
        model = create_model("efficientnet_lite0")
        names = renaming.lite0_names(model)
    assert names["stage1.0.weight"] == "_conv_stem.weight"
    assert names["stage2.0.depthwise.1.bias"] == "_blocks.0._bn1.bias"  # no expansion, so no _bn0
    assert names["stage8.0.expand.0.weight"] == "_blocks.15._expand_conv.weight"
    assert names["stage9.1.running_var"] == "_bn1.running_var"
    assert isinstance(model, efficientnet.EfficientNet)
