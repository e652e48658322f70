"""Published weights and our own files, with files that are damaged, missing or malicious."""

import errno
import hashlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import skimage
import timm
import torch
import torchvision
from PIL import Image
from torch import nn

from cnnlib import fetch, weights
from cnnlib.models import create_model
from cnnlib.weights import load, load_pretrained, read_card, save
from tests.models.transplant import randomize

PHOTOS = Path(skimage.__file__).with_name("data")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache for files; torch.hub's is empty too."""
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    return tmp_path / "cache" / "weights"


def kept(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*") if path.suffix != ".lock"]


# -- preparing images -------------------------------------------------------------------------


def like_torchvision(preset) -> weights.Pretrained:
    return weights.Pretrained(
        name="",
        source="",
        classes=tuple("abcd"),
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )


@pytest.mark.parametrize("builder", ["resnet18", "efficientnet_b1", "efficientnet_b2"])
@pytest.mark.parametrize("size", [(300, 451), (451, 300), (97, 97), (256, 255)])
def test_images_are_prepared_as_in_torchvision(builder, size):
    preset = torchvision.models.get_model_weights(builder)["IMAGENET1K_V1"].transforms()
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    prepared = like_torchvision(preset)(pixels)
    torch.testing.assert_close(prepared[0], preset(Image.fromarray(pixels)))


def test_images_of_all_kinds_are_taken(tmp_path):
    preset = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    prepare = like_torchvision(preset)
    grey = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    several = prepare(
        [
            grey,
            np.stack([grey] * 3, axis=2),
            Image.fromarray(grey),
            Image.fromarray(grey).convert("RGBA"),
            tmp_path / "grey.png",
            str(tmp_path / "grey.png"),
        ]
    )
    assert several.shape == (6, 3, 224, 224) and several.dtype == torch.float32
    assert all(torch.equal(image, several[0]) for image in several)
    assert torch.equal(prepare(grey), several[:1])
    for bad in (grey / 255, grey[0]):
        with pytest.raises(TypeError, match=r"bytes \(uint8\) of shape \(H, W\).*got"):
            prepare(bad)


def test_labels_are_the_most_probable_classes():
    prepare = like_torchvision(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms())
    scores = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4]]).log()
    first, second = prepare.labels(scores, k=2)
    assert [name for name, _ in first] == ["a", "b"] and [name for name, _ in second] == ["d", "c"]
    assert [share for _, share in first] == pytest.approx([0.5, 0.25])


# -- torchvision's weights, from a server on this computer ------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Puts bytes on a server under a name with their checksum, as torchvision's file."""
    folder = tmp_path / "server"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        published = weights._published

        def publish(data: bytes, sent: bytes | None = None) -> str:
            name = f"resnet-{hashlib.sha256(data).hexdigest()[:8]}.pth"
            (folder / name).write_bytes(data if sent is None else sent)
            url = f"http://127.0.0.1:{server.server_address[1]}/{name}"
            monkeypatch.setattr(
                weights, "_published", lambda *arguments: (url, published(*arguments)[1])
            )
            return name

        yield publish
        server.shutdown()
        thread.join()


def stored(state: object) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return randomize(torchvision.models.resnet18()).float()


def unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def numbers(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def test_published_weights_are_fetched_once_and_checked(publish, resnet18, cache):
    name = publish(stored(resnet18.state_dict()))
    model = create_model("resnet18").train()
    model.fc.eval()
    about = load_pretrained(model)
    assert model.training and not model.fc.training  # modes stay
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), resnet18(images))
    assert kept(cache) == [name]
    assert (about.name, about.resize, about.crop) == ("resnet18", 256, 224)
    assert about.accuracy == pytest.approx(0.69758)
    assert about.source == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert len(set(about.classes)) >= 998 and about.classes[285] == "Egyptian cat"


