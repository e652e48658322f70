import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlib import data as data_module
from cnnlib.augment import Augmentation, Canvas
from cnnlib.data import ImageSet, batches, load

CLASSES = ("a", "b", "c")


def make(labels, channels=1, height=4, width=5, dtype=torch.uint8, **options) -> ImageSet:
    """A set of images whose neighbouring pixels all differ from one another, and from 0."""
    size = (len(labels), channels, height, width)
    images = torch.arange(1, 1 + math.prod(size)).reshape(size)
    if dtype == torch.uint8:
        images = images.remainder(255) + 1
    return ImageSet("tiny", images.to(dtype), torch.tensor(labels).long(), CLASSES, **options)


def each_its_own(n, dtype=torch.float64) -> ImageSet:
    """As many classes as images. Image i has n channels, all 0 but channel i, which is 1.

    What is true of its label is thus true of its pixels: mixed alike, they stay equal.
    """
    images = torch.eye(n, dtype=dtype).view(n, n, 1, 1).expand(-1, -1, 2, 2).contiguous()
    return ImageSet("own", images, torch.arange(n), tuple(map(str, range(n))))


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


sizes = st.integers(3, 6)
dtypes = st.sampled_from([torch.uint8, torch.float32, torch.float64, torch.bfloat16])


@pytest.fixture(params=[True, False], ids=["canvas", "no canvas"])
def with_canvas(request, monkeypatch):
    """Both ways of shifting and mirroring a set in memory."""
    if not request.param:
        monkeypatch.setattr(data_module, "LARGEST_CANVAS", 0)


# Shift and flip


def moved(image, down, right, mirror, background):
    """One image (C, H, W), shifted after being mirrored, pixel by pixel."""
    channels, height, width = image.shape
    result = torch.empty_like(image)
    for c in range(channels):
        for y in range(height):
            for x in range(width):
                row, column = y - down, x - right
                if mirror:
                    column = width - 1 - column
                inside = 0 <= row < height and 0 <= width - 1 - column < width
                result[c, y, x] = image[c, row, column] if inside else background[c]
    return result


def how_it_moved(before, after, shift, background):
    """All (down, right, mirror) that turn one image into the other."""
    reach = range(-shift, shift + 1)
    ways = [(down, right, mirror) for down in reach for right in reach for mirror in (False, True)]
    return [way for way in ways if torch.equal(moved(before, *way, background), after)]


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(3, 6),
    width=st.integers(3, 6),
    channels=st.sampled_from([1, 3]),
    shift=st.integers(0, 2),
    flip=st.booleans(),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float64]),
    seed=st.integers(0, 2**32),
)
def test_each_image_is_a_shifted_copy_on_background_mirrored_only_where_asked(
    height, width, channels, shift, flip, dtype, seed
):
    images = make([0, 1, 2], channels, height, width, dtype).images
    background = tuple(float(200 + c) for c in range(channels))
    after = Augmentation(shift, flip)(images, background=background, generator=seeded(seed))
    assert (after.shape, after.dtype) == (images.shape, dtype)
    assert after.data_ptr() != images.data_ptr()
    for old, new in zip(images, after, strict=True):
        ways = how_it_moved(old, new, shift, background)
        assert ways
        if not flip:
            assert not all(mirror for _, _, mirror in ways)


def test_images_of_one_batch_get_different_draws_and_all_draws_are_equally_likely():
    one = make([0], height=6, width=6, dtype=torch.float32).images
    n, kinds = 5000, 50  # 5 x 5 shifts, mirrored or not
    after = Augmentation(shift=2, flip=True)(one.expand(n, -1, -1, -1), generator=seeded())
    different, counts = after.flatten(1).unique(dim=0, return_counts=True)
    assert len(different) == kinds
    for image in different:
        assert len(how_it_moved(one[0], image.view(1, 6, 6), 2, (0.0,))) == 1
    # 100 of each expected; chi-square with 49 degrees of freedom exceeds 94 once in 10,000 times
    expected = n / kinds
    assert ((counts - expected) ** 2 / expected).sum() < 94


