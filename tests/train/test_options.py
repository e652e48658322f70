"""Every option of `fit` beside the plain run: the same numbers, or a difference that is bounded."""

import copy
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.augment import Crops
from cnnlib.data import Augmentation, ImageSet, batches
from cnnlib.models import loss_for
from cnnlib.models.layers import DropPath
from cnnlib.streams import shards, write_shards
from cnnlib.train import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Decay,
    History,
    Linear,
    Plateau,
    Recipe,
    RMSprop,
    Steps,
    TensorFlowRMSprop,
    evaluate,
    fit,
    loop,
)
from cnnlib.train.steps import Stepper
from cnnlib.train.surroundings import accelerator
from tests.models.families import networks, without_chance
from tests.train.learning import by_hand, small_net, stripes, weights

DOUBLE = torch.float64
RECIPE = Recipe(epochs=2, lr=0.05, batch_size=16)  # 50 images: 16 + 16 + 16 + 2
AUGMENTED = replace(RECIPE, augment=Augmentation(shift=1, flip=True, cutout=3, mixup=0.4))


def assert_same(ours: nn.Module, theirs: nn.Module, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=tolerance, atol=tolerance)


def assert_same_rows(ours: History, theirs: History, tolerance: float = 1e-12) -> None:
    for one, other in zip(ours.rows, theirs.rows, strict=True):
        assert one == pytest.approx(other, rel=tolerance)


# Micro-batches


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5, 7, 15, 16, 17, 1000])
def test_micro_batches_of_any_size_give_the_steps_of_whole_batches(micro_batch):
    data = stripes(50, dtype=DOUBLE)
    whole, split = small_net(dtype=DOUBLE), small_net(dtype=DOUBLE)
    recipe = replace(AUGMENTED, clip=0.3, label_smoothing=0.1, ema=0.5)
    expected = fit(whole, data, data, recipe=recipe)
    seen = []
    split[0].register_forward_hook(
        # without gradients, single images are tried out before the first step
        lambda layer, inputs, output: seen.append(len(output)) if output.requires_grad else None
    )
    history = fit(split, data, data, recipe=recipe, micro_batch=micro_batch)
    assert_same(split, whole)
    assert_same_rows(history, expected)
    assert max(seen) == min(micro_batch, 16) and sum(seen) == 2 * 50


# Gradients and labels


def test_gradients_are_clipped_as_torch_does_it_by_hand():
    data = stripes(50, dtype=DOUBLE)
    ours, theirs = small_net(dtype=DOUBLE), small_net(dtype=DOUBLE)
    fit(ours, data, recipe=replace(RECIPE, clip=1.2))
    norms = []
    by_hand(
        theirs,
        data,
        RECIPE,
        before_step=lambda: norms.append(nn.utils.clip_grad_norm_(theirs.parameters(), 1.2)),
    )
    assert min(norms) < 1.2 < max(norms)  # some were shortened, others not
    assert_same(ours, theirs)