def test_weights_go_into_any_precision_and_from_the_cache_without_network(publish, resnet18, cache):
    data = stored(resnet18.state_dict())
    name = publish(data, sent=b"")  # the server has nothing
    cache.mkdir(parents=True)
    (cache / name).write_bytes(data)
    model = create_model("resnet18").double()
    load_pretrained(model)
    assert model.fc.weight.dtype == torch.float64
    assert torch.equal(model.fc.weight.float(), resnet18.fc.weight)


def test_files_of_torch_hub_are_used_where_they_are(publish, resnet18, cache, tmp_path):
    data = stored(resnet18.state_dict())
    name = publish(data, sent=b"")
    hub = tmp_path / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    (hub / name).write_bytes(data)
    load_pretrained(create_model("resnet18"))
    assert kept(cache) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"x" + data[1:]])
def test_a_damaged_download_is_refused_and_not_kept(publish, resnet18, cache, damage):
    data = stored(resnet18.state_dict())
    publish(data, sent=damage(data))
    model = create_model("resnet18")
    before = numbers(model)
    with pytest.raises(OSError, match=r"no source has resnet-(.|\n)*wrong checksum"):
        load_pretrained(model)
    assert kept(cache) == [] and unchanged(model, before)


def test_without_network_the_error_says_what_was_tried_and_what_helps(
    publish, resnet18, monkeypatch, cache
):
    def unreachable(url, file):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(fetch, "_get", unreachable)
    publish(b"")
    with pytest.raises(OSError, match="Network is unreachable") as error:
        load_pretrained(create_model("resnet18"))
    for words in ("torch/hub/checkpoints", "put the file at", "CNNLIB_DATA"):
        assert words in str(error.value)
    assert kept(cache) == []


class Malicious:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [stored, pickle.dumps])
def test_nothing_in_a_file_is_executed(publish, tmp_path, write):
    victim = tmp_path / "victim"
    state = dict(create_model("resnet18").state_dict(), extra=Malicious(victim))
    publish(write(state))
    model = create_model("resnet18")
    before = numbers(model)
    with pytest.raises(ValueError, match=r"resnet-.*\.pth is not a plain file of tensors"):
        load_pretrained(model)
    assert not victim.exists() and unchanged(model, before)
    pickle.loads(pickle.dumps(Malicious(victim)))  # it would have done it
    assert victim.exists()


def test_a_file_of_something_else_is_refused(publish):
    publish(stored([1, 2, 3]))
    with pytest.raises(ValueError, match="something else than tensors by name"):
        load_pretrained(create_model("resnet18"))
    publish(b"plain text")
    with pytest.raises(ValueError, match="is not a plain file of tensors"):
        load_pretrained(create_model("resnet18"))


@pytest.mark.parametrize(
    ("wrong", "options", "right", "builder"),
    [
        ("efficientnet_b0", {"padding": "same"}, "efficientnet_b0", "efficientnet_b0"),
        # the paper's has its strides in other places
        pytest.param("resnet50", {}, "resnet50_v1_5", "resnet50", marks=pytest.mark.slow),
    ],
)
def test_a_network_of_the_same_sizes_that_computes_something_else_is_refused(
    publish, wrong, options, right, builder
):
    publish(stored(randomize(torchvision.models.get_model(builder)).float().state_dict()))
    load_pretrained(create_model(right))
    model = create_model(wrong, **options)
    before = numbers(model)
    with pytest.raises(
        ValueError, match=rf"something else with them; take create_model\('{right}'"
    ):
        load_pretrained(model)
    assert unchanged(model, before)


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {"num_classes": 10}), ("resnet18", {"in_channels": 1}), ("zfnet", {})],
)
def test_networks_without_published_weights_are_refused(name, options):
    with pytest.raises(
        ValueError, match="torchvision has no weights for this .*alexnet_owt, vgg_a"
    ):
        load_pretrained(create_model(name, **options))


def test_unknown_sources_and_versions_list_the_known_ones():
    model = create_model("squeezenet1_1")
    with pytest.raises(ValueError, match="torchvision or lite0; got 'hub'"):
        load_pretrained(model, "hub")
    with pytest.raises(ValueError, match="no weights 'V9' for squeezenet1_1; .* IMAGENET1K_V1"):
        load_pretrained(model, version="V9")
    assert "IMAGENET1K_FEATURES" not in weights._torchvision_weights("vgg16")