def test_the_generator_alone_decides():
    images = make([0, 1, 2] * 10).images
    augment = Augmentation(shift=1, flip=True)
    first = augment(images, generator=seeded(1))
    torch.manual_seed(5)
    assert torch.equal(augment(images, generator=seeded(1)), first)
    assert not torch.equal(augment(images, generator=seeded(2)), first)
    state = torch.get_rng_state()
    augment(images, generator=seeded(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_switching_the_flip_on_keeps_the_shifts():
    images = make([0, 1, 2] * 5, height=6, width=6, dtype=torch.float32).images
    plain = Augmentation(shift=2)(images, generator=seeded(3))
    both = Augmentation(shift=2, flip=True)(images, generator=seeded(3))
    mirrored = [torch.equal(new, old.flip(2)) for old, new in zip(plain, both, strict=True)]
    same = [torch.equal(new, old) for old, new in zip(plain, both, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert any(mirrored) and any(same)


def test_augmentation_works_without_values_and_with_no_images():
    empty = Augmentation(2, True)(torch.zeros(0, 1, 5, 5), generator=seeded())
    assert empty.shape == (0, 1, 5, 5)
    meta = Augmentation(2, True)(torch.zeros(4, 3, 5, 5, device="meta"), generator=seeded())
    assert (meta.shape, meta.device.type) == ((4, 3, 5, 5), "meta")


@pytest.mark.gpu
def test_a_generator_on_the_cpu_gives_the_same_batches_on_the_gpu():
    here = load("fashion_6k").rescaled(-1, 1)
    augment = Augmentation(shift=2, flip=True)
    pairs = zip(
        batches(here, 64, generator=seeded(), augment=augment),
        batches(here.to("cuda"), 64, generator=seeded(), augment=augment),
        strict=True,
    )
    for (images, labels), (images_gpu, labels_gpu) in pairs:
        assert images_gpu.is_cuda and labels_gpu.is_cuda
        assert torch.equal(images, images_gpu.cpu()) and torch.equal(labels, labels_gpu.cpu())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shift": -1}, ValueError, "shift must be at least 0, got -1"),
        ({"shift": 1.5}, TypeError, "shift must be a whole number, got 1.5"),
        ({"flip": 0.5}, TypeError, "flip must be True or False, got 0.5"),
        ({"cutout": -1}, ValueError, "cutout must be at least 0, got -1"),
        ({"cutout": True}, TypeError, "cutout must be a whole number, got True"),
        ({"mixup": -0.1}, ValueError, "mixup must be 0 for none, or above 0 and finite, got -0.1"),
        ({"mixup": float("nan")}, ValueError, "above 0 and finite, got nan"),
        ({"mixup": float("inf")}, ValueError, "above 0 and finite, got inf"),
        ({"mixup": "0.2"}, TypeError, "mixup must be a number, got '0.2'"),
        ({"mixup": True}, TypeError, "mixup must be a number, got True"),
    ],
)
def test_augmentations_that_make_no_sense_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Augmentation(**arguments)


def test_augmentation_refuses_images_that_do_not_fit():
    with pytest.raises(ValueError, match="4x5 out of sight: shift must be below 4"):
        Augmentation(shift=4)(make([0]).images, generator=seeded())
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        Augmentation()(torch.zeros(4, 5), generator=seeded())
    with pytest.raises(ValueError, match=r"in 0\.\.255, got -0\.1"):
        Augmentation(1)(make([0]).images, background=-0.1, generator=seeded())


# Cutout


@settings(max_examples=60, deadline=None)
@given(
    height=sizes,
    width=sizes,
    channels=st.sampled_from([1, 3]),
    side=st.integers(1, 8),
    dtype=dtypes,
    seed=st.integers(0, 2**32),
)
def test_cutout_paints_one_rectangle_of_at_most_its_side_with_background(
    height, width, channels, side, dtype, seed
):
    images = make([0, 1, 2, 0], channels, height, width, torch.uint8).images.to(dtype)
    images = images.clamp(max=99)
    background = tuple(float(200 + c) for c in range(channels))  # exact in bfloat16, too
    after = Augmentation(cutout=side)(images, background=background, generator=seeded(seed))
    assert (after.shape, after.dtype) == (images.shape, dtype)
    painted = after >= 200
    assert torch.equal(after[~painted], images[~painted])
    for c in range(channels):
        assert (after[:, c][painted[:, c]] == 200 + c).all()
        assert torch.equal(painted[:, c], painted[:, 0])
    for square in painted[:, 0]:
        rows, columns = square.any(1).nonzero().flatten(), square.any(0).nonzero().flatten()
        assert 1 <= len(rows) <= side and 1 <= len(columns) <= side
        assert square.sum() == len(rows) * len(columns)  # a full rectangle ...
        for place, length in ((rows, height), (columns, width)):
            first, last = int(place[0]), int(place[-1])
            assert len(place) == last - first + 1  # ... without gaps, ...
            # ... and smaller than the square only where that sticks out
            assert len(place) == side or first == 0 or last == length - 1


def test_each_pixel_is_painted_as_often_as_centres_near_it_allow():
    n, height, width, side = 20_000, 8, 4, 3
    after = Augmentation(cutout=side)(torch.ones(n, 1, height, width), generator=seeded())
    # Of 8 centres 2 cover the first row, 3 the second; of 4, 2 and 3. At the far ends alike.
    rows = torch.tensor([2, 3, 3, 3, 3, 3, 3, 2]) / 8
    columns = torch.tensor([2, 3, 3, 2]) / 4
    expected = rows[:, None] * columns
    found = (after == 0).float().mean((0, 1))
    assert (found - expected).abs().max() < 5 * (0.25 / n) ** 0.5  # five standard deviations
    # A square of even side has no middle pixel: it reaches one further up and to the left.
    after = Augmentation(cutout=2)(torch.ones(n, 1, 4, 4), generator=seeded())
    found = (after == 0).float().mean((0, 1))[:, 3]
    expected = torch.tensor([2, 2, 2, 1]) / 4 * (1 / 4)  # in the last column: centre there only
    assert (found - expected).abs().max() < 5 * (0.25 / n) ** 0.5


def test_a_square_larger_than_the_image_can_cover_it_whole():
    after = Augmentation(cutout=9)(torch.ones(5, 1, 4, 4), background=7.0, generator=seeded())
    assert (after == 7).all()


def test_what_is_painted_over_is_gone_even_if_it_was_not_a_number():
    images = torch.full((5, 1, 4, 4), float("nan"))
    after = Augmentation(cutout=9)(images, generator=seeded())
    assert (after == 0).all()
    kept = Augmentation(shift=1, flip=True)(images, background=1.0, generator=seeded())
    assert kept.isnan().any() and ((kept == 1) | kept.isnan()).all()


# Mixup


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 12),
    alpha=st.floats(0.01, 100),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]),
    seed=st.integers(0, 2**32),
)
def test_labels_are_mixed_exactly_as_the_images_are_and_sum_to_1(n, alpha, dtype, seed):
    ((images, labels),) = batches(
        each_its_own(n, dtype), n, generator=seeded(seed), augment=Augmentation(mixup=alpha)
    )
    assert (labels.shape, labels.dtype, images.dtype) == ((n, n), dtype, dtype)
    assert torch.equal(images, labels[:, :, None, None].expand(-1, -1, 2, 2))
    assert (labels.double().sum(1) == 1).all()
    assert (labels >= 0).all()


