"""The training loop against one written out by hand, and what it must not do or disturb."""

import copy
import gc
import json
import math
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import PartialState
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from cnnlib.data import Augmentation, batches, load
from cnnlib.models.lenet import lenet5, lenet5_modern, map_loss
from cnnlib.train import (
    RECIPE,
    History,
    Recipe,
    evaluate,
    fit,
    fit_seeds,
    seed_everything,
)
from tests.train.learning import small_net, stripes, weights

ROOT = Path(__file__).parents[2]


def trained_weights(*, dropout=0.0, **options):
    model = small_net(dropout=dropout)
    fit(model, stripes(50), recipe=options.pop("recipe", Recipe(epochs=2)), **options)
    return weights(model)


# What it computes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fit_takes_exactly_the_steps_of_a_loop_written_out_by_hand(dtype):
    train, test = stripes(50, dtype=dtype), stripes(31, seed=1, dtype=dtype)
    recipe = Recipe(epochs=3, lr=0.05, batch_size=16, weight_decay=0.1, warmup=0.25)
    ours, theirs = small_net(dtype=dtype), small_net(dtype=dtype)
    history = fit(ours, train, test, recipe=recipe, seed=7)

    biases = [theirs[0].bias, theirs[5].bias]
    groups = [
        {"params": [theirs[0].weight, theirs[5].weight], "weight_decay": 0.1},
        {"params": biases, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)
    steps = 3 * 4  # 16 + 16 + 16 + 2 images
    triangle = np.interp(np.arange(1, steps + 1) / (steps + 1), [0, 0.25, 1], [0, 0.05, 0])
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: triangle[min(done, steps - 1)] / 0.05
    )
    generator = torch.Generator().manual_seed(7)
    for row in history.rows:
        loss_sum, wrong = 0.0, 0
        for images, labels in batches(train, 16, generator=generator):
            loss = F.cross_entropy(theirs(images), labels)
            wrong += int((theirs(images).argmax(1) != labels).sum())
            loss_sum += loss.item() * len(labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        assert row["train_error"] == wrong / 50
        assert row["train_loss"] == pytest.approx(loss_sum / 50, rel=1e-6)
        assert row["test_loss"] == pytest.approx(
            F.cross_entropy(theirs(test.images), test.labels).item(), rel=1e-5
        )
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    assert weights(ours).dtype == dtype
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=tolerance)


def test_modern_lenet_learns_digits():
    digits = load("mnist_5k").balanced(50).padded(32).rescaled(-0.1, 1.175)
    seed_everything(0)
    history = fit(lenet5_modern(), digits, recipe=Recipe(epochs=5, lr=0.05, batch_size=32))
    assert history.rows[0]["train_error"] > 0.3
    assert history.final["train_error"] < 0.1  # chance is 0.9


def test_faithful_lenet_learns_with_the_loss_of_the_paper():
    digits = load("mnist_5k").balanced(50).padded(32).rescaled(-0.1, 1.175)
    seed_everything(0)
    recipe = Recipe(epochs=5, lr=4e-3, batch_size=16, weight_decay=0.0)
    history = fit(lenet5(), digits, recipe=recipe, loss=map_loss)
    assert history.loss == "map_loss" and history.model == "LeNet5"
    assert history.final["train_error"] < 0.2


def test_a_batch_larger_than_the_data_is_one_step_per_epoch():
    recipe = Recipe(epochs=4, batch_size=1000, warmup=1.0)
    history = fit(small_net(), stripes(20), recipe=recipe)
    assert [row["lr"] for row in history.rows] == pytest.approx([0.02, 0.04, 0.06, 0.08])


def test_frozen_weights_stay_and_the_others_learn():
    model = small_net()
    model[0].requires_grad_(False)
    before = copy.deepcopy(model)
    fit(model, stripes(50), recipe=Recipe(epochs=1))
    assert torch.equal(model[0].weight, before[0].weight)
    assert not torch.equal(model[5].weight, before[5].weight)


def test_old_gradients_do_not_enter_the_first_step():
    model = small_net()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 1e6)
    fit(model, stripes(50), recipe=Recipe(epochs=2))
    assert torch.equal(weights(model), trained_weights())