@pytest.mark.parametrize("name", weights.TORCHVISION)
def test_every_address_has_a_checksum_and_every_network_its_preparation(name):
    address, about = weights._published(name, "IMAGENET1K_V1")
    assert address.startswith("https://") and re.search(r"-[0-9a-f]{8}\.pth$", address)
    assert about.name == name and len(about.classes) == 1000
    assert about.resize >= about.crop and 0.5 < about.accuracy < 0.9


def test_googlenet_gets_the_pixels_that_torchvision_gives_its_network():
    _, about = weights._published("googlenet_bn", "IMAGENET1K_V1")
    options = {"aux_logits": False, "init_weights": False, "transform_input": True}
    theirs = torchvision.models.googlenet(**options)
    preset = torchvision.models.GoogLeNet_Weights.IMAGENET1K_V1.transforms()
    pixels = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    inside = theirs._transform_input(preset(Image.fromarray(pixels))[None])
    torch.testing.assert_close(about(pixels), inside, rtol=1e-5, atol=1e-5)


def test_without_torchvision_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(ImportError, match=r"torchvision.*pip install cnnlib\[pretrained\]"):
        load_pretrained(create_model("squeezenet1_1"))


def test_an_address_without_checksum_is_not_trusted():
    with pytest.raises(ValueError, match="resnet.pth does not end with a checksum"):
        weights._fetch_torchvision("http://127.0.0.1/resnet.pth")


@pytest.mark.network
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small_1", "densenet121"])
def test_the_real_weights_know_a_cat(name):
    model = create_model(name)
    about = load_pretrained(model)
    with torch.no_grad():
        (((label, _), *_),) = about.labels(model.eval()(about(PHOTOS / "chelsea.png")))
    assert label in ("tabby", "tiger cat", "Egyptian cat")


# -- EfficientNet-Lite0: real weights and real photographs ------------------------------------

SEEN = {  # probabilities in percent
    "chelsea.png": {"tiger cat": 39.5, "Egyptian cat": 35.5, "tabby": 17.0},
    "coffee.png": {"espresso": 95.1, "cup": 1.5, "consomme": 0.8},
    "camera.png": {"tripod": 93.7, "harmonica": 1.1, "binoculars": 0.9},
    "motorcycle_left.png": {"moped": 54.0, "motor scooter": 12.0, "disk brake": 7.5},
    "rocket.jpg": {"missile": 27.2, "projectile": 18.9, "drilling platform": 10.4},
    "astronaut.png": {"football helmet": 16.2, "bobsled": 11.0, "go-kart": 6.4},  # no class fits
}


@pytest.fixture(scope="module")
def lite0():
    model = create_model("efficientnet_lite0")
    about = load_pretrained(model, "lite0")
    return model.eval(), about


def test_real_photographs_are_recognised(lite0):
    model, about = lite0
    with torch.no_grad():
        scores = model(about([PHOTOS / photo for photo in SEEN]))
    for photo, seen, expected in zip(SEEN, about.labels(scores), SEEN.values(), strict=True):
        assert [name for name, _ in seen] == list(expected), photo
        assert [100 * share for _, share in seen] == pytest.approx(list(expected.values()), abs=1)


def test_the_same_weights_in_another_implementation_give_the_same_scores(lite0):
    model, about = lite0
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    state = zip(theirs.state_dict(), model.state_dict().values(), strict=True)  # the same order
    theirs.load_state_dict(dict(state))
    images = about(PHOTOS / "chelsea.png").double()
    with torch.no_grad():
        expected = theirs.double()(images)
        actual = create_twin(model).double()(images)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def create_twin(model: nn.Module) -> nn.Module:
    twin = create_model("efficientnet_lite0").eval()
    twin.load_state_dict(model.state_dict())
    return twin