@pytest.mark.parametrize("smoothing", [0.1, 0.5])
def test_label_smoothing_is_that_of_torch(smoothing):
    data = stripes(50, dtype=DOUBLE)
    ours, theirs = small_net(dtype=DOUBLE), small_net(dtype=DOUBLE)
    history = fit(ours, data, data, recipe=replace(RECIPE, label_smoothing=smoothing))

    def smoothed(scores, labels):
        return F.cross_entropy(scores, labels, label_smoothing=smoothing)

    losses = by_hand(theirs, data, RECIPE, loss=smoothed)
    assert_same(ours, theirs)
    sizes = [16, 16, 16, 2]
    mean = sum(size * loss for size, loss in zip(sizes, losses[4:], strict=True)) / 50
    assert history.final["train_loss"] == pytest.approx(mean, rel=1e-12)
    # what is measured is measured on the true labels
    assert history.final["test_loss"] == pytest.approx(evaluate(theirs, data)["loss"], rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_mixed_and_painted_images_come_with_their_mixed_and_smoothed_labels(smoothing):
    data = stripes(50, dtype=DOUBLE)
    ours, theirs = small_net(dtype=DOUBLE), small_net(dtype=DOUBLE)
    fit(ours, data, recipe=replace(AUGMENTED, label_smoothing=smoothing), seed=3)
    seen = []

    def soft(scores, labels):
        seen.append(labels)
        return F.cross_entropy(scores, labels, label_smoothing=smoothing)

    by_hand(theirs, data, AUGMENTED, loss=soft, seed=3)
    assert_same(ours, theirs)
    assert all(labels.shape[1] == 3 for labels in seen)
    assert any(((labels > 0) & (labels < 1)).any() for labels in seen)


def test_all_parameters_decay_if_the_recipe_says_so():
    data = stripes(50, dtype=DOUBLE)
    ours, theirs = small_net(dtype=DOUBLE, norm=True), small_net(dtype=DOUBLE, norm=True)
    recipe = replace(RECIPE, weight_decay=0.1, decay_all=True)
    fit(ours, data, recipe=recipe)
    sgd = torch.optim.SGD(theirs.parameters(), 1.0, 0.9, nesterov=True, weight_decay=0.1)
    by_hand(theirs, data, recipe, optimizer=sgd)
    assert_same(ours, theirs)


# The average of the weights


def test_the_averaged_weights_are_those_averaged_by_hand_and_are_measured():
    data, test = stripes(50, dtype=DOUBLE), stripes(31, seed=1, dtype=DOUBLE)
    ours, theirs = (small_net(dtype=DOUBLE, norm=True, dropout=0.0) for _ in range(2))
    history = fit(ours, data, test, recipe=replace(RECIPE, ema=0.8))
    averages, measured = [], []

    def average():
        now = {name: t.clone() for name, t in theirs.state_dict().items()}
        if averages:
            now = {
                name: 0.8 * averages[-1][name] + 0.2 * t if t.is_floating_point() else t
                for name, t in now.items()
            }
        averages.append(now)

    def measure():
        averaged = copy.deepcopy(theirs)
        averaged.load_state_dict(averages[-1])
        measured.append(evaluate(averaged, test))
        return {}

    by_hand(theirs, data, RECIPE, after_step=average, after_epoch=measure)
    assert len(averages) == 8
    for name, tensor in ours.state_dict().items():  # weights, running statistics, counts
        torch.testing.assert_close(tensor, averages[-1][name], rtol=1e-12, atol=1e-12)
    assert (weights(ours) - weights(theirs)).abs().max() > 1e-4
    for row, expected in zip(history.rows, measured, strict=True):
        assert row["test_error"] == expected["error"]
        assert row["test_loss"] == pytest.approx(expected["loss"], rel=1e-12)


def test_the_average_does_not_disturb_the_training():
    data = stripes(50, dtype=DOUBLE)
    rows = [
        fit(small_net(dtype=DOUBLE), data, recipe=replace(RECIPE, ema=ema)).rows
        for ema in (None, 0.9)
    ]
    assert rows[0] == rows[1]


# Optimisers and schedules

OPTIMIZERS = {
    "SGD": (SGD(0.8, nesterov=False), lambda p: torch.optim.SGD(p, 1.0, 0.8)),
    "SGD, Nesterov": (SGD(), lambda p: torch.optim.SGD(p, 1.0, 0.9, nesterov=True)),
    "plain SGD": (SGD(0.0, nesterov=False), lambda p: torch.optim.SGD(p, 1.0)),
    "Adam": (Adam(0.8, 0.9, 1e-7), lambda p: torch.optim.Adam(p, 1.0, (0.8, 0.9), 1e-7)),
    "AdamW": (AdamW(), lambda p: torch.optim.AdamW(p, 1.0, weight_decay=0.0)),
    "RMSprop": (
        RMSprop(0.8, 0.5, 0.1),
        lambda p: TensorFlowRMSprop([{"params": list(p)}], 1.0, 0.8, 0.5, 0.1, initial=1.0),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_takes_its_steps(name):
    settings, make = OPTIMIZERS[name]
    data = stripes(50, dtype=DOUBLE)
    ours, theirs = small_net(dtype=DOUBLE), small_net(dtype=DOUBLE)
    recipe = replace(RECIPE, lr=0.005, optimizer=settings, weight_decay=0.0)
    fit(ours, data, recipe=recipe)
    by_hand(theirs, data, recipe, optimizer=make(theirs.parameters()))
    assert_same(ours, theirs)


# factor of the learning rate in the last step of each of 4 epochs of 4 steps, without warm-up
SCHEDULES = {
    "constant": (Constant(), [1, 1, 1, 1]),
    "linear": (Linear(), [13 / 17, 9 / 17, 5 / 17, 1 / 17]),
    "steps": (Steps(at=(1, 3), factor=0.5), [1, 0.5, 0.5, 0.25]),
    "decay": (Decay(0.5, every=2), [1, 1, 0.5, 0.5]),
    "cosine": (
        Cosine(),
        [(1 + torch.cos(torch.tensor(torch.pi * n / 17)).item()) / 2 for n in (4, 8, 12, 16)],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_sets_the_rates_of_the_steps(name):
    schedule, factors = SCHEDULES[name]
    data = stripes(50, dtype=DOUBLE)
    ours, theirs = small_net(dtype=DOUBLE), small_net(dtype=DOUBLE)
    recipe = replace(RECIPE, epochs=4, warmup=0.0, schedule=schedule)
    history = fit(ours, data, recipe=recipe)
    assert [row["lr"] for row in history.rows] == pytest.approx([0.05 * f for f in factors])
    by_hand(theirs, data, recipe)
    assert_same(ours, theirs)


@pytest.mark.parametrize("measure", ["test_error", "train_error"])
def test_a_plateau_lowers_the_rate_when_the_error_stops_falling(measure):
    data = stripes(50, dtype=DOUBLE)
    test = data if measure == "test_error" else None
    model = small_net(dtype=DOUBLE)
    recipe = replace(
        RECIPE,
        epochs=6,
        lr=1e-12,  # nothing is learnt, so that every epoch after the first one waits
        warmup=0.0,
        batch_size=50,
        schedule=Plateau(factor=0.5, patience=2, times=2, measure=measure),
    )
    history = fit(model, data, test, recipe=recipe)
    assert len({row[measure] for row in history.rows}) == 1
    factors = [row["lr"] / 1e-12 for row in history.rows]
    assert factors == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25])


def test_a_plateau_of_a_test_error_needs_a_test_set_before_the_first_step():
    model = small_net()
    before = weights(model)
    with pytest.raises(ValueError, match="waits for the test_error: pass test images"):
        fit(model, stripes(50), recipe=replace(RECIPE, schedule=Plateau()))
    assert torch.equal(weights(model), before)


# Networks that do more than map images to scores


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    "family, kind, weight",
    [
        ("googlenet", "auxiliary heads", 0.3),
        ("googlenet", "batch norm", 0.3),
        ("nasnet", "small, auxiliary head", 0.4),
    ],
)
def test_auxiliary_heads_have_their_part_in_the_loss(family, kind, weight, smoothing):
    tiny = networks(family)[kind]
    data = stripes(10, size=tiny.shape[1], channels=tiny.shape[0], dtype=DOUBLE)
    ours, theirs = (without_chance(tiny.build(num_classes=3).double()) for _ in range(2))
    recipe = Recipe(epochs=1, lr=0.01, batch_size=5, label_smoothing=smoothing)
    history = fit(ours, data, data, recipe=recipe, loss=loss_for(ours))

    def heads_too(scores, labels):
        first, *others = (F.cross_entropy(s, labels, label_smoothing=smoothing) for s in scores)
        assert others
        return first + weight * sum(others)

    losses = by_hand(theirs, data, recipe, loss=heads_too)
    assert_same(ours, theirs, 1e-10)
    assert history.final["train_loss"] == pytest.approx(sum(losses) / 2, rel=1e-10)
    assert history.final["test_loss"] == pytest.approx(evaluate(theirs, data)["loss"], rel=1e-9)


def test_auxiliary_heads_with_a_loss_that_does_not_know_them_name_the_one_that_does():
    tiny = networks("googlenet")["auxiliary heads"]
    data = stripes(10, size=14)
    with pytest.raises(TypeError, match=r"a tuple, .*cnnlib.models.loss_for\(model\) gives"):
        fit(tiny.build(num_classes=3), data, recipe=RECIPE)


class Told(nn.Sequential):
    """Notes how far the training is said to be, at each step."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        self.now, self.noted = -1.0, []

    def set_progress(self, fraction: float) -> None:
        self.now = fraction

    def forward(self, images):
        self.noted += [self.now] if self.training else []
        return super().forward(images)


@pytest.mark.parametrize("epochs, told", [(1, [0]), (2, [0, 1]), (5, [0, 0.25, 0.5, 0.75, 1])])
def test_a_network_is_told_before_each_epoch_how_far_its_training_is(epochs, told):
    model = Told(nn.Flatten(), nn.Linear(64, 3))
    fit(model, stripes(50), recipe=replace(RECIPE, epochs=epochs))
    assert model.noted == [fraction for fraction in told for _ in range(4)]


def test_a_resumed_network_is_told_where_its_training_is(tmp_path):
    recipe = replace(RECIPE, epochs=3)

    def stop(history):
        if len(history.rows) == 2:
            raise KeyboardInterrupt

    first, second = (Told(nn.Flatten(), nn.Linear(64, 3)) for _ in range(2))
    with pytest.raises(KeyboardInterrupt):
        fit(first, stripes(50), recipe=recipe, checkpoint=tmp_path / "last", after_epoch=stop)
    fit(second, stripes(50), recipe=recipe, checkpoint=tmp_path / "last", resume=True)
    assert second.noted == [1] * 4


# What is told after each epoch


def test_whoever_asks_gets_the_history_after_each_epoch():
    told = []
    history = fit(
        small_net(),
        stripes(50),
        recipe=replace(RECIPE, epochs=3),
        after_epoch=lambda history: told.append((history, len(history.rows))),
    )
    assert [rows for _, rows in told] == [1, 2, 3]
    assert all(given is history for given, _ in told)


def test_a_fault_of_whoever_is_told_ends_the_training_in_order():
    def fault(history):
        raise RuntimeError("my own")

    model, history = small_net(), History()
    with pytest.raises(RuntimeError, match="my own") as caught:
        fit(model, stripes(50), recipe=RECIPE, history=history, after_epoch=fault)
    assert "stopped after 1 of 2 epochs" in caught.value.__notes__[0]
    assert len(history.rows) == 1 and not model.training


def test_seconds_of_an_epoch_are_those_of_its_steps_without_measuring(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    time = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr(loop, "time", time)
    model = small_net()

    def spend(layer, inputs, output):
        clock.now += 1.0 if layer.training else 1000.0

    model.register_forward_hook(spend)
    history = fit(model, stripes(50), stripes(20), recipe=replace(RECIPE, epochs=3))
    # the first step is followed by a look at what knowing nothing costs: one image
    assert history.epoch_seconds == [1004.0, 4.0, 4.0]
    assert history.seconds == 1012.0


# Memory layout and precision


def test_channels_last_is_the_layout_of_images_and_weights_and_changes_only_rounding():
    data = stripes(50, channels=3, dtype=DOUBLE)
    plain, ours = (small_net(channels=3, dtype=DOUBLE) for _ in range(2))
    seen = []
    ours[0].register_forward_pre_hook(
        lambda layer, inputs: (
            seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
            if layer.training
            else None
        )
    )
    expected = fit(plain, data, data, recipe=AUGMENTED)
    history = fit(ours, data, data, recipe=AUGMENTED, channels_last=True)
    assert len(seen) == 8 and all(seen)
    assert ours[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not plain[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert_same(ours, plain)
    assert_same_rows(history, expected)


def test_mixed_precision_computes_in_bfloat16_while_it_trains_and_only_then():
    data = stripes(50)
    full, mixed = small_net(), small_net()
    expected = fit(full, data, data, recipe=RECIPE)
    seen = {True: set(), False: set()}
    mixed[5].register_forward_hook(
        lambda layer, inputs, output: seen[layer.training].add(output.dtype)
    )
    history = fit(mixed, data, data, recipe=RECIPE, precision="bf16")
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert mixed(stripes(5).images).dtype == weights(mixed).dtype == torch.float32
    assert history.final["test_loss"] == evaluate(mixed, data)["loss"]
    # bfloat16 has 8 binary digits: numbers agree to a part of 256, the weights' way to a few
    way = (weights(full) - weights(small_net())).norm()
    assert 0 < (weights(mixed) - weights(full)).norm() < 0.05 * way
    assert history.final["train_loss"] == pytest.approx(expected.final["train_loss"], rel=0.02)


@pytest.mark.parametrize("optimizer", [SGD(), AdamW()])
def test_float16_scales_clips_skips_and_resumes(monkeypatch, tmp_path, optimizer):
    scales = []

    @contextmanager
    def float16_on_the_cpu(device: str, precision: str):
        """accelerate wants a GPU for float16; torch's own parts of it run anywhere."""
        with accelerator("cpu", "no") as hub:
            hub.state._mixed_precision = "fp16"
            hub.native_amp = True
            hub.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**18, growth_interval=3)
            yield hub
            scales.append(hub.scaler.get_scale())

    monkeypatch.setattr(loop, "accelerator", float16_on_the_cpu)
    data = stripes(50)
    lr = 0.05 if isinstance(optimizer, SGD) else 0.01
    recipe = replace(RECIPE, epochs=5, lr=lr, clip=0.5, optimizer=optimizer)
    seen = set()
    half, begun, resumed = small_net(), small_net(), small_net(seed=9)
    half[5].register_forward_hook(
        lambda layer, inputs, output: seen.add(output.dtype) if layer.training else None
    )
    fit(half, data, data, recipe=recipe, precision="fp16")
    assert seen == {torch.float16}
    assert scales != [2.0**18]  # the scale was lowered when gradients overflowed

    def stop(history):
        if len(history.rows) == 2:
            raise KeyboardInterrupt

    kept = {"checkpoint": tmp_path / "last", "precision": "fp16"}
    with pytest.raises(KeyboardInterrupt):
        fit(begun, data, data, recipe=recipe, after_epoch=stop, **kept)
    fit(resumed, data, data, recipe=recipe, resume=True, **kept)
    assert torch.equal(weights(resumed), weights(half)) and scales[0] == scales[-1]

    monkeypatch.undo()
    full = small_net()
    fit(full, data, data, recipe=recipe)
    way = (weights(full) - weights(small_net())).norm()
    assert 0 < (weights(half) - weights(full)).norm() < 0.5 * way  # some first steps were skipped


# Compilation


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_compiled_network_takes_the_same_steps_and_is_not_compiled_again_and_again(dtype):
    data = stripes(50, dtype=dtype)
    recipe = replace(RECIPE, epochs=4)
    plain, ours = (small_net(norm=True, dtype=dtype) for _ in range(2))
    expected = fit(plain, data, data, recipe=recipe)
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    counts = []
    history = fit(
        ours,
        data,
        data,
        recipe=recipe,
        compile=True,
        after_epoch=lambda history: counts.append(counters["stats"]["unique_graphs"]),
    )
    assert 1 <= counts[0] <= 2  # whole batches, and the last one, which is smaller
    assert counts[-1] == counts[0] and not counters["graph_break"]
    tolerance = 1e-4 if dtype == torch.float32 else 1e-11
    assert_same(ours, plain, tolerance)
    assert_same_rows(history, expected, tolerance)
    assert type(ours) is nn.Sequential and list(ours.state_dict()) == list(plain.state_dict())


@pytest.mark.slow
def test_a_network_that_changes_with_its_progress_is_not_compiled_in_every_epoch():
    class Dropping(nn.Sequential):
        def set_progress(self, fraction: float) -> None:
            for layer in self:
                if isinstance(layer, DropPath):
                    layer.rate = 0.5 * fraction

    torch.manual_seed(0)
    model = Dropping(nn.Flatten(), nn.Linear(64, 8), DropPath(), nn.Linear(8, 3))
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    counts = []
    fit(
        model,
        stripes(48),
        recipe=replace(RECIPE, epochs=12),
        compile=True,
        after_epoch=lambda history: counts.append(counters["stats"]["unique_graphs"]),
    )
    # without dropping; with a rate; and perhaps once more when the rate is seen to change
    assert counts[-1] <= 3 and counts[-1] == counts[3], counts


# On a GPU

NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize(
    "options",
    [
        {"channels_last": True},
        {"micro_batch": 5},
        {"recipe": replace(AUGMENTED, label_smoothing=0.1, clip=0.5, ema=0.8)},
        {"recipe": replace(RECIPE, lr=0.005, optimizer=AdamW(), schedule=Cosine())},
        {"recipe": replace(RECIPE, lr=0.005, optimizer=RMSprop())},
    ],
    ids=["channels last", "micro-batches", "augmented", "AdamW", "RMSprop"],
)
def test_on_cuda_every_option_gives_the_numbers_of_the_cpu(options):
    data = stripes(50, channels=3, dtype=DOUBLE)
    options = {"recipe": RECIPE} | options
    on_cpu, on_cuda = (small_net(channels=3, norm=True, dtype=DOUBLE) for _ in range(2))
    if "micro_batch" in options:  # batch normalisation would see the parts
        on_cpu, on_cuda = (small_net(channels=3, dtype=DOUBLE) for _ in range(2))
    expected = fit(on_cpu, data, data, device="cpu", **options)
    history = fit(on_cuda, data, data, device="cuda", **options)
    torch.testing.assert_close(weights(on_cuda).cpu(), weights(on_cpu), rtol=1e-8, atol=1e-8)
    assert_same_rows(history, expected, 1e-7)


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_on_cuda_no_step_waits_for_a_number(monkeypatch, precision):
    step = Stepper.step

    def watched(*arguments):
        torch.cuda.set_sync_debug_mode("error")
        try:
            return step(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    recipe = replace(AUGMENTED, clip=0.5, label_smoothing=0.1, ema=0.8)
    data = stripes(50)
    fit(small_net(norm=True), data, recipe=recipe, precision=precision)  # sets libraries up
    monkeypatch.setattr(Stepper, "step", watched)
    fit(small_net(norm=True), data, recipe=recipe, precision=precision)


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.parametrize("clip", [None, 0.5])
def test_on_cuda_float16_is_clipped_resumed_and_near_float32(monkeypatch, tmp_path, clip):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    data = stripes(50)
    recipe = replace(RECIPE, epochs=12, clip=clip)  # the first steps overflow and are skipped
    half, begun, resumed, full = (small_net(seed) for seed in (0, 0, 9, 0))
    history = fit(half, data, data, recipe=recipe, precision="fp16")

    def stop(history):
        if len(history.rows) == 5:
            raise KeyboardInterrupt

    kept = {"checkpoint": tmp_path / "last", "precision": "fp16"}
    with pytest.raises(KeyboardInterrupt):
        fit(begun, data, data, recipe=recipe, after_epoch=stop, **kept)
    again = fit(resumed, data, data, recipe=recipe, resume=True, **kept)
    assert torch.equal(weights(resumed), weights(half)) and again == history
    expected = fit(full, data, data, recipe=recipe)
    assert history.final["test_error"] == pytest.approx(expected.final["test_error"], abs=0.1)
    assert weights(half).isfinite().all()


@pytest.mark.gpu
@NEEDS_CUDA
@pytest.mark.slow
@pytest.mark.parametrize("precision, tolerance", [("no", 1e-4), ("bf16", 0.05)])
def test_on_cuda_a_compiled_network_takes_the_same_steps(precision, tolerance):
    data = stripes(50, channels=3)
    plain, ours = (small_net(channels=3, norm=True) for _ in range(2))
    torch._dynamo.reset()
    for model, compiled in ((plain, False), (ours, True)):
        fit(model, data, recipe=RECIPE, precision=precision, channels_last=True, compile=compiled)
    assert (weights(ours) - weights(plain)).abs().max() < tolerance


@pytest.mark.gpu
@NEEDS_CUDA
def test_on_cuda_streams_through_pinned_memory_give_the_weights_of_the_cpu(tmp_path):
    stream = shards(
        [str(path) for path in write_shards(bytes_of(stripes(50, size=32)), tmp_path / "tars")],
        crops=Crops(size=32, resize=32, flip=True),
        workers=2,
    ).to(dtype=DOUBLE)
    on_cpu, on_cuda = (
        nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(900, 3)).double()
        for _ in range(2)
    )
    on_cuda.load_state_dict(on_cpu.state_dict())
    fit(on_cpu, stream, stream, recipe=AUGMENTED, device="cpu")
    fit(on_cuda, stream, stream, recipe=AUGMENTED, device="cuda")
    torch.testing.assert_close(weights(on_cuda).cpu(), weights(on_cpu), rtol=1e-8, atol=1e-8)


def test_streams_and_sets_of_the_same_images_give_the_same_weights(tmp_path):
    data = bytes_of(stripes(50, size=32))
    paths = write_shards(data, tmp_path / "tars", seed=None)
    stream = shards([str(path) for path in paths], crops=Crops.central(32, 32), workers=0)
    stream = stream.to(dtype=DOUBLE)
    recipe = replace(RECIPE, batch_size=50)  # one batch of all, so that order plays no part
    ours, theirs = (
        nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(900, 3)).double()
        for _ in range(2)
    )
    ours.load_state_dict(theirs.state_dict())
    history = fit(ours, stream, stream, recipe=recipe)
    images = torch.cat([images for images, _ in batches(stream, 50)])
    in_memory = replace(data, images=images, background=0.0)
    assert torch.equal(data.labels, stream.labels)
    expected = fit(theirs, in_memory, in_memory, recipe=recipe)
    assert_same(ours, theirs, 1e-10)
    assert_same_rows(history, expected, 1e-10)


def bytes_of(data: ImageSet) -> ImageSet:
    """The images as bytes in three channels, as they lie in files."""
    images = (data.images * 40 + 100).clamp(0, 255).byte()
    return replace(data, images=images.repeat(1, 3, 1, 1))