def test_augmentation_changes_training_but_not_the_measured_sets():
    train = stripes(50)
    recipe = Recipe(epochs=1, augment=Augmentation(shift=2))
    images = train.images.clone()
    model = small_net()
    history = fit(model, train, train, recipe=recipe)
    assert torch.equal(train.images, images)
    assert history.final["test_error"] == evaluate(model, train)["error"]
    assert not torch.equal(weights(model), trained_weights(recipe=Recipe(epochs=1)))


# Chance


def test_two_runs_are_bit_identical():
    recipe = Recipe(epochs=2, augment=Augmentation(shift=1))
    first, second = (trained_weights(recipe=recipe, dropout=0.3, seed=3) for _ in range(2))
    assert torch.equal(first, second)


def test_the_seed_covers_the_order_of_the_images():
    recipe = Recipe(epochs=1, batch_size=10)
    one, two = (trained_weights(recipe=recipe, seed=seed) for seed in (1, 2))
    assert (one - two).abs().max() > 1e-4


def test_without_order_dropout_and_augmentation_the_seed_changes_nothing_but_rounding():
    recipe = Recipe(epochs=1, batch_size=50)  # one batch of all images
    one, two = (trained_weights(recipe=recipe, seed=seed) for seed in (1, 2))
    torch.testing.assert_close(one, two)


def test_the_seed_covers_dropout_alone():
    recipe = Recipe(epochs=1, batch_size=50)  # one batch: order plays no part
    one, two = (trained_weights(recipe=recipe, dropout=0.5, seed=seed) for seed in (1, 2))
    assert (one - two).abs().max() > 1e-4


def test_the_seed_covers_augmentation_alone():
    recipe = Recipe(epochs=1, batch_size=50, augment=Augmentation(shift=2))
    one, two = (trained_weights(recipe=recipe, seed=seed) for seed in (1, 2))
    assert (one - two).abs().max() > 1e-4


def test_the_global_random_state_neither_matters_nor_changes():
    recipe = Recipe(epochs=2, augment=Augmentation(shift=1))
    results = []
    for seed in (10, 20):
        model = small_net(dropout=0.3)
        seed_everything(seed)
        expected = [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()]
        seed_everything(seed)
        fit(model, stripes(50), stripes(20), recipe=recipe)
        after = [torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()]
        assert after == expected
        results.append(weights(model))
    assert torch.equal(*results)


def test_seed_everything_repeats_weights_arrays_and_python():
    drawn = []
    for _ in range(2):
        seed_everything(5)
        drawn.append((nn.Linear(2, 2).weight.tolist(), np.random.rand(), random.random()))
    assert drawn[0] == drawn[1]


def test_fit_leaves_the_number_of_threads_alone():
    threads = torch.get_num_threads()
    fit(small_net(), stripes(20), recipe=Recipe(epochs=1))
    assert torch.get_num_threads() == threads


# What it leaves behind


def test_the_network_is_left_in_evaluation_mode_and_otherwise_as_it_was():
    model = small_net(norm=True)
    attributes, names = set(vars(model)), list(model.state_dict())
    fit(model, stripes(50), recipe=Recipe(epochs=1), precision="bf16")
    assert not any(module.training for module in model.modules())
    assert set(vars(model)) == attributes and list(model.state_dict()) == names
    assert all(p.grad is None for p in model.parameters())
    assert weights(copy.deepcopy(model)).equal(weights(model))


def test_device_and_precision_can_change_from_call_to_call():
    for precision, dtype in [("no", torch.float32), ("bf16", torch.float32), ("no", torch.float64)]:
        data = stripes(50, dtype=dtype)
        model = small_net(dtype=dtype)
        history = fit(model, data, device="cpu", precision=precision, recipe=Recipe(epochs=1))
        assert (history.precision, history.device) == (precision, "cpu")
        assert history.dtype == str(dtype).removeprefix("torch.")
        assert weights(model).dtype == dtype


