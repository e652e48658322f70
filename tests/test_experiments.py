"""What the long experiments share, on a tiny one; and stored runs that are computed again."""

import itertools
import json
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnlib import book
from cnnlib.data import ImageSet
from cnnlib.models.resnet import resnet_cifar
from cnnlib.train import Recipe, evaluate
from experiments import common, resnet_depth

TINY = '''
from pathlib import Path

LOG = Path(__file__).with_name("log")


class Settings:
    """Stands for a Recipe, without importing torch in every process."""

    def __init__(self, values):
        self.values = values

    def to_dict(self):
        return self.values


def run(arm, seed):
    """Notes its call; stops where the file "stop" says so."""
    stop = LOG.with_name("stop")
    if stop.exists() and stop.read_text() == f"{arm['name']} {seed}":
        raise RuntimeError("stopped here")
    with LOG.open("a") as log:
        log.write(f"{arm['name']} {seed}\\n")
    number = len(LOG.read_text().splitlines())
    return {"train_error": 0.1 * (seed + 1), "call": number, "options": arm["options"]}
'''
ARMS = [
    {
        "name": name,
        "options": {"depth": depth},
        "loss": "cross_entropy",
        "parameters": 10 * depth,
        "colour": "red",
    }
    for name, depth in (("short", 2), ("long", 9))
]
ABOUT = {"protocol": "a test"}