def test_the_partners_of_a_batch_are_a_permutation_of_it():
    n = 50
    order = torch.arange(n)
    ((_, labels),) = batches(
        each_its_own(n), n, generator=seeded(), augment=Augmentation(mixup=1.0), order=order
    )
    others = labels - labels.diag().diag()  # the image's own weight taken away
    partners = [row.nonzero().flatten().tolist() for row in others]
    alone = [i for i, found in enumerate(partners) if not found]  # mixed with itself
    assert all(len(found) <= 1 for found in partners)
    assert sorted(alone + [j for found in partners for j in found]) == list(range(n))
    assert 0 <= len(alone) < 8  # 1 on average


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_the_weights_follow_the_beta_distribution_one_for_each_image(alpha):
    stats = pytest.importorskip("scipy.stats")
    n = 4000
    draws = Augmentation(mixup=alpha).draw(n, 1, 1, seeded(1))
    assert draws.weight is not None and draws.weight.dtype == torch.float64
    assert len(draws.weight.unique()) > 0.95 * n  # at alpha 0.2 a few round to exactly 1
    assert stats.kstest(draws.weight.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 0.01
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1))
    assert draws.weight.mean().item() == pytest.approx(0.5, abs=0.03)
    assert draws.weight.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)


def test_weights_of_a_tiny_alpha_are_0_or_1_and_never_half():
    weight = Augmentation(mixup=1e-5).draw(2000, 1, 1, seeded()).weight
    assert weight is not None and ((weight < 1e-6) | (weight > 1 - 1e-6)).all()


