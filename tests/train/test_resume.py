"""Nothing is lost: what is interrupted, killed, damaged or out of space goes on bit for bit."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from cnnlib import checkpoint, fetch
from cnnlib.augment import Augmentation, Crops
from cnnlib.checkpoint import CheckpointError
from cnnlib.data import ImageSet
from cnnlib.streams import image_folder
from cnnlib.train import History, Recipe, fit
from cnnlib.train.optimizers import SGD, Adam, AdamW, RMSprop
from cnnlib.train.schedules import Cosine, Plateau
from cnnlib.train.surroundings import Interruption
from tests.train.killing import network, noisy_stripes

KILLING = Path(__file__).with_name("killing.py")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")
STEPS = 8  # of each training here: two epochs of four
ALL_AUGMENTED = Augmentation(shift=1, flip=True, cutout=3, mixup=0.4)
RECIPE = Recipe(epochs=2, lr=0.02, batch_size=16)
CASES: dict[str, dict[str, Any]] = {
    "momentum": {"recipe": RECIPE},
    "no momentum": {"recipe": replace(RECIPE, optimizer=SGD(momentum=0.0, nesterov=False))},
    "augmented": {"recipe": replace(RECIPE, augment=ALL_AUGMENTED, label_smoothing=0.1)},
    "RMSprop, average": {"recipe": replace(RECIPE, optimizer=RMSprop(), ema=0.9, clip=0.5)},
    "Adam, plateau": {
        "recipe": replace(
            RECIPE, epochs=4, batch_size=32, optimizer=Adam(), schedule=Plateau(patience=1)
        )
    },
    "AdamW, bf16, micro-batches": {
        "recipe": replace(
            RECIPE, optimizer=AdamW(), schedule=Cosine(), ema=0.5, augment=Augmentation(mixup=1.0)
        ),
        "precision": "bf16",
        "micro_batch": 5,
    },
    "channels last": {"recipe": RECIPE, "channels_last": True},
}


@cache
def images(n: int = 60, seed: int = 0) -> ImageSet:
    return noisy_stripes(n, seed)


@cache
def undisturbed(case: str) -> tuple[nn.Module, History]:
    model = network()
    return model, fit(model, images(), images(40, 1), seed=3, **CASES[case])


def train(model: nn.Module, path: Path | None, **options: Any) -> History:
    """The training of these tests, unless the options say otherwise."""
    defaults = {"recipe": RECIPE, "resume": True, "checkpoint_every": 0.0, "seed": 3}
    return fit(model, images(), images(40, 1), checkpoint=path, **(defaults | options))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


class Trouble(Exception):
    """Something that ends a training."""


def raise_trouble() -> None:
    raise Trouble


def send(number: signal.Signals) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


def at_pass(model: nn.Module, number: int, act: Callable[[], None]) -> None:
    """Acts while the training passes its images through the network for the n-th time."""
    passes = iter(range(1, number + 1))

    def count(module: nn.Module, inputs: object) -> None:
        if module.training and next(passes, None) == number:
            act()

    model.register_forward_pre_hook(count)


# The same in the end


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=5, deadline=None)
@given(
    stops=st.lists(
        st.tuples(
            st.integers(1, 2 * STEPS), st.sampled_from(["error", "SIGINT", "SIGTERM", "epoch"])
        ),
        min_size=1,
        max_size=3,
    )
)
def test_a_training_that_was_interrupted_anywhere_ends_as_if_it_had_not_been(case, stops):
    expected, expected_history = undisturbed(case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training.ckpt"
        for stop, how in stops:
            model = network(seed=99)  # other weights than at the beginning
            options: dict[str, Any] = {}
            if not path.exists():
                model = network()
            if how == "error":  # the last step was kept, the one in progress is lost
                at_pass(model, stop, raise_trouble)
            elif how == "epoch":
                options["after_epoch"] = lambda history: raise_trouble()
            else:  # only the signal makes it keep the step in progress
                at_pass(model, stop, send(signal.Signals[how]))
                options["checkpoint_every"] = 1e9
            with contextlib.suppress(Trouble, KeyboardInterrupt):
                train(model, path, **CASES[case], **options)
        model = network(seed=99 if path.exists() else 0)
        history = train(model, path, **CASES[case])
        assert history == expected_history and history.rows == expected_history.rows
        assert same_weights(model, expected) and not model.training
        assert len(history.epoch_seconds) == len(history.rows)
        again = network(seed=98)  # of the finished one, once more
        assert train(again, path, **CASES[case]) == history and same_weights(again, expected)


@pytest.mark.parametrize("case", CASES)
def test_keeping_a_training_does_not_change_it(case, tmp_path):
    model = network()
    history = train(model, tmp_path / "file", **CASES[case], resume=False)
    expected, expected_history = undisturbed(case)
    assert same_weights(model, expected) and history == expected_history


def test_a_training_with_test_images_that_decide_nothing_is_resumed_with_their_errors(tmp_path):
    seen: list[int] = []
    expected = undisturbed("momentum")[1]

    def stop_after_first(history: History) -> None:
        seen.append(len(history.rows))
        if len(seen) == 1:
            raise Trouble

    with pytest.raises(Trouble):
        train(network(), tmp_path / "file", after_epoch=stop_after_first)
    history = train(network(), tmp_path / "file", after_epoch=stop_after_first)
    assert seen == [1, 2]  # each epoch was told once
    assert [row["test_error"] for row in history.rows] == [
        row["test_error"] for row in expected.rows
    ]


def test_a_finished_training_is_restored_without_a_step(tmp_path):
    path = tmp_path / "file"
    first, second = network(), network(seed=99)
    expected = train(first, path)
    before = path.read_bytes()
    at_pass(second, 1, raise_trouble)
    told: list[History] = []
    assert train(second, path, after_epoch=told.append) == expected
    assert same_weights(first, second) and path.read_bytes() == before and not told
    assert expected.seconds > 0


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_training_on_files_goes_on_with_the_same_images_cut_in_the_same_way(tmp_path, workers):
    chance = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / "photos" / "train" / "abc"[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = chance.integers(0, 256, (14, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    crops = Crops(size=8, area=(0.3, 1.0), colour="jitter")
    photos = image_folder(tmp_path / "photos", crops=crops, workers=workers)
    recipe = replace(RECIPE, batch_size=5, augment=ALL_AUGMENTED)

    def go_on(model: nn.Module, path: Path | None) -> History:
        options = {"seed": 3, "resume": path is not None, "checkpoint_every": 0.0}
        return fit(model, photos, recipe=recipe, checkpoint=path, **options)

    expected = network(channels=3)
    history = go_on(expected, None)
    for stop in (2, 5):
        model = network(channels=3)
        at_pass(model, stop, raise_trouble)
        with pytest.raises(Trouble):
            go_on(model, tmp_path / "file")
    model = network(seed=99, channels=3)
    assert go_on(model, tmp_path / "file") == history and same_weights(model, expected)


def test_networks_that_change_while_they_train_are_told_again_how_far_it_is(tmp_path):
    told: list[float] = []

    class Changing(nn.Sequential):
        def set_progress(self, progress: float) -> None:
            told.append(progress)

    path, recipe = tmp_path / "file", replace(RECIPE, epochs=3)
    model = Changing(network())
    at_pass(model, 6, raise_trouble)  # in the second of three epochs
    with pytest.raises(Trouble):
        train(model, path, recipe=recipe)
    train(Changing(network()), path, recipe=recipe)
    assert told == [0, 0.5, 0.5, 1]


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
def test_on_a_gpu_a_training_goes_on_bit_for_bit(tmp_path, monkeypatch, precision):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    recipe = replace(RECIPE, optimizer=Adam(), augment=ALL_AUGMENTED, ema=0.9)
    options = {"recipe": recipe, "device": "cuda", "precision": precision, "channels_last": True}
    expected, model = network(), network()
    history = train(expected, None, resume=False, **options)
    at_pass(model, 6, raise_trouble)
    with pytest.raises(Trouble):
        train(model, tmp_path / "file", **options)
    model = network(seed=99)
    assert train(model, tmp_path / "file", **options) == history
    assert same_weights(model, expected)


def test_an_interrupted_training_says_how_to_go_on(tmp_path):
    model = network()
    at_pass(model, 3, send(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(model, tmp_path / "file", checkpoint_every=1e9)
    notes = "\n".join(stopped.value.__notes__)
    assert f"kept in {tmp_path / 'file'}: pass resume=True to go on" in notes
    position = checkpoint.describe(tmp_path / "file")["position"]
    assert (position["epoch"], position["batch"]) == (1, 3)  # the step was finished first


def test_a_second_ctrl_c_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Interruption, "TOGETHER", 0.0)
    model = network()
    at_pass(model, 3, lambda: [send(signal.SIGINT)(), send(signal.SIGINT)()])
    # in a background job, as this may be, Ctrl-C is ignored
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(model, tmp_path / "file", checkpoint_every=1e9)
    finally:
        signal.signal(signal.SIGINT, usual)
    assert os.listdir(tmp_path) == []  # there was no time to save


def test_signals_that_come_together_are_one_and_the_training_is_saved(tmp_path):
    model = network()
    at_pass(model, 3, lambda: [send(signal.SIGTERM)(), send(signal.SIGINT)()])
    with pytest.raises(KeyboardInterrupt):
        train(model, tmp_path / "file", checkpoint_every=1e9)
    assert checkpoint.describe(tmp_path / "file")["position"]["batch"] == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", ["to its end", "interrupted", "in trouble"])
def test_signals_mean_afterwards_what_they_meant_before(tmp_path, number, how):
    def mine(number, frame):
        raise AssertionError("not during the training")

    before = signal.signal(number, mine)
    try:
        model = network()
        if how != "to its end":
            at_pass(model, 2, send(number) if how == "interrupted" else raise_trouble)
        with contextlib.suppress(KeyboardInterrupt, Trouble):
            train(model, tmp_path / "file")
        assert signal.getsignal(number) is mine
    finally:
        signal.signal(number, before)


def test_in_another_thread_a_training_is_kept_and_resumed_too(tmp_path):
    expected, _ = undisturbed("momentum")
    models = [network(), network(seed=99)]
    at_pass(models[0], 6, raise_trouble)

    def work() -> None:
        with contextlib.suppress(Trouble):
            train(models[0], tmp_path / "file")
        train(models[1], tmp_path / "file")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert same_weights(models[1], expected)


# Killed


def chain(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """What became of a training that was interrupted twice and killed so many times."""
    root = str(KILLING.parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, KILLING, folder / "training.ckpt", str(kills), str(seed)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        timeout=900,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["same"], "the killed training ended elsewhere than the undisturbed one"
    assert report["kills"] == kills and report["in order"]
    assert report["left"] == ["training.ckpt"]
    for interrupted in report["interrupted"]:
        assert interrupted["status"] == 1
        assert "KeyboardInterrupt" in interrupted["errors"]
        assert "training.ckpt: pass resume=True to go on from there" in interrupted["errors"]
    return report


@POSIX
def test_interrupted_twice_and_killed_three_times_a_training_ends_as_if_it_had_not_been(tmp_path):
    chain(tmp_path, 3, seed=0)


@POSIX
@pytest.mark.slow
def test_killed_fifty_times_a_training_ends_as_if_it_had_not_been(tmp_path, capsys):
    report = chain(tmp_path, 50, seed=1)
    with capsys.disabled():
        print(f"\n{ ({**report, 'interrupted': 2}) }")
    assert report["killed while writing"] >= 3
    assert report["moves"] >= 10 and report["inside epochs"] >= 10


# Another training


def other_network() -> nn.Module:
    return network(width=17)


def another_loss(scores: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(scores, labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": other_network}, "network was 'Sequential [0-9a-f]+', is 'Sequential"),
        ({"train": lambda: images(60, seed=5)}, "training images was 'stripes"),
        ({"train": lambda: images(59)}, "training images was 'stripes"),
        ({"test": lambda: images(40, seed=5)}, "test images was 'stripes"),
        ({"test": lambda: None}, "test images was 'stripes .*', is None"),
        ({"recipe": replace(RECIPE, lr=0.03)}, "recipe.lr was 0.02, is 0.03"),
        ({"recipe": replace(RECIPE, epochs=9)}, "recipe.epochs was 2, is 9"),
        ({"recipe": replace(RECIPE, optimizer=Adam())}, "recipe.optimizer.kind was 'SGD', is 'Ad"),
        ({"recipe": replace(RECIPE, ema=0.9)}, "recipe.ema was None, is 0.9"),
        ({"recipe": replace(RECIPE, augment=ALL_AUGMENTED)}, "recipe.augment was None, is"),
        ({"seed": 4}, "seed was 3, is 4"),
        ({"loss": another_loss}, "loss was 'cross_entropy', is 'another_loss'"),
        ({"precision": "bf16"}, "precision was 'no', is 'bf16'"),
    ],
)
def test_another_training_is_not_continued(tmp_path, change, words):
    path = tmp_path / "file"
    model = network()
    at_pass(model, 6, raise_trouble)
    with pytest.raises(Trouble):
        train(model, path)
    before = path.read_bytes()
    change = dict(change)
    model = change.pop("model", lambda: network(seed=99))()
    untouched = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    sets = [change.pop("train", images)(), change.pop("test", lambda: images(40, 1))()]
    options = {"recipe": RECIPE, "seed": 3} | change
    with pytest.raises(ValueError, match=f"file belongs to another training(.|\n)*{words}"):
        fit(model, *sets, checkpoint=path, resume=True, checkpoint_every=0.0, **options)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file"]
    assert all(torch.equal(t, untouched[name]) for name, t in model.state_dict().items())


def test_a_training_in_another_precision_is_not_continued(tmp_path):
    train(network(), tmp_path / "file")
    wide = images().to(dtype=torch.float64)
    with pytest.raises(ValueError, match=r"another training(.|\n)*float32(.|\n)*float64"):
        fit(
            network().double(),
            wide,
            images(40, 1).to(dtype=torch.float64),
            recipe=RECIPE,
            seed=3,
            checkpoint=tmp_path / "file",
            resume=True,
        )


def test_several_differences_are_named_together(tmp_path):
    train(network(), tmp_path / "file")
    with pytest.raises(ValueError, match=r"recipe.lr was 0.02, is 0.5; seed was 3, is 8"):
        train(network(), tmp_path / "file", recipe=replace(RECIPE, lr=0.5), seed=8)


def test_a_checkpoint_is_not_overwritten_unasked(tmp_path):
    train(network(), tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    with pytest.raises(FileExistsError, match="holds a training already: pass resume=True"):
        train(network(), tmp_path / "file", resume=False)
    assert (tmp_path / "file").read_bytes() == before


def test_resuming_needs_a_file_to_resume_from():
    with pytest.raises(ValueError, match="resume=True needs the file"):
        train(network(), None)


# Damage


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_a_damaged_checkpoint_is_refused_and_left_as_it_is(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(good_checkpoint())
        good = path.read_bytes()
        place = data.draw(st.integers(0, len(good) - 1))
        damaged = data.draw(
            st.sampled_from(
                [
                    good[:place],
                    good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :],
                    good[:place] + good[place + 1 :],
                ]
            )
        )
        path.write_bytes(damaged)
        model = network(seed=99)
        untouched = network(seed=99)
        with pytest.raises(CheckpointError, match="/file "):
            train(model, path)
        assert path.read_bytes() == damaged and same_weights(model, untouched)


@cache
def good_checkpoint() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        train(network(), Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def test_files_of_something_else_are_refused_and_left_as_they_are(tmp_path):
    path = tmp_path / "file"
    checkpoint.write(path, {"some": "other state"})
    with pytest.raises(ValueError, match="is no checkpoint of a training"):
        train(network(), path)
    torch.save(network().state_dict(), path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="looks like a pickle"):
        train(network(), path)
    assert path.read_bytes() == before


def test_weights_that_are_no_numbers_any_more_do_not_replace_a_good_checkpoint(tmp_path):
    path, model = tmp_path / "file", network()

    def spoil() -> None:
        nn.init.constant_(model[0].weight, torch.nan)

    at_pass(model, 4, spoil)
    with pytest.raises(RuntimeError, match="the loss became nan in step 4 of 8"):
        train(model, path)
    state = checkpoint.read(path)
    assert state["position"]["batch"] == 3
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


# Disks


@contextlib.contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> Iterator[None]:
    """From a certain write on, there is no space for the end of a file."""
    writes, write = iter(range(after + 1)), fetch.write

    def pieces(data):
        yield from list(data)[:-1]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def limited(data, path, **options):
        write(data if next(writes, after) < after else pieces(data), path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fetch, "write", limited)
        yield


@pytest.mark.parametrize("after", [0, 1, 5, STEPS - 1])
def test_on_a_full_disk_the_last_good_checkpoint_stays_and_goes_on(tmp_path, monkeypatch, after):
    path = tmp_path / "file"
    model = network()
    with (
        full_disk(monkeypatch, after),
        pytest.raises(OSError, match="No space left on device: .*/file") as fault,
    ):
        train(model, path)
    assert os.listdir(tmp_path) == (["file"] if after else [])
    notes = "\n".join(fault.value.__notes__)
    assert ("pass resume=True" in notes) == bool(after)
    assert not model.training and all(p.isfinite().all() for p in model.parameters())
    again = network(seed=99 if after else 0)
    history = train(again, path)
    expected, expected_history = undisturbed("momentum")
    assert same_weights(again, expected) and history == expected_history


@POSIX
def test_on_a_disk_too_small_for_a_second_file_the_first_one_stays(tmp_path):
    import resource

    path = tmp_path / "file"
    model = network()
    at_pass(model, 5, raise_trouble)
    with pytest.raises(Trouble):
        train(model, path)
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large: .*/file"):
            train(network(seed=99), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file"]
    model = network(seed=99)
    train(model, path)
    assert same_weights(model, undisturbed("momentum")[0])


@POSIX
def test_in_a_read_only_folder_training_says_so(tmp_path):
    above = Path(tempfile.mkdtemp())  # those of pytest are closed to others
    folder = above / "folder"
    folder.mkdir()
    above.chmod(0o755)
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:  # who may write everywhere
            os.seteuid(65534)
        with pytest.raises(PermissionError, match="Permission denied: .*/folder/file"):
            train(network(), folder / "file")
    finally:
        if root:
            os.seteuid(0)
        folder.rmdir()
        above.rmdir()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder .*no does not exist"):
        train(network(), tmp_path / "no" / "file")