def test_lite0_without_its_package_or_damaged_says_what_helps(monkeypatch, tmp_path):
    model = create_model("efficientnet_lite0")
    monkeypatch.setattr(weights, "LITE0_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(
        OSError, match=r"efficientnet-lite0-57934424.pth(.|\n)*cnnlib\[pretrained\]"
    ):
        load_pretrained(model, "lite0")
    package = tmp_path / "damaged_lite0"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / weights.LITE0.name).write_bytes(b"no weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(weights, "LITE0_PACKAGE", package.name)
    with pytest.raises(OSError, match="truncated: 10 of 18,826,032 bytes"):
        load_pretrained(model, "lite0")


def test_lite0_is_for_lite0_only():
    with pytest.raises(ValueError, match="lite0 has no weights for this EfficientNet"):
        load_pretrained(create_model("efficientnet_b0"), "lite0")


# -- our own files ----------------------------------------------------------------------------

SMALL = {"stem": "small", "widths": [4, 4, 8, 8], "num_classes": 10, "in_channels": 1}


@pytest.fixture
def small() -> nn.Module:
    torch.manual_seed(0)
    return randomize(create_model("resnet18", **SMALL)).float()


@pytest.fixture
def file(small, tmp_path) -> Path:
    save(small, tmp_path / "small.safetensors", name="resnet18", options=SMALL)
    return tmp_path / "small.safetensors"


def test_a_saved_network_comes_back_with_its_card(small, tmp_path):
    path = tmp_path / "small.safetensors"
    recipe = {"epochs": 3, "lr": 0.1, "milestones": [1, 2]}
    made = save(
        small, path, name="resnet18", options=SMALL, recipe=recipe, seed=7, accuracy=0.5, n=200
    )
    model, card = load(path)
    images = torch.randn(2, 1, 28, 28)
    assert not model.training and torch.equal(model(images), small(images))
    assert card == made == read_card(path)
    assert (card.name, card.options, card.recipe) == ("resnet18", SMALL, recipe)
    assert (card.seed, card.accuracy, card.n) == (7, 0.5, 200)
    assert card.versions["torch"] == str(torch.__version__) and len(card.sha256) == 64
    assert all(p.requires_grad for p in model.parameters())
    path.unlink()  # the network needs the file no longer
    assert torch.isfinite(model(images)).all()


def test_any_program_that_knows_safetensors_can_read_it(file, small):
    tensors = safetensors.torch.load_file(file)
    assert tensors.keys() == small.state_dict().keys()
    with safetensors.safe_open(file, "pt") as opened:
        assert json.loads(opened.metadata()["card"])["name"] == "resnet18"


def test_a_network_can_be_filled(file, small):
    model = create_model("resnet18", **SMALL)
    filled, _ = load(file, into=model)
    assert filled is model and unchanged(model, small.state_dict())


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("resnet18", {**SMALL, "num_classes": 3}, "fc is Linear"),
        ("resnet34", SMALL, "missing here|missing there"),
        ("resnet18", {**SMALL, "shortcut": "A"}, "is not the network in"),
        ("lenet5", {}, "this LeNet5 is not the network in .*'resnet18'"),
        ("squeezenet1_1", {"num_classes": 10}, "this SqueezeNet is not"),
    ],
)
def test_another_network_is_not_filled(file, name, options, why):
    model = create_model(name, **options)
    before = numbers(model)
    with pytest.raises(ValueError, match=why):
        load(file, into=model)
    assert unchanged(model, before)


def test_a_network_of_the_same_sizes_but_other_settings_is_not_filled(tmp_path):
    options = {"widths": [4, 4, 8, 8], "num_classes": 2}
    save(create_model("resnet50", **options), tmp_path / "net", name="resnet50", options=options)
    with pytest.raises(ValueError, match=r"stride=\[1, 1\].*stride=\[2, 2\]|stride_on"):
        load(tmp_path / "net", into=create_model("resnet50_v1_5", **options))