def test_an_accelerator_of_the_reader_survives():
    PartialState._reset_state()
    own = Accelerator(cpu=True, mixed_precision="bf16")
    fit(small_net(), stripes(20), recipe=Recipe(epochs=1), precision="no")
    assert own.mixed_precision == "bf16"
    assert own.state.num_processes == 1
    assert Accelerator(cpu=True, mixed_precision="bf16").device == torch.device("cpu")


# History


def test_history_has_a_complete_row_per_epoch_and_survives_json():
    recipe = Recipe(epochs=2, augment=Augmentation(shift=1, flip=True))
    history = fit(small_net(), stripes(50), stripes(20), recipe=recipe, seed=4)
    columns = ["epoch", "lr", "train_loss", "train_error", "test_loss", "test_error"]
    assert [list(row) for row in history.rows] == [columns, columns]
    assert [row["epoch"] for row in history.rows] == [1, 2]
    assert history.final is history.rows[-1]
    assert history.seconds > 0 and history.seed == 4 and history.model == "Sequential"
    restored = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert restored == history and restored.recipe == recipe
    assert restored.seconds == history.seconds


def test_without_a_test_set_there_are_no_test_columns():
    history = fit(small_net(), stripes(50), recipe=Recipe(epochs=1))
    assert list(history.final) == ["epoch", "lr", "train_loss", "train_error"]


def test_an_empty_history_has_no_final_row():
    with pytest.raises(ValueError, match="no finished epoch"):
        _ = History().final


def test_a_used_history_is_refused():
    history = fit(small_net(), stripes(20), recipe=Recipe(epochs=1))
    with pytest.raises(ValueError, match="already holds 1 epochs; pass an empty one"):
        fit(small_net(), stripes(20), history=history)


# evaluate


def test_evaluate_equals_loss_and_error_by_hand_also_with_an_uneven_last_batch():
    model, data = small_net(), stripes(53)
    model.eval()
    with torch.no_grad():
        scores = model(data.images)
    log_probabilities = scores - scores.exp().sum(1, keepdim=True).log()
    loss = -sum(log_probabilities[i, label].item() for i, label in enumerate(data.labels)) / 53
    wrong = sum(int(scores[i].argmax() != label) for i, label in enumerate(data.labels))
    for batch_size in (10, 53, 500):
        result = evaluate(model, data, batch_size=batch_size)
        assert result["error"] == wrong / 53
        assert result["loss"] == pytest.approx(loss, rel=1e-5)


def test_evaluate_returns_every_layer_to_its_mode_and_builds_no_graph():
    model = small_net(dropout=0.5, norm=True).train()
    model[1].eval()  # a frozen batch normalisation inside a training network
    modes = [module.training for module in model.modules()]
    first, second = evaluate(model, stripes(20)), evaluate(model, stripes(20))
    assert first == second  # no dropout
    assert [module.training for module in model.modules()] == modes
    assert model[1].num_batches_tracked == 0


# Interruption, in a process of its own

INTERRUPTED = """
import json, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored if pytest is a background job
from cnnlib.train import History, Recipe, fit
from tests.train.learning import small_net, stripes, weights
model, history = small_net(), History()
try:
    fit(model, stripes(200), recipe=Recipe(epochs=100_000), history=history, progress=True)
except KeyboardInterrupt as stop:
    rows = [row["epoch"] for row in history.rows]
    finite = bool(weights(model).isfinite().all())
    again = fit(model, stripes(50), recipe=Recipe(epochs=1)).final["epoch"]
    print("RESULT", json.dumps([rows, stop.__notes__, model.training, finite, again]))
"""


