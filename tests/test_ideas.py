"""Ideas are found by what a network does, in ours and in networks that the book does not have."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.inspection import census
from cnnlib.inspection.ideas import IDEAS, ideas
from cnnlib.models import create_model
from cnnlib.papers import PAPERS
from cnnlib.papers.later import LATER


def of(name, **options):
    with torch.device("meta"):
        model = create_model(name, **options)
    return set(ideas(model, census.tested_input(name)))


@pytest.mark.parametrize(
    ("name", "has", "has_not"),
    [
        ("lenet5", {"convolution"}, {"ReLU", "global average", "shortcut"}),
        ("alexnet", {"ReLU", "dropout", "response norm", "grouped convolution"}, {"shortcut"}),
        ("zfnet", {"ReLU", "dropout", "response norm"}, {"grouped convolution"}),
        ("vgg_d", {"ReLU", "dropout"}, {"batch norm", "1×1 convolution"}),
        ("googlenet", {"1×1 convolution", "concatenation", "global average"}, {"batch norm"}),
        ("resnet152", {"batch norm", "shortcut"}, {"concatenation", "dropout"}),
        ("densenet121", {"concatenation", "batch norm"}, {"shortcut"}),
        ("resnext50_32x4d", {"grouped convolution", "shortcut"}, {"depthwise convolution"}),
        ("se_resnet50", {"squeeze and excitation"}, {"depthwise convolution"}),
        ("mobilenet_v1_1_224", {"depthwise convolution"}, {"shortcut", "grouped convolution"}),
        ("mobilenet_v2_1", {"depthwise convolution", "shortcut"}, {"squeeze and excitation"}),
        ("mobilenet_v3_large_1", {"squeeze and excitation", "smooth activation"}, {"attention"}),
        ("nasnet_a_large", {"stochastic depth", "depthwise convolution"}, {"smooth activation"}),
        ("efficientnet_b0", {"stochastic depth", "smooth activation"}, {"ReLU"}),
        ("efficientnet_lite0", {"ReLU"}, {"squeeze and excitation", "smooth activation"}),
        ("plain18", {"batch norm"}, {"shortcut"}),
        ("vgg_d_bn", {"batch norm"}, {"shortcut"}),
    ],
)
def test_a_network_has_its_ideas_and_no_others(name, has, has_not):
    found = of(name)
    assert has <= found
    assert not has_not & found


def test_every_idea_is_in_some_network():
    found = {idea for paper in PAPERS.values() for idea in of(paper.network.model)}
    found |= {idea for row in census.measured()["later"].values() for idea in row["ideas"]}
    assert found == set(IDEAS)


def test_ideas_come_in_their_order():
    found = ideas(create_model("mobilenet_v3_small_1"), (3, 64, 64))
    assert found == [idea for idea in IDEAS if idea in found]


def test_the_model_is_left_as_it_was():
    model = create_model("nasnet_a_cifar", repeats=1, filters=24).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ideas(model, (3, 32, 32))
    assert model.training
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Block(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.what = what
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.what(self.conv(x), x)


@pytest.mark.parametrize(
    ("what", "idea"),
    [
        (lambda y, x: y + x, "shortcut"),
        (lambda y, x: torch.cat([y, x], 1), "concatenation"),
        (lambda y, x: y * y.mean((2, 3), keepdim=True), "squeeze and excitation"),
        (lambda y, x: F.adaptive_avg_pool2d(y, 1), "global average"),
        (lambda y, x: F.gelu(y), "smooth activation"),
    ],
)
def test_an_operation_makes_an_idea(what, idea):
    assert idea in ideas(Block(what), (4, 6, 6))
    assert idea not in ideas(Block(lambda y, x: y), (4, 6, 6))


def test_a_number_per_network_or_per_place_is_no_excitation():
    assert "squeeze and excitation" not in ideas(Block(lambda y, x: 2 * y), (4, 6, 6))
    place = Block(lambda y, x: y * y.mean(1, keepdim=True))
    assert "squeeze and excitation" not in ideas(place, (4, 6, 6))


def test_the_sums_inside_a_response_norm_are_no_shortcut():
    assert "shortcut" not in of("alexnet")


@pytest.mark.parametrize("network", LATER, ids=lambda n: n.name)
def test_what_was_stored_of_a_later_network_is_found_again(network):
    torchvision = pytest.importorskip("torchvision")
    sized = {"image_size": network.side} if network.torchvision.startswith("vit") else {}
    with torch.device("meta"):
        model = torchvision.models.get_model(network.torchvision, **sized)
    stored = census.measured()["later"][network.name]
    shape = (3, network.side, network.side)
    assert ideas(model, shape) == stored["ideas"]
    from cnnlib.inspection import count_macs, count_parameters

    assert count_parameters(model) == stored["parameters"]
    assert count_macs(model, shape) == stored["macs"]
