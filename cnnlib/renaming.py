"""What others call the layers of our networks, family by family.

`torchvision_names` says what torchvision calls each of our tensors; `from_torchvision` and
`to_torchvision` carry weights over. `lite0_names` is the same for the file of EfficientNet-Lite0.
"""

import re
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from cnnlib.models import (
    alexnet,
    densenet,
    efficientnet,
    googlenet,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    resnext,
    squeezenet,
    vgg,
)

__all__ = ["from_torchvision", "lite0_names", "rename", "to_torchvision", "torchvision_names"]

# Layers that both have, under other names. Each family has its own rules, and each rule says what
# torchvision calls one layer of ours, or several that follow a pattern. Tensors of a layer (weight,
# bias, running_mean, ...) have the same names in both.
Names = Iterator[tuple[str, str]]


def torchvision_names(model: nn.Module) -> dict[str, str]:
    """What torchvision calls each entry of the network's ``state_dict``.

    Args:
        model: of a family that torchvision has too; the sizes may be others.

    Raises:
        ValueError: torchvision has no such network, or not with such layers.
    """
    if type(model) not in TORCHVISION_LAYERS:
        known = ", ".join(network.__name__ for network in TORCHVISION_LAYERS)
        raise ValueError(
            f"no names in torchvision are known for {type(model).__name__}; known are {known}"
        )
    return _tensor_names(model, TORCHVISION_LAYERS[type(model)](model))