def test_ctrl_c_keeps_the_finished_epochs_and_a_usable_network():
    with subprocess.Popen(
        [sys.executable, "-u", "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    ) as child:
        try:
            line = child.stdout.readline()
            while not line.startswith("epoch 3/"):
                assert line, "the child ended early"
                line = child.stdout.readline()
            child.send_signal(signal.SIGINT)
            output, _ = child.communicate(timeout=60)
        finally:
            child.kill()
    result = [line for line in output.splitlines() if line.startswith("RESULT")]
    rows, notes, training, finite, again = json.loads(result[0].removeprefix("RESULT"))
    assert rows == list(range(1, len(rows) + 1)) and len(rows) >= 3
    assert f"stopped after {len(rows)} of 100000 epochs" in notes[0]
    assert f"epoch {len(rows)}/100000: train loss" in notes[0]
    assert finite and not training and again == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_weights_of_the_cpu_and_takes_images_from_anywhere():
    recipe = replace(RECIPE, epochs=2, augment=Augmentation(shift=1))
    data = stripes(50, dtype=torch.float64)
    on_cpu, on_cuda = small_net(dtype=torch.float64), small_net(dtype=torch.float64)
    fit(on_cpu, data, recipe=recipe, device="cpu")
    history = fit(on_cuda, data, data, recipe=recipe)
    assert history.device == "cuda" and weights(on_cuda).is_cuda
    torch.testing.assert_close(weights(on_cuda).cpu(), weights(on_cpu), rtol=1e-9, atol=1e-9)
    assert evaluate(on_cuda, data)["error"] == history.final["test_error"]
    for precision in ("bf16", "fp16"):
        half = fit(small_net(), stripes(50), recipe=recipe, precision=precision)
        assert math.isfinite(half.final["train_loss"])


# What it costs


class Reads(TorchDispatchMode):
    """Counts numbers that are read from tensors: on a GPU, each time the processor would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"micro_batch": 5},
        {"recipe": {"clip": 1.0, "augment": Augmentation(shift=1, cutout=2)}},
        {"precision": "bf16", "channels_last": True},
    ],
)
def test_steps_read_no_numbers(options):
    options = dict(options)
    recipe = Recipe(epochs=1, batch_size=10, **options.pop("recipe", {}))
    counts = []
    for images in (100, 490):
        with Reads() as reads:
            fit(small_net(norm=True), stripes(images), recipe=recipe, **options)
        counts.append(reads.count)
    assert counts[0] == counts[1] < 30  # of an epoch, of ten steps or of 49


def test_nothing_piles_up_from_epoch_to_epoch():
    """The tensors that are alive, and their bytes: memory as the system sees it also counts more.

    See benchmarks/train_loop.py for that.
    """
    alive, objects = [], []

    def look(history):
        gc.collect()
        # plain ones: what other tests leave behind, such as fake tensors, may have no size
        found = [thing for thing in gc.get_objects() if type(thing) in (torch.Tensor, nn.Parameter)]
        found = [tensor for tensor in found if tensor.layout == torch.strided]
        alive.append((len(found), sum(tensor.nbytes for tensor in found)))
        objects.append(len(gc.get_objects()))

    recipe = Recipe(epochs=8, batch_size=10, augment=Augmentation(shift=1), ema=0.9)
    fit(small_net(norm=True), stripes(50), stripes(20), recipe=recipe, after_epoch=look)
    assert len(set(alive[2:])) == 1
    assert objects[-1] - objects[2] <= 5 * 10  # a row of history each, and what the test notes


def test_what_a_training_held_is_given_back_without_the_garbage_collector():
    def alive():
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    model, data = small_net(), stripes(50)
    recipe = Recipe(epochs=1, ema=0.9)
    fit(model, data, recipe=recipe)  # what libraries keep for good is there from now on
    gc.collect()
    gc.disable()
    try:
        before = alive()
        fit(model, data, recipe=recipe)
        assert alive() <= before
    finally:
        gc.enable()


# Several seeds


def test_each_seed_of_several_is_the_run_that_it_would_be_alone():
    train, test = stripes(50), stripes(31, seed=1)
    recipe = Recipe(epochs=2, lr=0.05, batch_size=16)

    def make():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

    repeats = fit_seeds(make, train, test, (3, 5), recipe=recipe)
    for seed, model, history in zip((3, 5), repeats.models, repeats.histories, strict=True):
        seed_everything(seed)
        alone = make()
        assert fit(alone, train, test, recipe=recipe, seed=seed) == history
        assert torch.equal(weights(alone), weights(model))
    assert repeats.test_errors == [h.final["test_error"] for h in repeats.histories]
    assert repeats.rows == [h.rows for h in repeats.histories]


def test_no_seeds_are_no_experiment():
    with pytest.raises(ValueError, match="at least one seed"):
        fit_seeds(small_net, stripes(8), stripes(8), ())
