"""Streams, on little trees of images and shards made here."""

import contextlib
import dataclasses
import gc
import hashlib
import io
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2

from cnnlib import fetch, streams
from cnnlib.augment import IMAGENET_AXES, Augmentation, Crops
from cnnlib.data import Images, ImageSet, batches
from cnnlib.streams import (
    archives,
    folders,
    image_folder,
    imagenette,
    shards,
    workers,
    write_shards,
)
from cnnlib.streams.decoding import decode, seed_of

SMALL = Crops(size=16, resize=20)
PER_CLASS = {"ant": 5, "bee": 4, "cow": 7}


def picture(seed: int, width: int, height: int) -> Image.Image:
    """A smooth image of its own colours, as JPEG can store it well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def make_tree(top: Path) -> Path:
    for split, share in (("train", 1), ("val", 2)):
        for label, (kind, count) in enumerate(PER_CLASS.items()):
            folder = top / split / kind
            folder.mkdir(parents=True)
            for n in range(count // share):
                image = picture(100 * label + n, 24 + 3 * n, 40 - 2 * n)
                image.save(folder / f"{n}.jpeg", quality=95)
    return top


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    return make_tree(tmp_path_factory.mktemp("images") / "animals")


@pytest.fixture
def own_tree(tmp_path) -> Path:
    """One to damage."""
    return make_tree(tmp_path / "animals")


@pytest.fixture
def train(tree) -> streams.Stream:
    return image_folder(tree, crops=SMALL, workers=0)


@pytest.fixture(autouse=True)
def no_worker_is_left():
    yield
    if multiprocessing.active_children():
        gc.collect()
    assert multiprocessing.active_children() == []


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def with_workers(stream: streams.Stream, count: int) -> streams.Stream:
    return dataclasses.replace(stream, workers=count)


def everything(stream, batch_size=4, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """All images and labels of a pass."""
    images, labels = zip(*batches(stream, batch_size, **options), strict=True)
    return torch.cat(images), torch.cat(labels)


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# What a folder holds


def test_a_folder_becomes_classes_sorted_by_name_and_images_with_their_labels(train):
    assert isinstance(train, Images)
    assert train.classes == ("ant", "bee", "cow")
    assert len(train) == 16 and train.counts() == PER_CLASS
    assert (train.name, train.device, train.dtype) == (
        "animals",
        torch.device("cpu"),
        torch.float32,
    )
    assert repr(train) == "Stream(animals: 16 images, crops of 3x16x16, 3 classes, float32 on cpu)"
    images, labels = everything(train)
    assert images.shape == (16, 3, 16, 16) and images.is_contiguous()
    assert labels.tolist() == [0] * 5 + [1] * 4 + [2] * 7


def test_the_test_split_is_val_or_test_with_central_crops(own_tree):
    test = image_folder(own_tree, "test")
    assert (len(test), test.crops) == (7, Crops.central())
    assert test.classes == image_folder(own_tree).classes
    (own_tree / "test").mkdir()  # as ImageNet's, whose answers are not public
    (own_tree / "test" / "0.jpeg").write_bytes(b"")
    assert len(image_folder(own_tree, "test")) == 7
    (own_tree / "test" / "0.jpeg").unlink()
    for kind in PER_CLASS:
        (own_tree / "test" / kind).mkdir()
        picture(0, 20, 20).save(own_tree / "test" / kind / "a.png")
    assert len(image_folder(own_tree, "test")) == 3


def test_only_image_files_count_also_below_the_class_and_with_capital_suffixes(own_tree):
    ant = own_tree / "train" / "ant"
    (ant / "notes.txt").write_text("no image")
    (ant / "._0.jpeg").write_bytes(b"what macOS leaves on other disks")
    (own_tree / "train" / "README.md").write_text("no class")
    (own_tree / "train" / ".cache").mkdir()
    (ant / "images").mkdir()
    picture(0, 20, 20).save(ant / "images" / "DEEP.JPG")
    stream = image_folder(own_tree)
    assert stream.counts() == {**PER_CLASS, "ant": 6}
    assert stream.files.name(5).endswith("DEEP.JPG")


def test_a_folder_with_one_class_is_a_stream_with_one_class(tmp_path):
    (tmp_path / "train" / "only").mkdir(parents=True)
    picture(0, 20, 20).save(tmp_path / "train" / "only" / "a.png")
    stream = image_folder(tmp_path, crops=SMALL)
    assert stream.classes == ("only",) and everything(stream)[1].tolist() == [0]


def test_folders_that_do_not_fit_are_refused_in_words(tmp_path, own_tree):
    with pytest.raises(FileNotFoundError, match="nowhere is no folder; expected one with train/"):
        image_folder(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="has no train images; expected .*train/CLASS"):
        image_folder(empty)
    (empty / "train").mkdir()
    with pytest.raises(FileNotFoundError, match="train holds no folders of classes"):
        image_folder(empty)
    (empty / "train" / "ant").mkdir()
    with pytest.raises(FileNotFoundError, match="ant holds no images"):
        image_folder(empty)
    with pytest.raises(FileNotFoundError, match="has no test images; expected .*test/.* or .*val/"):
        image_folder(empty, "test")
    with pytest.raises(FileNotFoundError, match="It holds ant, bee, cow: if those are classes"):
        image_folder(own_tree / "train")
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'val'"):
        image_folder(own_tree, "val")


def test_a_test_split_with_other_classes_is_refused_and_they_are_named(own_tree):
    os.rename(own_tree / "val" / "bee", own_tree / "val" / "wasp")
    with pytest.raises(ValueError, match="has classes that .*train has not: wasp"):
        image_folder(own_tree, "test")
    for file in (own_tree / "val" / "wasp").iterdir():
        file.unlink()
    (own_tree / "val" / "wasp").rmdir()
    with pytest.raises(ValueError, match="lacks classes that .*train has: bee"):
        image_folder(own_tree, "test")


def test_the_fingerprint_changes_with_names_sizes_and_labels(own_tree):
    before = image_folder(own_tree).fingerprint()
    assert image_folder(own_tree, crops=SMALL).fingerprint() == before and len(before) == 16
    assert image_folder(own_tree, "test").fingerprint() != before
    first = own_tree / "train" / "ant" / "0.jpeg"
    seen = {before}
    first.write_bytes(first.read_bytes() + b"x")
    seen.add(image_folder(own_tree).fingerprint())
    os.rename(first, first.with_name("00.jpeg"))
    seen.add(image_folder(own_tree).fingerprint())
    os.rename(first.with_name("00.jpeg"), own_tree / "train" / "bee" / "00.jpeg")
    seen.add(image_folder(own_tree).fingerprint())
    assert len(seen) == 4


# Decoding

RED, BLUE = (250, 10, 20), (10, 20, 250)


def two_colours(mode: str = "RGB") -> Image.Image:
    """24 wide, 8 high; the left half red, the right half blue."""
    image = Image.new("RGB", (24, 8), RED)
    image.paste(BLUE, (12, 0, 24, 8))
    return image.convert(mode)


def assert_close(pixel: torch.Tensor, colour, tolerance=6) -> None:
    assert (pixel.int() - torch.tensor(colour)).abs().max() <= tolerance, (pixel, colour)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_files_of_every_kind_become_red_green_and_blue(kind):
    pixels = decode(encoded(two_colours(), kind, quality=95), "x")
    assert pixels.shape == (3, 8, 24) and pixels.dtype == torch.uint8
    assert_close(pixels[:, 4, 4], RED)
    assert_close(pixels[:, 4, 20], BLUE)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("P", "PNG"), ("RGBA", "PNG")])
def test_inks_palettes_and_opaque_images_keep_their_colours(mode, kind):
    pixels = decode(encoded(two_colours(mode), kind), "x")
    assert_close(pixels[:, 4, 4], RED, tolerance=40)  # a palette and inks have fewer colours
    assert_close(pixels[:, 4, 20], BLUE, tolerance=40)


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_images_get_three_equal_channels(mode):
    grey = Image.new("L", (24, 8), 255).convert(mode)
    assert (decode(encoded(grey, "PNG"), "x") == 255).all()
    ramp = Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20))
    assert torch.equal(
        decode(encoded(ramp, "PNG"), "x"), torch.arange(200).byte().view(10, 20).expand(3, -1, -1)
    )


def test_of_16_bits_the_upper_8_are_kept():
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    pixels = decode(encoded(Image.fromarray(values), "PNG"), "x")
    assert pixels[:, 0].tolist() == [[0, 0, 1, 128, 255]] * 3


def test_what_is_transparent_becomes_white():
    image = two_colours("RGBA")
    image.putpixel((0, 0), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    pixels = decode(encoded(image, "PNG"), "x")
    assert pixels[:, 0, 0].tolist() == [255, 255, 255]
    assert_close(pixels[:, 0, 1], (127, 127, 127), tolerance=1)
    assert tuple(pixels[:, 0, 5].tolist()) == RED
    palette = two_colours().quantize(4)
    palette.info["transparency"] = palette.getpixel((0, 0))
    pixels = decode(encoded(palette, "PNG", transparency=palette.getpixel((0, 0))), "x")
    assert pixels[:, 4, 4].tolist() == [255, 255, 255]
    assert_close(pixels[:, 4, 20], BLUE)


@pytest.mark.parametrize(
    ("orientation", "shape", "red"),
    [
        (1, (8, 24), (4, 4)),
        (2, (8, 24), (4, 20)),  # mirrored
        (3, (8, 24), (4, 20)),  # upside down
        (6, (24, 8), (4, 4)),  # to be turned clockwise: left becomes top
        (8, (24, 8), (20, 4)),  # counterclockwise: left becomes bottom
    ],
)
def test_images_are_turned_as_the_camera_noted(orientation, shape, red):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(two_colours(), "JPEG", exif=exif, quality=95), "x")
    assert pixels.shape == (3, *shape)
    assert_close(pixels[:, red[0], red[1]], RED)
    assert_close(pixels[:, shape[0] - 1 - red[0], shape[1] - 1 - red[1]], BLUE)


@pytest.mark.parametrize(
    "note", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x01"]
)
def test_a_damaged_note_of_the_camera_does_not_cost_the_image(note):
    pixels = decode(encoded(two_colours(), "JPEG", exif=note), "x")
    assert pixels.shape == (3, 8, 24)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(data):
    with pytest.raises(OSError, match=r"train/ant/0\.jpeg is damaged, or no image|cannot be dec"):
        decode(data, "train/ant/0.jpeg")


@settings(deadline=None, max_examples=40)
@given(kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP"]), draw=st.data())
def test_a_file_that_is_cut_off_or_damaged_gives_an_image_or_an_error_that_names_it(kind, draw):
    data = encoded(picture(1, 30, 20), kind)
    cut = draw.draw(st.integers(0, len(data)), "cut")
    place = draw.draw(st.integers(0, len(data) - 1), "place")
    byte = draw.draw(st.integers(0, 255), "byte")
    for damaged in (data[:cut], data[:place] + bytes([byte]) + data[place + 1 :]):
        try:
            pixels = decode(damaged, "this file")
        except OSError as fault:
            assert str(fault).startswith("this file ")
        else:
            assert pixels.dtype == torch.uint8 and pixels.shape[0] == 3
    if kind == "JPEG" and cut < len(data) // 2:
        with pytest.raises(OSError, match="this file"):
            decode(data[:cut], "this file")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_or_missing_file_ends_the_pass_with_an_error_that_names_it(own_tree, workers):
    stream = image_folder(own_tree, crops=SMALL, workers=workers)
    bad = own_tree / "train" / "bee" / "1.jpeg"
    bad.write_bytes(bad.read_bytes()[:200])
    passed = 0
    with pytest.raises(OSError, match=r"^\S*train/bee/1\.jpeg (cannot be decoded|is damaged)"):
        for images, _ in batches(stream, 3):
            passed += len(images)
    assert passed == 6  # those before its batch
    assert multiprocessing.active_children() == []
    bad.unlink()
    with pytest.raises(FileNotFoundError, match=r"bee/1\.jpeg"):
        everything(stream)


def test_a_large_photograph_is_decoded_at_a_fraction_that_makes_no_visible_difference():
    data = pytest.importorskip("skimage.data")
    photograph = Image.fromarray(data.astronaut()).resize((1024, 1024))
    stored = encoded(photograph, "JPEG", quality=95)
    crops = Crops.central(100, 120)
    full, part = decode(stored, "x"), decode(stored, "x", crops)
    assert full.shape == (3, 1024, 1024) and part.shape == (3, 256, 256)
    cut = crops.transforms()
    difference = (cut(full).int() - cut(part).int()).abs().float()
    assert difference.mean() < 1.5
    assert decode(stored, "x", Crops(200, area=(0.08, 1.0))).shape == full.shape


@given(
    width=st.integers(1, 4000),
    height=st.integers(1, 4000),
    size=st.integers(1, 300),
    area=st.none() | st.tuples(st.floats(0.01, 0.9), st.floats(0.9, 1.0)),
)
def test_never_are_fewer_pixels_decoded_than_twice_those_needed(width, height, size, area):
    crops = Crops(size, area=area)
    times = crops.to_spare(width, height)
    if area is None:
        assert times == pytest.approx(min(width, height) / (2 * crops.sides[1]))
    else:  # the smallest and narrowest rectangle
        shorter = (area[0] * width * height * 3 / 4) ** 0.5
        assert times == pytest.approx(shorter / (2 * size))


# Crops


@pytest.mark.parametrize(
    ("crops", "theirs"),
    [
        (Crops(16, area=(0.3, 0.8), flip=False), [v2.RandomResizedCrop(16, (0.3, 0.8))]),
        (Crops(16, 20, flip=False), [v2.Resize(20), v2.RandomCrop(16)]),
        (Crops(16, 20), [v2.Resize(20), v2.RandomCrop(16), v2.RandomHorizontalFlip()]),
        (
            Crops(16, (18, 30), flip=False),
            [v2.RandomResize(18, 31), v2.RandomCrop(16)],
        ),
        (Crops.central(16, 20), [v2.Resize(20), v2.CenterCrop(16)]),
        (
            Crops(16, 20, flip=False, colour="jitter"),
            [v2.Resize(20), v2.RandomCrop(16), v2.ColorJitter(0.4, 0.4, 0.4)],
        ),
    ],
)
def test_a_stream_gives_what_the_transforms_of_torchvision_give(train, crops, theirs):
    images, _ = everything(train.with_crops(crops).normalized((0, 0, 0), (1, 1, 1)), salt=7)
    theirs = v2.Compose(theirs)
    for index in range(len(train)):
        with Image.open(train.files.name(index)) as image:
            pixels = v2.functional.pil_to_tensor(image)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(7, index))
            expected = theirs(pixels)
        assert torch.equal((images[index] * 255).round().byte(), expected)


def test_scale_jitter_reaches_both_ends_and_nothing_beyond():
    seen = set()
    resize = Crops(1, (5, 8), flip=False).transforms().transforms[0]
    for seed in range(60):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            seen.add(min(resize(torch.zeros(3, 30, 40, dtype=torch.uint8)).shape[1:]))
    assert seen == {5, 6, 7, 8}


def test_the_colours_of_pca_noise_vary_along_the_axes_by_a_tenth_of_their_length():
    grey = torch.full((3, 4, 4), 128, dtype=torch.uint8)
    long = ((0.9, 0.0, 0.0), (0.0, 0.3, 0.3), (0.0, 0.0, 0.0))
    tint = Crops(4, 4, flip=False, colour="pca", axes=long).transforms()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        changes = torch.stack([tint(grey) for _ in range(2000)]).float() - 128
    assert (changes.amax((2, 3)) == changes.amin((2, 3))).all()  # one colour per image
    changes = changes[:, :, 0, 0]
    assert torch.equal(changes[:, 1], changes[:, 2])  # green and blue only together
    torch.testing.assert_close(
        changes.std(0), 255 * torch.tensor([0.09, 0.03, 0.03]), rtol=0.06, atol=0.3
    )
    assert changes.mean(0).abs().max() < 2


def test_pca_noise_does_not_wrap_around_at_black_and_white():
    strong = ((9.0, 9.0, 9.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    tint = Crops(2, 2, flip=False, colour="pca", axes=strong).transforms()
    image = torch.tensor([0, 255], dtype=torch.uint8).expand(3, 2, 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(20):
            black, white = tint(image)[0, 0].tolist()
            assert black == 0 or white == 255
            assert black <= white


def test_the_published_axes_are_perpendicular():
    axes = torch.tensor(IMAGENET_AXES, dtype=torch.float64)
    lengths = axes.norm(dim=1)
    torch.testing.assert_close(
        lengths, torch.tensor([0.2175, 0.0188, 0.0045]).double(), rtol=1e-3, atol=0
    )
    cosines = (axes @ axes.T) / lengths.outer(lengths)
    torch.testing.assert_close(cosines, torch.eye(3).double(), rtol=0, atol=2e-3)


def test_crops_for_evaluation_are_the_central_ones_of_the_same_size():
    assert Crops().evaluation() == Crops.central(224, 256)
    assert Crops.central().evaluation().sides == (256, 256) == Crops.central().sides
    assert Crops(128, area=(0.08, 1.0), colour="pca").evaluation() == Crops.central(128, 146)
    assert Crops(224, (256, 480)).evaluation() == Crops.central(224, 368)


@pytest.mark.parametrize(
    "crops",
    [
        Crops(),
        Crops(32, (40, 64), flip=False, colour="jitter"),
        Crops(32, area=(0.08, 1.0), ratio=(0.5, 2.0), colour="pca", axes=IMAGENET_AXES),
        Crops.central(32, 40),
    ],
)
def test_crops_survive_json(crops):
    assert Crops(**json.loads(json.dumps(dataclasses.asdict(crops)))) == crops


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"size": 1.5}, TypeError, "size must be a whole number"),
        ({"resize": 200}, ValueError, "resize must be at least 224"),
        ({"resize": (256, 250)}, ValueError, "low to high"),
        ({"resize": (256, 300, 400)}, ValueError, "one length or two"),
        ({"resize": (256.0, 300)}, TypeError, "resize must be a whole number"),
        ({"area": 0.5}, TypeError, "area must be two numbers"),
        ({"area": (0.0, 1.0)}, ValueError, "area goes from low to high, above 0 and at most 1"),
        ({"area": (0.5, 1.5)}, ValueError, "at most 1"),
        ({"area": ("a", 1)}, TypeError, "area must be two numbers"),
        ({"ratio": (2.0, 1.0)}, ValueError, "ratio goes from low to high"),
        ({"ratio": (1.0, float("inf"))}, ValueError, "ratio goes"),
        ({"flip": 1}, TypeError, "flip must be True or False"),
        ({"colour": "red"}, ValueError, 'colour must be None, "pca" or "jitter"'),
        ({"axes": ((1, 2), (3, 4))}, ValueError, "three rows of three"),
        ({"centre": True}, ValueError, r"use Crops\.central"),
    ],
)
def test_crops_refuse_what_they_cannot_do(arguments, error, message):
    with pytest.raises(error, match=message):
        Crops(**arguments)


# The same images, whatever does the work


def test_what_is_random_depends_on_the_salt_and_the_image_alone(train):
    images, labels = everything(train, 4, salt=3)
    assert equal(everything(train, 4, salt=3), (images, labels))
    others = everything(train, 4, salt=4)[0]
    assert (images != others).flatten(1).any(1).float().mean() > 0.8
    order = torch.tensor([11, 2, 2, 7])
    some, answers = everything(train, 3, order=order, salt=3)
    assert torch.equal(some, images[order]) and torch.equal(answers, labels[order])


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batch_size=st.integers(1, 20), salt=st.integers(-(2**40), 2**40))
def test_batches_of_any_size_hold_the_same_images(train, batch_size, salt):
    expected = everything(train, 16, salt=salt)
    assert equal(everything(train, batch_size, salt=salt), expected)
    lengths = [len(images) for images, _ in batches(train, batch_size, salt=salt)]
    assert lengths == [min(batch_size, 16 - k) for k in range(0, 16, batch_size)]


def test_workers_change_nothing(train):
    busy = Augmentation(shift=2, flip=True, cutout=5, mixup=0.3)
    crops = Crops(16, area=(0.2, 1.0), colour="jitter")
    for count in (1, 2):
        stream = with_workers(train.with_crops(crops), count)
        for options in (
            {"salt": 5},
            {"salt": 5, "generator": seeded()},
            {"salt": 6, "generator": seeded(), "augment": busy},
        ):
            again = {**options, "generator": seeded() if "generator" in options else None}
            alone = everything(train.with_crops(crops), 3, **again)
            assert equal(everything(stream, 3, **options), alone)


@pytest.mark.parametrize(
    "augment", [None, Augmentation(shift=2, flip=True, cutout=5), Augmentation(mixup=0.4)]
)
@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_of_several_processes_together_are_what_one_sees(train, augment, processes):
    def run(share=slice(None)):
        return list(batches(train, 5, generator=seeded(), augment=augment, share=share, salt=2))

    shares = [run(slice(rank, None, processes)) for rank in range(processes)]
    for step, whole in enumerate(run()):
        for part in (0, 1):
            together = torch.empty_like(whole[part])
            for rank in range(processes):
                together[rank::processes] = shares[rank][step][part]
            assert torch.equal(together, whole[part])


def test_a_process_decodes_its_share_and_with_mixup_the_partners(train, monkeypatch):
    read = []
    original = type(train.files).read
    monkeypatch.setattr(
        type(train.files), "read", lambda self, index: read.append(index) or original(self, index)
    )
    share = slice(1, None, 2)
    list(batches(train, 4, share=share))
    assert read == list(range(1, 16, 2))
    read.clear()
    list(batches(train, 16, share=share, generator=seeded(), augment=Augmentation(mixup=0.4)))
    assert 8 <= len(read) == len(set(read)) < 16


def test_a_share_may_be_empty(train):
    for count in (0, 2):
        found = list(batches(with_workers(train, count), 5, share=slice(1, None, 2)))
        assert [len(labels) for _, labels in found] == [2, 2, 2, 0]
        assert found[-1][0].shape == (0, 3, 16, 16) and found[-1][1].dtype == torch.int64
    augment = Augmentation(shift=1, flip=True, mixup=0.4)
    found = list(batches(train, 5, share=slice(1, None, 2), generator=seeded(), augment=augment))
    assert found[-1][0].shape == (0, 3, 16, 16) and found[-1][1].shape == (0, 3)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("share", [slice(None), slice(0, None, 2)])
def test_with_each_batch_the_generator_is_where_it_would_be_without_reading_ahead(
    train, workers, share
):
    augment = Augmentation(shift=2, flip=True, mixup=0.4)
    memory = ImageSet("m", torch.zeros(16, 3, 16, 16), torch.zeros(16).long(), train.classes)
    one, other = seeded(), seeded()
    stream = batches(with_workers(train, workers), 3, generator=one, augment=augment, share=share)
    for _ in batches(memory, 3, generator=other, augment=augment, share=share):
        next(stream)
        assert torch.equal(one.get_state(), other.get_state())
    assert next(stream, None) is None
    assert torch.equal(one.get_state(), other.get_state())


def test_a_pass_can_be_taken_up_where_it_was_broken_off(train):
    stream, augment = with_workers(train, 2), Augmentation(shift=2, flip=True)
    generator = seeded(4)
    order = stream.order(generator)
    options = {"augment": augment, "salt": 9}
    first = batches(stream, 3, order=order, generator=generator, **options)
    for _ in range(2):
        next(first)
    saved = generator.get_state()
    rest = list(first)
    generator = seeded()
    generator.set_state(saved)
    again = list(batches(train, 3, order=order[6:], generator=generator, **options))
    assert len(rest) == len(again) == 4
    assert all(equal(a, b) for a, b in zip(rest, again, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_random_state_is_left_alone(train, workers):
    before = torch.get_rng_state()
    everything(with_workers(train.with_crops(Crops(16, colour="jitter")), workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_of_images_and_passes_are_all_different():
    seeds = {seed_of(salt, index) % 2**32 for salt in range(-3, 30) for index in range(300)}
    assert len(seeds) == 33 * 300  # no accident among 9,900 of 4 billion


# Numbers


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-6), (torch.float64, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)],
)
def test_bytes_become_numbers_minus_mean_divided_by_std(train, dtype, tolerance):
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    stream = train.with_crops(Crops.central(16, 20)).normalized(mean, std).to(dtype=dtype)
    images, _ = everything(stream)
    assert images.dtype == stream.dtype == dtype and train.dtype == torch.float32
    cut = Crops.central(16, 20).transforms()
    for index, image in enumerate(images):
        squares = cut(decode(train.files.read(index), "x")).double() / 255
        expected = (squares - torch.tensor(mean).double().view(3, 1, 1)) / torch.tensor(
            std
        ).double().view(3, 1, 1)
        torch.testing.assert_close(image.double(), expected, rtol=0, atol=4 * tolerance)


def test_statistics_are_those_of_the_pixels(train):
    central = train.with_crops(Crops.central(16, 20))
    found = central.statistics()
    images, _ = everything(central.normalized((0, 0, 0), (1, 1, 1)).to(dtype=torch.float64))
    colours = images.movedim(1, 0).flatten(1)
    torch.testing.assert_close(
        torch.tensor(found.mean).double(), colours.mean(1), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        torch.tensor(found.std).double(), colours.std(1, correction=0), rtol=0, atol=1e-5
    )
    axes = torch.tensor(found.axes, dtype=torch.float64)
    covariance = colours.cov(correction=0)
    torch.testing.assert_close(axes.T @ axes, covariance, rtol=0, atol=1e-6)
    lengths = axes.norm(dim=1).tolist()
    assert lengths == sorted(lengths, reverse=True)
    assert train.with_crops(Crops(16, colour="pca", axes=found.axes)).crops.axes == found.axes
    assert len(set(map(str, (train.statistics(5), train.statistics(5, seed=1), found)))) == 3
    with pytest.raises(ValueError, match="images must be at least 1"):
        train.statistics(0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"crops": 224}, TypeError, r"crops must be a cnnlib\.augment\.Crops"),
        ({"workers": -1}, ValueError, "workers must be at least 0"),
        ({"workers": 1.5}, TypeError, "workers must be a whole number"),
        ({"dtype": torch.uint8}, ValueError, r"floating point images.*torch\.uint8"),
        ({"mean": (0.5, 0.5)}, ValueError, "mean must be three finite numbers"),
        ({"std": (0.5, 0.5, float("nan"))}, ValueError, "std must be three finite numbers"),
        ({"std": (0.5, 0.5, 0.0)}, ValueError, "std must be above 0"),
        ({"classes": ("ant", "bee")}, ValueError, r"labels must lie in 0\.\.1.*got 0\.\.2"),
    ],
)
def test_a_stream_refuses_what_does_not_fit(train, change, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(train, **change)


def test_moving_a_stream_leaves_the_old_one_as_it_is(train):
    moved = train.to("meta", torch.float64)
    assert (moved.device.type, moved.dtype) == ("meta", torch.float64)
    assert (train.device.type, train.dtype) == ("cpu", torch.float32)
    images, labels = next(batches(moved, 4))
    assert images.device.type == labels.device.type == "meta"
    assert images.shape == (4, 3, 16, 16) and moved.files is train.files


# Workers


def pids() -> set[int]:
    return {child.pid for child in multiprocessing.active_children()}


def test_workers_are_kept_for_the_next_pass_and_end_with_the_stream(train):
    stream = with_workers(train, 2)
    everything(stream)
    first = pids()
    assert len(first) == 2
    everything(stream, generator=seeded())
    assert pids() == first
    copy = stream.to(dtype=torch.float64)
    assert pids() == first
    del stream
    assert pids() == set() and len(copy) == 16


def test_workers_end_when_a_pass_is_broken_off(train):
    stream = with_workers(train, 2)
    for _ in batches(stream, 2):
        assert len(pids()) == 2
        break
    gc.collect()
    assert pids() == set()
    unfinished = batches(stream, 2)
    next(unfinished)
    unfinished.close()
    assert pids() == set()
    assert everything(stream)[0].shape == (16, 3, 16, 16)  # and the stream still works


def test_two_passes_over_one_stream_at_the_same_time_do_not_disturb_each_other(train):
    stream = with_workers(train, 1)
    expected = list(batches(train, 3))
    one, other = batches(stream, 3), batches(stream, 3)
    for whole in expected:
        assert equal(next(one), whole) and equal(next(other), whole)
    assert next(one, None) is None and next(other, None) is None
    assert len(pids()) == 1


def test_no_more_workers_are_started_than_there_are_batches(train):
    stream = with_workers(train, 2)
    everything(stream, 16)
    assert len(pids()) == 1


def test_the_number_of_workers_follows_the_cores(train, monkeypatch):
    def count(cores, device="cuda", images=5000, processes=None):
        files = dataclasses.replace(train.files, labels=np.zeros(images, dtype=np.int64))
        stream = dataclasses.replace(train, files=files, workers=None, device=torch.device(device))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
        if processes:
            monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        return stream._worker_count()

    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert [count(cores) for cores in (1, 2, 6, 64)] == [1, 2, 6, 8]
    assert [count(cores, "cpu") for cores in (1, 2, 6, 64)] == [0, 0, 6, 8]
    assert count(64, images=999) == 0
    assert count(16, processes=4) == 4
    assert count(2, processes=4) == 1


def test_a_stream_can_be_sent_to_another_process(train):
    stream = with_workers(train, 1)
    everything(stream)
    sent = pickle.loads(pickle.dumps(stream))
    assert equal(everything(with_workers(sent, 0)), everything(train))


@pytest.mark.slow
def test_workers_may_be_spawned_as_on_macos_and_windows(train, monkeypatch):
    original = workers._loader
    monkeypatch.setattr(workers, "_loader", lambda *args: original(*args, context="spawn"))
    assert equal(everything(with_workers(train, 1)), everything(train))


CHILD = """
import signal, sys, time
import torch
from cnnlib.augment import Crops
from cnnlib.data import batches
from cnnlib.streams import image_folder