def from_torchvision(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A ``state_dict`` of torchvision under our names, ready for ``model.load_state_dict``.

    Args:
        model: the network that it is meant for; it is not changed.
        state: of the same network in torchvision, also from its old files.

    Raises:
        ValueError: tensors are missing, left over, or of other sizes.
    """
    # Old files of DenseNet call "norm1" "norm.1", and so on.
    state = {re.sub(r"(denselayer\d+\.\w+)\.([12]\.)", r"\1\2", k): v for k, v in state.items()}
    names = torchvision_names(model)
    if isinstance(model, googlenet.GoogLeNet) and not any("aux" in name for name in names.values()):
        state = {key: value for key, value in state.items() if not key.startswith("aux")}
    return rename(model, names, state)


def to_torchvision(model: nn.Module) -> dict[str, Tensor]:
    """The network's ``state_dict`` under torchvision's names."""
    names = torchvision_names(model)
    return {names[key]: tensor for key, tensor in model.state_dict().items()}


def _tensor_names(model: nn.Module, layers: Names) -> dict[str, str]:
    """From names of layers to those of tensors, complete and without doubles."""
    theirs = dict(layers)
    names = {}
    for key in model.state_dict():
        layer, _, tensor = key.rpartition(".")
        if layer not in theirs:
            raise ValueError(
                f"this {type(model).__name__} has a layer {layer}, which has no counterpart there"
            )
        names[key] = f"{theirs[layer]}.{tensor}"
    assert len(set(names.values())) == len(names), "two layers of the same name"
    return names


def rename(
    model: nn.Module, names: Mapping[str, str], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A ``state_dict`` of others under our names; each of its tensors must have a place.

    Args:
        model: the network that it is meant for; it is not changed.
        names: ours -> theirs, of all tensors of the network.
        state: by their names.

    Raises:
        ValueError: tensors are missing, left over, or of other sizes.
    """
    left = dict(state)
    renamed: dict[str, Tensor] = {}
    for key, wanted in model.state_dict().items():
        name = names[key]
        if name not in left and name.endswith("num_batches_tracked"):
            renamed[key] = torch.zeros_like(wanted, device="cpu")  # files of 2017 do not count
            continue
        if name not in left:
            raise ValueError(f"the weights have no {name}, which is {key} here")
        tensor = left.pop(name)
        if tensor.shape != wanted.shape:
            raise ValueError(
                f"{name} is of shape {tuple(tensor.shape)}, but {key} of {tuple(wanted.shape)}"
            )
        renamed[key] = tensor
    if left:
        raise ValueError(
            f"the weights also have {', '.join(sorted(left)[:3])}, which is nothing here"
        )
    return renamed


def _by_rules(model: nn.Module, rules: Mapping[str, str | Callable[[re.Match], str]]) -> Names:
    for layer, _ in _layers(model):
        for pattern, theirs in rules.items():
            if match := re.fullmatch(pattern, layer):
                yield layer, match.expand(theirs) if isinstance(theirs, str) else theirs(match)
                break


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that have numbers of their own, by name."""
    for name, module in model.named_modules():
        if module._parameters or module._buffers:
            yield name, module


def _alexnet(model: nn.Module) -> Names:
    yield from {
        "conv1.0": "features.0",
        "conv2.0": "features.3",
        "conv3.0": "features.6",
        "conv4.0": "features.8",
        "conv5.0": "features.10",
        "fc6.2": "classifier.1",
        "fc7.1": "classifier.4",
        "fc8.0": "classifier.6",
    }.items()


def _vgg(model: nn.Module) -> Names:
    """There, convolutions, normalisations, ReLUs and poolings are numbered from 0 on."""
    number = 0
    for name, stage in model.named_children():
        if name.startswith("block"):
            for layer, _ in stage.named_children():
                yield f"{name}.{layer}", f"features.{number}"
                number += 1
        elif name.startswith("pool"):
            number += 1
    yield from {"fc6.1": "classifier.0", "fc7.0": "classifier.3", "fc8": "classifier.6"}.items()


_CONV_BN = {"0": "conv", "1": "bn"}  # our (convolution, normalisation, ReLU), by place
_INCEPTION = r"(inception\d\w)\."


def _googlenet(model: nn.Module) -> Names:
    """A branch that begins with a convolution has two; its "5x5" is 3 x 3, as in ours."""
    branches = {"3x3": 2, "5x5": 3}
    yield from _by_rules(
        model,
        {
            r"conv1\.([01])": lambda m: f"conv1.{_CONV_BN[m[1]]}",
            r"conv2\.([01])\.([01])": lambda m: f"conv{2 + int(m[1])}.{_CONV_BN[m[2]]}",
            rf"{_INCEPTION}conv1x1\.([01])": lambda m: f"{m[1]}.branch1.{_CONV_BN[m[2]]}",
            rf"{_INCEPTION}conv(3x3|5x5)\.([01])\.([01])": lambda m: (
                f"{m[1]}.branch{branches[m[2]]}.{m[3]}.{_CONV_BN[m[4]]}"
            ),
            rf"{_INCEPTION}pool_proj\.1\.([01])": lambda m: f"{m[1]}.branch4.1.{_CONV_BN[m[2]]}",
            r"auxiliary4([ad])\.conv\.([01])": lambda m: f"{_aux(m)}.conv.{_CONV_BN[m[2]]}",
            r"auxiliary4([ad])\.fc\.1": lambda m: f"{_aux(m)}.fc1",
            r"auxiliary4([ad])\.linear": lambda m: f"{_aux(m)}.fc2",
            "linear": "fc",
        },
    )


def _aux(match: re.Match) -> str:
    return {"a": "aux1", "d": "aux2"}[match[1]]


def _resnet(model: nn.Module) -> Names:
    """Our stages are named as in Table 1, where conv1 is the first; theirs count from 1."""
    yield from _by_rules(
        model,
        {
            r"conv1\.0": "conv1",
            r"conv1\.1": "bn1",
            r"conv(\d)_x\.(\d+)\.residual\.(\w+)": lambda m: f"layer{int(m[1]) - 1}.{m[2]}.{m[3]}",
            r"conv(\d)_x\.(\d+)\.shortcut\.([01])": lambda m: (
                f"layer{int(m[1]) - 1}.{m[2]}.downsample.{m[3]}"
            ),
            "fc": "fc",
        },
    )


def _densenet(model: nn.Module) -> Names:
    yield from _by_rules(
        model,
        {
            r"convolution\.(conv|norm)": r"features.\g<1>0",
            r"block(\d)\.layers\.(\d+)\.(\w+)": lambda m: (
                f"features.denseblock{m[1]}.denselayer{int(m[2]) + 1}.{m[3]}"
            ),
            r"transition(\d)\.(conv|norm)": r"features.transition\1.\2",
            "norm": "features.norm5",
            "classifier": "classifier",
        },
    )


def _squeezenet(model: nn.Module) -> Names:
    """There, stages are numbered from 0 on, and the first ReLU counts as one."""
    number = 0
    for name, _ in model.named_children():
        if name == "conv1":
            yield "conv1.0", f"features.{number}"
            number += 2
        elif name.startswith("fire"):
            for part in ("squeeze", "expand1x1", "expand3x3"):
                yield f"{name}.{part}.0", f"features.{number}.{part}"
            number += 1
        elif name.startswith("maxpool"):
            number += 1
    yield "conv10.0", "classifier.1"


def _parts(block: nn.Module) -> list[str]:
    """Those parts of an inverted bottleneck that this one has."""
    parts = ("expand", "depthwise", "excite", "project")
    has = dict(block.named_children())
    return [part for part in parts if part in has and list(has[part].parameters())]


def _mobilenet_v2(model: nn.Module) -> Names:
    """There, blocks of all stages are numbered from 1 on, and each is a list of layers."""
    yield from _by_rules(model, {r"conv1\.([01])": r"features.0.\1", "fc": "classifier.1"})
    number = 1
    for stage, blocks in model.named_children():
        if not stage.startswith("stage"):
            continue
        for place, block in blocks.named_children():
            *before, last = _parts(block)
            for k, part in enumerate(before):
                for layer in (0, 1):
                    yield f"{stage}.{place}.{part}.{layer}", f"features.{number}.conv.{k}.{layer}"
            for layer in (0, 1):  # the last two layers have no list of their own
                k = len(before) + layer
                yield f"{stage}.{place}.{last}.{layer}", f"features.{number}.conv.{k}"
            number += 1
    yield from _by_rules(model, {r"conv2\.([01])": rf"features.{number}.\1"})


def _excited_block(ours: str, block: nn.Module, theirs: str) -> Names:
    """A block of MobileNetV3 or EfficientNet: there, the parts that it has are numbered."""
    for k, part in enumerate(_parts(block)):
        inside = {"reduce": "fc1", "expand": "fc2"} if part == "excite" else {"0": "0", "1": "1"}
        for layer, their_layer in inside.items():
            yield f"{ours}.{part}.{layer}", f"{theirs}.block.{k}.{their_layer}"


def _mobilenet_v3(model: nn.Module) -> Names:
    number = 0
    for name, block in model.named_children():
        if name.startswith("bneck"):
            number = int(name.removeprefix("bneck"))
            yield from _excited_block(name, block, f"features.{number}")
    yield from _by_rules(
        model,
        {
            r"conv1\.([01])": r"features.0.\1",
            r"conv2\.([01])": rf"features.{number + 1}.\1",
            r"hidden\.0": "classifier.0",
            "fc": "classifier.3",
        },
    )


def _efficientnet(model: nn.Module) -> Names:
    """Our stages are numbered as in Table 1 of the paper, from 1 on; theirs from 0 on."""
    for name, stage in model.named_children():
        for place, block in stage.named_children() if name.startswith("stage") else ():
            number = int(name.removeprefix("stage")) - 1
            if _parts(block):
                yield from _excited_block(f"{name}.{place}", block, f"features.{number}.{place}")
            else:  # the stem and the last convolution are no blocks
                yield f"{name}.{place}", f"features.{number}.{place}"
    yield "fc", "classifier.1"


TORCHVISION_LAYERS: dict[type[nn.Module], Callable[[nn.Module], Names]] = {
    alexnet.AlexNet: _alexnet,
    vgg.VGG: _vgg,
    googlenet.GoogLeNet: _googlenet,
    resnet.ResNet: _resnet,
    resnext.ResNeXt: _resnet,
    densenet.DenseNet: _densenet,
    squeezenet.SqueezeNet: _squeezenet,
    mobilenet_v2.MobileNetV2: _mobilenet_v2,
    mobilenet_v3.MobileNetV3: _mobilenet_v3,
    efficientnet.EfficientNet: _efficientnet,
}


def lite0_names(model: nn.Module) -> dict[str, str]:
    """What the file of EfficientNet-Lite0 calls each entry of the network's ``state_dict``.

    There, the blocks of all stages are numbered, and so are the normalisations in each; a block
    without expansion begins with the second.
    """

    def layers() -> Names:
        stages = [stage for name, stage in model.named_children() if name.startswith("stage")]
        yield from {"stage1.0": "_conv_stem", "stage1.1": "_bn0"}.items()
        number = 0
        for count, stage in enumerate(stages[1:-1], start=2):
            for place, block in stage.named_children():
                for k, part in enumerate(_parts(block), start=3 - len(_parts(block))):
                    ours = f"stage{count}.{place}.{part}"
                    yield f"{ours}.0", f"_blocks.{number}._{part}_conv"
                    yield f"{ours}.1", f"_blocks.{number}._bn{k}"
                number += 1
        last = f"stage{len(stages)}"
        yield from {f"{last}.0": "_conv_head", f"{last}.1": "_bn1", "fc": "_fc"}.items()

    return _tensor_names(model, layers())