def test_mixup_needs_labels_and_pixels_that_can_be_mixed():
    with pytest.raises(ValueError, match="mixup mixes labels too and needs them"):
        Augmentation(mixup=0.2)(torch.zeros(2, 1, 4, 4), generator=seeded())
    tiny = make([0, 1])
    with pytest.raises(
        ValueError, match=r"images of tiny are torch.uint8: .* by \.rescaled\(0, 1\)"
    ):
        batches(tiny, 2, generator=seeded(), augment=Augmentation(mixup=0.2))
    draws = Augmentation(mixup=0.2).draw(2, 4, 5, seeded())
    with pytest.raises(ValueError, match="mixup mixes pixel values, but images are torch.uint8"):
        draws.apply(tiny.images, tiny.labels, classes=3)


# Everything at once: against one image after the other, in shares, on every device

everything = st.builds(
    Augmentation,
    shift=st.integers(0, 2),
    flip=st.booleans(),
    cutout=st.integers(0, 5),
    mixup=st.sampled_from([0.0, 0.4, 2.0]),
)


@settings(max_examples=40, deadline=None)
@given(
    augment=everything,
    n=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 1000),
)
def test_a_batch_is_what_its_draws_say_about_each_image(augment, n, channels, seed):
    tiny = make([i % 3 for i in range(n)], channels, 5, 4, torch.float64)
    background = tuple(-1.0 - c for c in range(channels))
    draws = augment.draw(n, 5, 4, seeded(seed))
    images, labels = draws.apply(tiny.images, tiny.labels, classes=3, background=background)

    expected = []
    for i, image in enumerate(tiny.images):
        down, right = augment.shift - int(draws.down[i]), augment.shift - int(draws.right[i])
        image = moved(image, down, right, augment.flip and bool(draws.mirror[i]), background)
        if draws.row is not None and draws.column is not None:
            top = int(draws.row[i]) - augment.cutout // 2
            left = int(draws.column[i]) - augment.cutout // 2
            for y in range(max(top, 0), min(top + augment.cutout, 5)):
                for x in range(max(left, 0), min(left + augment.cutout, 4)):
                    image[:, y, x] = torch.tensor(background)
        expected.append(image)
    answers = torch.eye(3, dtype=torch.float64)[tiny.labels]
    if draws.weight is None or draws.partner is None:
        assert torch.equal(images, torch.stack(expected)) and torch.equal(labels, tiny.labels)
        return
    for i, (weight, j) in enumerate(zip(draws.weight, draws.partner, strict=True)):
        mixed = weight * expected[i] + (1 - weight) * expected[j]
        torch.testing.assert_close(images[i], mixed)
        torch.testing.assert_close(labels[i], weight * answers[i] + (1 - weight) * answers[j])