def main(path, how):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stopped = []
    if how == "asks":  # as a training loop that wants to save first
        signal.signal(signal.SIGINT, lambda *_: stopped.append(1))
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    stream = image_folder(path, crops=Crops(16, 20), workers=2)
    passes = 0
    while True:
        for images, labels in batches(stream, 2, salt=passes):
            print("batch", flush=True)
            time.sleep(0.01)
            if how == "raises":
                raise RuntimeError("out of steps")
        passes += 1
        if stopped:
            print("in order", flush=True)
            return
        if how == "ends":
            keep.append(stream)
            return

keep = []
main(*sys.argv[1:])
"""


@contextlib.contextmanager
def child(tree: Path, how: str):
    """A process group of a program with two workers; ends when the block does."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tree), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def nobody_left(group: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


posix = pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")


@posix
@pytest.mark.parametrize(
    ("how", "sent", "code", "said"),
    [
        pytest.param("goes on", signal.SIGINT, None, "KeyboardInterrupt", marks=pytest.mark.slow),
        ("asks", signal.SIGINT, 0, ""),
        pytest.param("asks", signal.SIGTERM, 0, "", marks=pytest.mark.slow),
        pytest.param("raises", None, 1, "out of steps", marks=pytest.mark.slow),
        pytest.param("ends", None, 0, "", marks=pytest.mark.slow),
    ],
)
def test_a_program_ends_without_leaving_workers_or_noise(tree, how, sent, code, said):
    with child(tree, how) as process:
        assert process.stdout.readline() == "batch\n"
        if sent is not None:  # the first batch is the first worker's; wait until both are at work
            assert [process.stdout.readline() for _ in range(2)] == 2 * ["batch\n"]
        started = time.monotonic()
        if sent is not None:
            os.killpg(process.pid, sent)  # to all of them, as a terminal and a cluster do
        output, errors = process.communicate(timeout=60)
        assert time.monotonic() - started < 20
        assert code is None or process.returncode == code, errors
        assert ("in order" in output) == (how == "asks")
        assert said in errors and "worker" not in errors.lower().replace("_workers", "")
        assert nobody_left(process.pid, 10)