class Tiny:
    """An experiment of two arms and two seeds in a folder of its own."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        (folder / "tiny_experiment.py").write_text(TINY)
        monkeypatch.syspath_prepend(str(folder))
        import tiny_experiment

        self.function = tiny_experiment.run
        recipe = tiny_experiment.Settings(Recipe(epochs=2, lr=0.2).to_dict())
        self.arms = [arm | {"recipe": recipe} for arm in ARMS]
        self.output = folder / "deep" / "tiny.json"
        self.partial = folder / "deep" / "tiny.partial.json"

    def __call__(self, *arguments):
        """Runs it; gives the calls that were made."""
        (self.folder / "log").unlink(missing_ok=True)
        line = ["tiny", "--output", str(self.output), *arguments]
        self.monkeypatch.setattr(sys, "argv", line)
        common.main("tiny", self.arms, self.function, ABOUT, seeds=(0, 1))
        return self.calls()

    def calls(self):
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def stored(self):
        return json.loads(self.output.read_text())


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "tiny_experiment", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # main sets it; this puts it back
    (tmp_path / "deep").mkdir()
    yield Tiny(tmp_path, monkeypatch)
    sys.modules.pop("tiny_experiment", None)


def test_every_arm_is_run_with_every_seed_and_stored_with_what_made_it(tiny, capsys):
    assert tiny() == ["short 0", "short 1", "long 0", "long 1"]
    record = tiny.stored()
    assert record["about"] == ABOUT
    assert record["versions"]["torch"] == torch.__version__.split("+")[0]
    short, long = record["arms"]
    assert (short["name"], short["options"], short["parameters"]) == ("short", {"depth": 2}, 20)
    assert short["colour"] == "red"
    assert Recipe.from_dict(long["recipe"]) == Recipe(epochs=2, lr=0.2)
    assert [run["seed"] for run in long["runs"]] == [0, 1]
    assert long["runs"][1]["options"] == {"depth": 9}
    assert not tiny.partial.exists()
    printed = capsys.readouterr().out
    assert "long, seed 1: train_error 20.00 %" in printed
    assert "train_error  15.00 ±  7.07 %" in printed


def test_what_is_stored_can_be_read_as_stored_runs(tiny, monkeypatch):
    tiny()
    shelf = tiny.folder / "assets" / "runs"
    shelf.mkdir(parents=True)
    tiny.output.rename(shelf / "tiny.json")
    monkeypatch.setattr(book.resources, "files", lambda package: tiny.folder)
    runs = book.stored_runs("tiny")
    assert runs["long"].values("train_error") == [0.1, 0.2]
    assert runs["long"].more == {"colour": "red"}
    assert runs["long"].recipe == Recipe(epochs=2, lr=0.2)
    with pytest.raises(KeyError, match="'middle'.*'short', 'long'"):
        runs["middle"]


def test_an_interrupted_experiment_goes_on_where_it_was(tiny):
    (tiny.folder / "stop").write_text("long 0")
    with pytest.raises(RuntimeError, match="stopped here"):
        tiny()
    assert not tiny.output.exists()
    done = json.loads(tiny.partial.read_text())
    assert list(done["short"]) == ["0", "1"] and done["long"] == {}
    (tiny.folder / "stop").unlink()
    assert tiny() == ["long 0", "long 1"]
    short, long = tiny.stored()["arms"]
    assert [run["call"] for run in short["runs"]] == [1, 2]  # of the first call, not repeated
    assert [run["call"] for run in long["runs"]] == [1, 2]
    assert not tiny.partial.exists()


def test_one_arm_is_run_anew_and_the_others_stay_as_they_are(tiny):
    tiny()
    before = tiny.stored()["arms"]
    assert tiny("--arms", "long") == ["long 0", "long 1"]
    after = tiny.stored()["arms"]
    assert after[0] == before[0]
    assert [run["call"] for run in before[1]["runs"]] == [3, 4]
    assert [run["call"] for run in after[1]["runs"]] == [1, 2]


def test_unknown_arms_are_refused_before_anything_runs(tiny, capsys):
    with pytest.raises(SystemExit) as stopped:
        tiny("--arms", "long", "middle")
    assert stopped.value.code == 2
    assert "unknown arms ['middle']; there are ['short', 'long']" in capsys.readouterr().err
    assert tiny.calls() == [] and not tiny.output.exists()


# -- resnet_depth ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """A residual network whose blocks all do something, and images: float64, nothing is trained."""
    torch.manual_seed(0)
    model = resnet_cifar(14, in_channels=1, widths=[4, 8, 8]).double().eval()
    images = torch.randn(40, 1, 8, 8, dtype=torch.float64)
    classes = tuple("0123456789")
    return model, ImageSet("noise", images, torch.randint(10, (40,)), classes)


def test_a_network_without_blocks_is_the_one_with_identities_in_their_place(trained):
    model, images = trained
    subsets = resnet_depth.subset_errors(model, images)
    assert len(subsets) == 64 and len(set(subsets)) > 5
    assert subsets[0] == evaluate(model, images)["error"]
    for number, deleted in enumerate(
        {i for i in range(6) if number >> i & 1} for number in range(64)
    ):
        assert resnet_depth.error(model, images, deleted) == subsets[number]
    assert resnet_depth.single_errors(model, images) == [subsets[1 << i] for i in range(6)]
    stage, kept = model.conv3_x, model.conv3_x[1]
    stage[1] = nn.Identity()
    try:
        assert evaluate(model, images)["error"] == subsets[1 << 3]
    finally:
        stage[1] = kept


def test_the_gradients_of_all_paths_add_up_to_that_of_the_network(trained):
    model, images = trained
    entry = model.conv1(images.images).detach().requires_grad_()
    x = entry
    for block in model.residual_blocks():
        x = block(x)
    scores = model.fc(model.average_pool(x).flatten(1))
    (whole,) = torch.autograd.grad(F.cross_entropy(scores, images.labels, reduction="sum"), entry)
    parts = torch.zeros_like(whole)
    for length in range(7):
        for path in itertools.combinations(range(6), length):
            parts += resnet_depth.path_gradient(model, entry.detach(), images.labels, set(path))
    torch.testing.assert_close(parts, whole)


def test_the_recorder_sees_the_training_and_nothing_else():
    recorder = resnet_depth.Recorder()
    scores = torch.tensor([[2.0, 0.0], [0.0, 1.0]], requires_grad=True)
    for _ in range(resnet_depth.POINTS * resnet_depth.RECIPE.epochs):
        recorder(scores, torch.tensor([0, 0]))
        with torch.no_grad():
            recorder(torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64))
    curves = recorder.curves()
    assert curves["train_error"] == [0.5] * 12
    expected = F.cross_entropy(scores, torch.tensor([0, 0])).item()
    assert curves["train_loss"] == pytest.approx([expected] * 12)


@pytest.fixture(scope="module")
def runs():
    return book.stored_runs("resnet_depth")


def test_the_stored_runs_are_those_of_the_script(runs):
    arms = resnet_depth.arms()
    assert [arm.name for arm in runs.arms] == [arm["name"] for arm in arms]
    for stored, arm in zip(runs.arms, arms, strict=True):
        assert stored.options == arm["options"]
        assert stored.recipe == arm["recipe"]
        assert stored.parameters == arm["parameters"]
        assert [run["seed"] for run in stored.runs] == list(common.SEEDS)
        for key, places in stored.more["x"].items():
            assert all(len(run["curves"][key]) == len(places) for run in stored.runs)
            assert stored.runs[0]["curves"]["test_error"][-1] == stored.values("test_error")[0]


def test_stored_runs_show_degradation_and_its_cure_with_every_seed(runs):
    errors = {arm.name: arm.values("train_error") for arm in runs.arms}
    for plain14, plain44, res14, res44 in zip(
        errors["plain-14"],
        errors["plain-44"],
        errors["residual-14"],
        errors["residual-44"],
        strict=True,
    ):
        assert plain44 > plain14 + 0.10
        assert abs(res44 - res14) < 0.05
        assert res44 < plain44 - 0.10


def test_stored_gradients_of_plain_networks_do_not_vanish(runs):
    for gradients in runs["plain-44"].values("gradients_initial"):
        assert gradients[0] > 10 * gradients[-1]


def test_stored_residual_networks_survive_the_loss_of_a_block_and_plain_ones_do_not(runs):
    def middle(values):
        return sorted(values)[len(values) // 2]

    for name, low, high in (("residual-44", 0.0, 0.3), ("plain-44", 0.7, 1.0)):
        for errors in runs[name].values("single_test_error"):
            assert low < middle(errors) < high, name


@pytest.mark.slow
def test_a_stored_run_is_computed_again(runs):
    arm = next(arm for arm in resnet_depth.arms() if arm["dtype"] == "float64")
    before = torch.get_default_dtype(), torch.get_num_threads()
    try:
        again = resnet_depth.run(arm, 0)
    finally:
        torch.set_default_dtype(before[0])
        torch.set_num_threads(before[1])
    stored = runs[arm["name"]].runs[0]
    for key in ("train_loss", "test_loss"):
        assert again[key] == pytest.approx(stored[key], rel=1e-6)
    assert again["train_error"] == stored["train_error"]
    assert again["curves"]["train_loss"] == pytest.approx(stored["curves"]["train_loss"], abs=2e-4)
    assert again["gradients_initial"] == pytest.approx(stored["gradients_initial"], rel=1e-5)