@pytest.mark.usefixtures("with_canvas")
@settings(max_examples=60, deadline=None)
@given(
    augment=st.none() | everything,
    n=st.integers(0, 23),
    batch_size=st.integers(1, 10),
    processes=st.integers(1, 5),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
def test_processes_together_see_exactly_what_one_sees(
    augment, n, batch_size, processes, dtype, seed
):
    tiny = make([i % 3 for i in range(n)], 2, 4, 4, dtype, background=(-1.0, -2.0))
    whole_generator = seeded(seed)
    whole = list(batches(tiny, batch_size, generator=whole_generator, augment=augment))
    parts = []
    for rank in range(processes):
        generator = seeded(seed)
        share = slice(rank, None, processes)
        parts.append(
            list(batches(tiny, batch_size, generator=generator, augment=augment, share=share))
        )
        assert torch.equal(generator.get_state(), whole_generator.get_state())
    assert all(len(part) == len(whole) for part in parts)
    for step, (images, labels) in enumerate(whole):
        for rank, part in enumerate(parts):
            mine, answers = part[step]
            assert mine.shape == images[rank::processes].shape  # (0, C, H, W) where none is left
            assert torch.equal(mine, images[rank::processes])
            assert torch.equal(answers, labels[rank::processes])
            assert answers.dtype == labels.dtype


def test_a_share_fetches_only_its_images_and_their_partners():
    draws = Augmentation(shift=1).draw(10, 4, 4, seeded(), slice(1, None, 3))
    assert torch.arange(10)[draws.sources].tolist() == [1, 4, 7]
    assert len(draws.down) == 3
    draws = Augmentation(mixup=1.0).draw(10, 4, 4, seeded(), slice(1, None, 3))
    partner = Augmentation(mixup=1.0).draw(10, 4, 4, seeded()).partner
    assert partner is not None
    assert torch.arange(10)[draws.sources].tolist() == sorted(
        {1, 4, 7, *partner[[1, 4, 7]].tolist()}
    )


@settings(max_examples=30, deadline=None)
@given(augment=everything, dtype=dtypes, seed=st.integers(0, 1000))
def test_a_set_is_augmented_as_its_batches_would_be(augment, dtype, seed):
    # With the canvas, which the second pass finds ready, and without.
    if dtype == torch.uint8:
        augment = Augmentation(augment.shift, augment.flip, augment.cutout)
    tiny = make([i % 3 for i in range(11)], 3, 4, 5, torch.uint8, background=(1.0, 2.0, 3.0))
    tiny = tiny.to(dtype=dtype)
    generator, direct = seeded(seed), seeded(seed)
    for _ in range(2):
        order = tiny.order(direct)
        for number, (images, labels) in enumerate(
            batches(tiny, 4, generator=generator, augment=augment)
        ):
            chosen = order[4 * number : 4 * number + 4]
            expected, answers = augment.draw(len(chosen), 4, 5, direct).apply(
                tiny.images[chosen], tiny.labels[chosen], classes=3, background=(1.0, 2.0, 3.0)
            )
            assert torch.equal(images, expected) and torch.equal(labels, answers)
        assert torch.equal(generator.get_state(), direct.get_state())


def test_cutout_and_mixup_leave_the_other_draws_alone():
    # Results stored by those who drew before there were cutout and mixup must stay what they are:
    # a digest of the first batches of two passes, computed then.
    tiny = make([0, 1, 2] * 7, 3, 6, 6)
    seen = [
        images
        for generator in [seeded(5)]
        for _ in range(2)
        for images, _ in batches(tiny, 8, generator=generator, augment=Augmentation(2, True))
    ]
    weights = torch.arange(1, 1 + 42 * 108).view(42, 108).remainder(1009)
    assert (torch.cat(seen).view(42, 108).long() * weights).sum().item() == 159_958_219
    moves = [
        Augmentation(2, True, cutout, mixup).draw(9, 6, 6, seeded(3))
        for cutout, mixup in [(0, 0.0), (3, 0.0), (0, 0.5), (3, 0.5)]
    ]
    for other in moves[1:]:
        for name in ("down", "right", "mirror"):
            assert torch.equal(getattr(other, name), getattr(moves[0], name))


def test_every_augmentation_works_on_tensors_without_values():
    everywhere = Augmentation(2, True, 3, 0.4)
    meta = make([0, 1, 2] * 3, 3, 6, 6, torch.float32).to("meta")
    for _ in range(2):
        parts = list(batches(meta, 4, generator=seeded(), augment=everywhere))
        assert [tuple(images.shape) for images, _ in parts] == [(n, 3, 6, 6) for n in (4, 4, 1)]
        assert all(i.is_meta and answers.shape == (len(i), 3) for i, answers in parts)


@pytest.mark.gpu
def test_a_generator_on_the_gpu_augments_there():
    tiny = make([0, 1, 2] * 5, 3, 6, 6, torch.float32).to("cuda")
    generator = torch.Generator("cuda").manual_seed(0)
    for images, answers in batches(
        tiny, 4, generator=generator, augment=Augmentation(2, True, 3, 0.4)
    ):
        assert images.is_cuda and answers.is_cuda and images.isfinite().all()
        assert torch.equal(answers.sum(1), torch.ones(len(images), device="cuda"))


# The canvas


def test_the_canvas_of_a_set_is_made_once_and_goes_with_the_set(monkeypatch):
    made = []
    of = Canvas.of
    monkeypatch.setattr(Canvas, "of", lambda *a: made.append(a) or of(*a))
    kept = len(data_module._CANVASES)
    tiny = make([0, 1, 2] * 5)

    def go(data, augment):
        list(batches(data, 4, generator=seeded(), augment=augment))

    go(tiny, Augmentation(1, True))
    go(tiny, Augmentation(1, True))
    go(tiny, Augmentation(1, True, cutout=2))
    assert len(made) == 1
    go(tiny, Augmentation(1))
    assert len(made) == 2
    go(tiny, Augmentation(cutout=2))
    go(tiny, None)
    assert len(made) == 2 and len(data_module._CANVASES) == kept + 1
    made.clear()
    del tiny
    assert len(data_module._CANVASES) == kept


def test_looking_at_one_batch_makes_no_canvas(monkeypatch):
    monkeypatch.setattr(Canvas, "of", lambda *_: pytest.fail("made a canvas"))
    tiny = make([0, 1, 2] * 5)
    next(iter(batches(tiny, 4, generator=seeded(), augment=Augmentation(1, True))))
    list(batches(tiny, 15, generator=seeded(), augment=Augmentation(1, True)))


def test_pixels_changed_in_place_are_seen_in_the_next_pass():
    tiny = make([0, 1, 2] * 5, dtype=torch.float32, background=7.0)
    augment = Augmentation(1, True)
    list(batches(tiny, 4, generator=seeded(), augment=augment))
    tiny.images.fill_(7.0)
    for images, _ in batches(tiny, 4, generator=seeded(), augment=augment):
        assert (images == 7.0).all()


def test_a_set_made_in_inference_mode_can_be_augmented():
    with torch.inference_mode():
        tiny = make([0, 1, 2] * 5)
    usual = make([0, 1, 2] * 5)
    augment = Augmentation(1, True)
    for ours, theirs in zip(
        batches(tiny, 4, generator=seeded(), augment=augment),
        batches(usual, 4, generator=seeded(), augment=augment),
        strict=True,
    ):
        assert torch.equal(ours[0], theirs[0])


def test_the_size_of_a_canvas_is_known_before_it_is_made():
    images = torch.zeros(3, 2, 4, 5)
    for augment, expected in [
        (Augmentation(), 3 * 2 * 4 * 5 * 4),
        (Augmentation(1), 3 * 2 * 6 * 7 * 4),
        (Augmentation(2, True), 2 * 3 * 2 * 8 * 9 * 4),
    ]:
        assert Canvas.bytes(images, augment) == expected
        canvas = Canvas.of(images, augment, 0.0)
        assert canvas.stretches.untyped_storage().nbytes() == expected