@posix
@pytest.mark.slow
def test_workers_notice_that_their_program_was_killed(tree):
    with child(tree, "goes on") as process:
        assert process.stdout.readline() == "batch\n"
        process.kill()
        process.wait(10)
        assert nobody_left(process.pid, 30)


def test_torchvision_and_pillow_are_imported_only_when_needed(tree):
    code = (
        "import sys, cnnlib.streams as s; "
        f"s.image_folder({str(tree)!r}); "
        "print([m for m in ('torchvision', 'PIL', 'webdataset') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_torchvision_the_error_names_what_to_install(train, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.transforms", None)
    with pytest.raises(ImportError, match='extra "download" of cnnlib'):
        next(batches(train, 4))


# Shards


@pytest.fixture(scope="module")
def packed(tree, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "animals"
    write_shards(image_folder(tree), folder, per_shard=3)
    return folder


def test_shards_hold_the_same_images_labels_and_classes_as_the_folder(tree, packed):
    stream = shards(packed, crops=Crops.central(16, 20), workers=0)
    assert isinstance(stream, Images)
    assert sorted(path.name for path in packed.glob("*.tar")) == [f"{n:06}.tar" for n in range(6)]
    assert (stream.name, stream.classes, stream.counts()) == (
        "animals",
        ("ant", "bee", "cow"),
        PER_CLASS,
    )
    folder = image_folder(tree, crops=Crops.central(16, 20), workers=0)
    order = torch.randperm(16, generator=seeded())  # that of write_shards
    assert equal(everything(stream), everything(folder, order=order))
    assert equal(everything(with_workers(stream, 2), 3), everything(folder, order=order))


def test_the_same_data_give_the_same_bytes(tree, packed, tmp_path):
    again = write_shards(image_folder(tree), tmp_path / "again", per_shard=3)
    for path in again:
        assert path.read_bytes() == (packed / path.name).read_bytes()
    assert shards(tmp_path / "again").fingerprint() == shards(packed).fingerprint()
    other = write_shards(image_folder(tree), tmp_path / "other", per_shard=3, seed=1)
    assert other[0].read_bytes() != again[0].read_bytes()
    assert shards(tmp_path / "other").fingerprint() != shards(packed).fingerprint()


@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_memory_become_shards_without_loss(tmp_path, channels):
    pixels = torch.randint(256, (5, channels, 6, 6), generator=seeded()).byte()
    memory = ImageSet("m", pixels, torch.tensor([0, 1, 2, 1, 0]), ("a", "b", "c"))
    write_shards(memory, tmp_path / "m", per_shard=2, seed=None)
    stream = shards(tmp_path / "m", crops=Crops.central(6, 6)).normalized((0, 0, 0), (1, 1, 1))
    images, labels = everything(stream)
    assert torch.equal((images * 255).round().byte(), pixels.expand(-1, 3, -1, -1))
    assert labels.tolist() == [0, 1, 2, 1, 0]


def test_shards_of_the_webdataset_package_are_read(tmp_path, tree):
    webdataset = pytest.importorskip("webdataset")
    folder = image_folder(tree, crops=Crops.central(16, 20))
    with webdataset.ShardWriter(str(tmp_path / "w-%04d.tar"), maxcount=5, verbose=0) as writer:
        for index in range(len(folder)):
            writer.write(
                {
                    "__key__": f"{index:05}",
                    "jpg": folder.files.read(index),
                    "cls": int(folder.files.labels[index]),
                    "json": {"label": 99, "from": "elsewhere"},  # .cls is the label's own place
                }
            )
    stream = shards(tmp_path / "w-{0000..0003}.tar", crops=folder.crops, classes=folder.classes)
    assert equal(everything(stream), everything(folder))


READER = """
import hashlib, json, sys, webdataset
samples = webdataset.WebDataset(sys.argv[1:], shardshuffle=False)
print(json.dumps([[hashlib.sha256(s["jpeg"]).hexdigest(), int(s["cls"])] for s in samples]))
"""


def test_the_webdataset_package_reads_our_shards(packed):
    pytest.importorskip("webdataset")
    paths = sorted(map(str, packed.glob("*.tar")))
    done = subprocess.run(  # apart from the tests, as it leaves its files open
        [sys.executable, "-c", READER, *paths], capture_output=True, text=True, check=True
    )
    ours = shards(packed).files
    assert json.loads(done.stdout) == [
        [hashlib.sha256(ours.read(n)).hexdigest(), int(ours.labels[n])] for n in range(16)
    ]


def pack(path: Path, members: dict[str, bytes], mode="w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


JPEG = encoded(picture(0, 30, 30))


def test_labels_come_from_numbers_names_or_json(tmp_path):
    path = pack(
        tmp_path / "x.tar",
        {
            "a/001.cls": b"2\n",
            "a/001.jpg": JPEG,
            "a/002.seg.png": b"another picture of the sample",
            "a/002.PNG": encoded(picture(1, 20, 20), "PNG"),
            "a/002.json": b'{"label": 1}',
            "a/003.jpg": JPEG,
            "a/003.json": b'{"cls": 0}',
            "b/003.jpg": JPEG,
            "b/003.cls": b"bee",
            "b/003.txt": b"a caption",
            "notes": b"no sample",
        },
    )
    stream = shards(path, classes=("ant", "bee", "cow"))
    assert stream.files.labels.tolist() == [2, 1, 0, 1]
    assert stream.files.name(1) == f"{path}: a/002.PNG"
    with pytest.raises(ValueError, match="label 'bee' of b/003.jpg is not a number from 0"):
        shards(path)
    with pytest.raises(ValueError, match=r"label '2' of a/001.jpg is not 0\.\.1 or a name"):
        shards(path, classes=("ant", "bee"))
    assert shards(pack(tmp_path / "y.tar", {"1.jpg": JPEG, "1.cls": b"3"})).classes == (*"0123",)


def test_shards_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no shards"):
        shards(tmp_path)
    with pytest.raises(FileNotFoundError, match="x-1.tar"):
        shards(tmp_path / "x-{1..3}.tar")
    with pytest.raises(ValueError, match="at least one path"):
        shards([])
    members = {"1.jpg": JPEG, "1.cls": b"0", "2.jpg": JPEG, "2.cls": b"0"}
    whole = pack(tmp_path / "whole.tar", members).read_bytes()
    for name, data, why in [
        ("text.tar", b"this is no archive" * 100, "uncompressed tar file"),
        ("cut.tar", whole[: len(JPEG) // 2], "cut.tar"),
        ("cut2.tar", whole[: 512 + 2 * len(JPEG)], "cut2.tar"),
        ("empty.tar", bytes(10240), "no images in"),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(OSError, match=why):
            shards(tmp_path / name)
        assert not (tmp_path / f"{name}.index.npz").exists() or name == "empty.tar"
    packed = pack(tmp_path / "small.tar", members, "w:gz")
    with pytest.raises(OSError, match="unpack it to .tar"):
        shards(packed)
    unlabelled = pack(tmp_path / "no.tar", {"1.jpg": JPEG, "2.jpg": JPEG, "2.cls": b"0"})
    with pytest.raises(ValueError, match=r"without a label .*: 1\.jpg"):
        shards(unlabelled)
    twice = pack(tmp_path / "twice.tar", {"1.jpg": JPEG, "1.png": JPEG, "1.cls": b"0"})
    with pytest.raises(OSError, match="two images 1"):
        shards(twice)
    (tmp_path / "classes.json").write_text("{}")
    with pytest.raises(OSError, match="classes.json should hold a list of names"):
        shards(tmp_path / "whole.tar")
    (tmp_path / "classes.json").write_text("[")
    with pytest.raises(OSError, match="classes.json is damaged"):
        shards(tmp_path / "whole.tar")


def test_a_damaged_image_in_a_shard_is_named_with_its_shard(tmp_path):
    path = pack(tmp_path / "x.tar", {"1.jpg": JPEG, "1.cls": b"0", "2.jpg": b"?", "2.cls": b"0"})
    stream = shards(path, crops=SMALL)
    with pytest.raises(OSError, match=r"x\.tar: 2\.jpg is damaged"):
        everything(stream)


def test_headers_are_read_once_and_again_when_the_shard_changes(tmp_path, monkeypatch):
    members = {"1.jpg": JPEG, "1.cls": b"0"}
    path = pack(tmp_path / "x.tar", members)
    read = []
    original = archives._read_headers
    monkeypatch.setattr(
        archives, "_read_headers", lambda *args: read.append(args[0]) or original(*args)
    )
    assert len(shards(path)) == len(shards(path)) == 1
    assert read == [path] and (tmp_path / "x.tar.index.npz").exists()
    pack(path, members | {"2.jpg": JPEG, "2.cls": b"1"})
    assert len(shards(path)) == 2 and len(read) == 2
    (tmp_path / "x.tar.index.npz").write_bytes(b"damaged")
    assert len(shards(path)) == 2 and len(read) == 3


def test_a_folder_that_cannot_be_written_only_costs_the_index(tmp_path, monkeypatch):
    path = pack(tmp_path / "x.tar", {"1.jpg": JPEG, "1.cls": b"0"})

    def refuse(*args, **options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(fetch, "write", refuse)
    assert len(shards(path)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["x.tar"]


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    together=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_a_pass_goes_through_a_few_shards_at_a_time_and_has_each_image_once(
    lengths, together, seed
):
    shard = np.repeat(np.arange(len(lengths)), lengths)
    none = np.zeros(len(shard), dtype=np.int64)
    paths = tuple(map(str, range(len(lengths))))
    files = archives._Shards(paths, shard, none, none, none.astype("S"), none, together)
    order = files.order(seeded(seed))
    assert order.dtype == torch.int64 and order.sort().values.tolist() == list(range(len(shard)))
    groups = [set()]
    for one in shard[order.numpy()].tolist():  # a new group begins only when a new shard does
        if one not in groups[-1] and len(groups[-1]) == together:
            groups.append(set())
        groups[-1].add(one)
    assert len(groups) == -(-len(lengths) // together)
    assert sum(map(len, groups)) == len(lengths)  # none comes back in a later group
    assert torch.equal(files.order(seeded(seed)), order)


def test_few_files_are_kept_open(packed, monkeypatch):
    monkeypatch.setattr(archives, "OPEN_SHARDS", 2)
    stream = shards(packed)
    for index in [0, 15, 7, 3, 0, 12]:
        assert stream.files.read(index)[:2] == b"\xff\xd8"
        assert len(stream.files._open.files) <= 2


def test_nothing_is_left_of_shards_that_could_not_be_written(own_tree, tmp_path):
    stream = image_folder(own_tree)
    (own_tree / "train" / "cow" / "6.jpeg").unlink()
    with pytest.raises(FileNotFoundError, match=r"cow/6\.jpeg"):
        write_shards(stream, tmp_path / "out", per_shard=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals"]
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        write_shards(stream, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        write_shards(stream, tmp_path / "far" / "out")


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("images", TypeError, "must be a Stream or an ImageSet, got str"),
        (torch.zeros(0, 1, 2, 2).byte(), ValueError, "has no images"),
        (torch.zeros(1, 1, 2, 2), ValueError, "images of bytes .* got torch.float32"),
        (torch.zeros(1, 2, 2, 2).byte(), ValueError, "with 1 or 3 channels"),
    ],
)
def test_only_bytes_with_one_or_three_channels_are_written(tmp_path, data, error, message):
    if isinstance(data, torch.Tensor):
        data = ImageSet("m", data, torch.zeros(len(data)).long(), ("a",))
    with pytest.raises(error, match=message):
        write_shards(data, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# Imagenette


@pytest.fixture
def archive(tmp_path, monkeypatch) -> fetch.File:
    """An archive like Imagenette's in the cache, with little images."""
    members = {
        f"imagenette2-160/{split}/{kind}/{n}.JPEG": encoded(picture(n, 200, 160))
        for split in ("train", "val")
        for kind in folders.IMAGENETTE_CLASSES
        for n in range(2)
    }
    folder = tmp_path / "imagenette"
    folder.mkdir()
    path = pack(folder / "imagenette2-160.tgz", members, "w:gz")
    data = path.read_bytes()
    file = fetch.File(path.name, len(data), hashlib.sha256(data).hexdigest())
    monkeypatch.setitem(folders.IMAGENETTE, 160, file)
    return file


def test_imagenette_is_unpacked_once_and_its_classes_have_names(archive, tmp_path):
    train = imagenette(size=160, cache=tmp_path)
    assert len(train) == 20 and train.classes[0] == "tench" and train.classes[-1] == "parachute"
    assert (train.name, train.crops) == ("imagenette", Crops(128, 160))
    (tmp_path / "imagenette" / archive.name).unlink()  # no longer needed
    test = imagenette("test", size=160, cache=tmp_path)
    assert test.crops == Crops.central(128, 160)
    images, labels = everything(test, 8)
    assert images.shape == (20, 3, 128, 128) and labels.tolist() == [k // 2 for k in range(20)]
    assert {path.name for path in (tmp_path / "imagenette").iterdir()} == {
        "imagenette2-160",
        "imagenette2-160.lock",
    }


def test_imagenette_refuses_sizes_and_splits_that_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match="size must be 160, 320, or None"):
        imagenette(size=224, cache=tmp_path)
    with pytest.raises(ValueError, match="split must be 'train' or 'test', got 'val'"):
        imagenette("val", cache=tmp_path)


def test_the_archives_are_those_that_torchvision_lists():
    from torchvision.datasets import Imagenette

    listed = {url.rpartition("/")[2]: url for url, _ in Imagenette._ARCHIVES.values()}
    for file in folders.IMAGENETTE.values():
        assert listed.pop(file.name) == folders.IMAGENETTE_HOST + file.name
        assert len(file.sha256) == 64
    assert not listed
    names = {kind: words[0] for kind, words in Imagenette._WNID_TO_CLASS.items()}
    assert names == folders.IMAGENETTE_CLASSES


@pytest.mark.network
@pytest.mark.slow
def test_imagenette_can_be_fetched(tmp_path):
    assert len(imagenette(size=160, cache=tmp_path)) == 9469
    assert len(imagenette("test", size=160, cache=tmp_path)) == 3925


@pytest.mark.gpu
def test_batches_reach_the_gpu_from_pinned_memory_and_are_those_of_the_cpu(train):
    stream = with_workers(train, 2).to("cuda")
    augment = Augmentation(shift=2, flip=True, mixup=0.3)
    options = {"augment": augment, "salt": 1}
    expected = list(batches(train, 3, generator=seeded(), **options))
    for ours, theirs in zip(
        batches(stream, 3, generator=seeded(), **options), expected, strict=True
    ):
        assert ours[0].device.type == ours[1].device.type == "cuda"
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a.cpu(), b, rtol=1e-5, atol=1e-5)