def test_a_card_must_tell_the_truth(small, tmp_path):
    path = tmp_path / "net"
    with pytest.raises(ValueError, match=r"is not create_model\('resnet18'\): "):
        save(small, path, name="resnet18")
    with pytest.raises(ValueError, match="unknown model 'resnet17'"):
        save(small, path, name="resnet17")
    for wrong in ({"accuracy": 97.0, "n": 10}, {"accuracy": 0.97}, {"accuracy": 0.97, "n": 0}):
        with pytest.raises(ValueError, match="a share from 0 to 1, of n images; got"):
            save(small, path, name="resnet18", options=SMALL, **wrong)
    with pytest.raises(TypeError, match="JSON"):
        save(small, path, name="resnet18", options=SMALL, recipe={"loss": nn.MSELoss()})
    assert not path.exists()


def test_a_network_without_numbers_can_neither_be_saved_nor_filled(file, tmp_path):
    with torch.device("meta"):
        small, large = create_model("resnet18", **SMALL), create_model("resnet18")
    with pytest.raises(ValueError, match="meta device"):
        save(small, tmp_path / "net", name="resnet18", options=SMALL)
    with pytest.raises(ValueError, match="meta device"):
        load(file, into=small)
    with pytest.raises(ValueError, match="meta device"):
        load_pretrained(large)


def test_damage_is_found_wherever_it_is(file):
    data = file.read_bytes()
    model = create_model("resnet18", **SMALL)
    before = numbers(model)
    places = [0, 9, 100, len(data) // 2, len(data) - 1]
    spoilt = [data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :] for place in places]
    for damaged in [b"", b"text", data[:-1], data[: len(data) // 2], *spoilt]:
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="small.safetensors"):
            load(file, into=model)
        assert unchanged(model, before)


def test_files_of_others_are_refused(tmp_path, small):
    path = tmp_path / "theirs"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    for reader in (load, read_card):
        with pytest.raises(ValueError, match="was not written by cnnlib"):
            reader(path)
    for card, why in [
        ("[]", "card that cannot be read"),
        ('{"surprise": 1}', "card that cannot be read"),
        ('{"name": "resnet17"}', "cannot be made here: unknown model 'resnet17'"),
        ('{"name": "resnet18", "options": {"blocks": "many"}}', "cannot be made here"),
        ('{"name": "resnet18"}', r"does not hold the tensors of create_model\('resnet18'\)"),
    ]:
        metadata = {"format": "cnnlib", "card": card}
        safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata)
        with pytest.raises(ValueError, match=why):
            load(path)
    torch.save(small.state_dict(), path)
    with pytest.raises(ValueError, match="damaged or no safetensors file"):
        load(path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load(tmp_path / "missing")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(file, small, monkeypatch, step):
    before = file.read_bytes()
    nn.init.zeros_(small.fc.bias)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left on device"):
        save(small, file, name="resnet18", options=SMALL)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.glob("*small*")] == [file.name]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_kept(small, tmp_path, dtype):
    save(small.to(dtype), tmp_path / "net", name="resnet18", options=SMALL)
    model, _ = load(tmp_path / "net")
    assert model.fc.weight.dtype == dtype and unchanged(model, small.state_dict())


@pytest.mark.parametrize("name", ["lenet5", "mobilenet_v3_small_1", "densenet_bc_cifar_l40_k12"])
def test_networks_with_other_kinds_of_layers_are_kept_too(name, tmp_path):
    model = create_model(name)
    save(model, tmp_path / "net", name=name)
    again, _ = load(tmp_path / "net")
    assert unchanged(again, model.state_dict())
    assert not any(tensor.is_meta for tensor in [*again.parameters(), *again.buffers()])


def test_our_files_need_no_further_package(small, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "safetensors"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    save(small, tmp_path / "net", name="resnet18", options=SMALL)
    assert unchanged(load(tmp_path / "net")[0], small.state_dict())


def test_importing_needs_none_of_the_extras():
    code = "import sys; import cnnlib.weights, cnnlib.deploy; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    optional = {"torchvision", "safetensors", "onnx", "onnxruntime", "onnxscript", "skimage", "PIL"}
    assert optional.isdisjoint(run.stdout.split())
