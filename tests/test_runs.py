"""Runs: what is kept of a training, that it repeats and resumes, and what is refused beforehand."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import cnnlib
from cnnlib import checkpoint, data, models, runs, weights
from cnnlib.augment import Crops
from cnnlib.models import googlenet, lenet, nasnet
from cnnlib.runs import folder as files
from cnnlib.runs import images, training
from cnnlib.train import Recipe
from cnnlib.train.schedules import Plateau

LENET = {"network": "lenet5_modern", "data": "mnist_5k", "limit": 200, "epochs": 3}
FASHION = {"data": "fashion_6k", "limit": 60, "epochs": 1, "batch_size": 20}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A training of three epochs; tests look at it and leave it as it is."""
    return runs.train(**LENET, out=tmp_path_factory.mktemp("runs") / "lenet")


def equal(one, other):
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first | second)


# What is kept


def test_a_run_keeps_weights_history_curves_checkpoint_and_configuration(finished):
    kept = {path.name for path in finished.folder.iterdir()}
    assert kept == {
        "checkpoint.safetensors",
        "config.json",
        "curves.svg",
        "history.json",
        "weights.safetensors",
    }
    assert (finished.folder / "curves.svg").read_text().count("</svg>") == 1


def test_the_configuration_tells_settings_recipe_data_and_what_it_ran_on(finished):
    config = json.loads((finished.folder / "config.json").read_text())
    assert config == finished.config
    assert config["arguments"] == runs.Settings(**LENET).to_dict()
    assert Recipe.from_dict(config["recipe"]).epochs == 3
    assert config["network"]["name"] == "lenet5_modern"
    assert config["network"]["options"] == {"num_classes": 10, "in_channels": 1}
    assert config["network"]["parameters"] == 61_706
    assert config["data"]["shape"] == [1, 32, 32]
    assert config["data"]["train"]["images"] == config["data"]["test"]["images"] == 200
    (start,) = config["starts"]
    assert start["started"] <= start["ended"] and start["outcome"] == "finished"
    assert start["versions"]["torch"] == torch.__version__
    assert start["versions"]["cnnlib"] == cnnlib.__version__
    assert {"python", "torchvision", "accelerate"} <= set(start["versions"])
    assert start["device"] == "cpu" and start["device_name"]
    assert start["threads"] == torch.get_num_threads() and start["processes"] == 1
    assert os.uname().nodename not in json.dumps(start["versions"])


def test_the_history_has_every_epoch_with_its_time(finished):
    history = json.loads((finished.folder / "history.json").read_text())
    assert [row["epoch"] for row in history["rows"]] == [1, 2, 3]
    assert len(history["epoch_seconds"]) == len(history["images_per_second"]) == 3
    assert history["images_per_second"][0] == pytest.approx(200 / history["epoch_seconds"][0])


def test_the_card_of_the_weights_tells_how_they_came_about(finished):
    card = weights.read_card(finished.folder / "weights.safetensors")
    assert (card.name, card.seed, card.n) == ("lenet5_modern", 0, 200)
    assert card.recipe == finished.config["recipe"]
    assert card.accuracy == 1 - finished.history.final["test_error"]


def test_a_run_is_loaded_as_it_was(finished):
    loaded = runs.load(finished.folder)
    assert equal(loaded.model, finished.model) and not loaded.model.training
    assert loaded.history == finished.history and loaded.config == finished.config


def test_what_is_measured_afterwards_is_what_the_last_epoch_measured(finished):
    found = runs.evaluate(finished.folder)
    final = finished.history.final
    assert found["loss"] == pytest.approx(final["test_loss"], rel=1e-6)
    assert (found["error"], found["n"]) == (final["test_error"], 200)
    assert "top5_error" not in found and found["split"] == "test"


def test_other_splits_and_other_data_with_the_same_classes_are_measured_whole(finished):
    whole = runs.evaluate(finished.folder, data="mnist_5k")
    assert whole["n"] == 1000
    assert runs.evaluate(finished.folder, split="train")["n"] == 200
    mean, std = (finished.config["data"][name] for name in ("mean", "std"))
    test = data.load("mnist_5k", "test").padded(32).normalized(mean, std)
    wrong = (finished.model(test.images).argmax(1) != test.labels).sum().item()
    assert whole["error"] == wrong / 1000


# That it repeats


def test_the_configuration_of_a_run_gives_the_same_weights_again(finished, tmp_path):
    config = json.loads((finished.folder / "config.json").read_text())
    again = runs.train(**config["arguments"], out=tmp_path / "by arguments")
    assert equal(again.model, finished.model) and again.history == finished.history
    whole = config["arguments"] | {"recipe": config["recipe"]}
    again = runs.train(**whole, out=tmp_path / "by recipe")
    assert equal(again.model, finished.model)
    other = runs.train(**config["arguments"] | {"seed": 1}, out=tmp_path / "other seed")
    assert not equal(other.model, finished.model)


@pytest.mark.parametrize("epochs", [1, 2])
def test_an_interrupted_run_ends_with_the_same_weights_when_it_is_resumed(
    finished, tmp_path, monkeypatch, epochs
):
    report = files.Reporter.__call__

    def interrupt(self, history):
        report(self, history)
        if len(history.rows) == epochs:
            raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(runs.Interrupted) as stop:
        patch.setattr(files.Reporter, "__call__", interrupt)
        runs.train(**LENET, out=out)
    assert str(stop.value).endswith(f"to go on: python -m cnnlib train --resume --out {out}")
    assert json.loads((out / "config.json").read_text())["starts"][0]["outcome"] == "interrupted"
    assert len(files.read_history(out).rows) == epochs
    with pytest.raises(ValueError, match="no weights.safetensors yet.*--resume"):
        runs.load(out)
    resumed = runs.resume(out)
    assert equal(resumed.model, finished.model) and resumed.history == finished.history
    assert [start["outcome"] for start in resumed.config["starts"]] == ["interrupted", "finished"]
    assert equal(runs.load(out).model, finished.model)


def test_a_finished_run_is_left_as_it_is(finished):
    before = {path.name: path.stat().st_mtime_ns for path in finished.folder.iterdir()}
    again = runs.resume(finished.folder)
    assert equal(again.model, finished.model)
    assert {path.name: path.stat().st_mtime_ns for path in finished.folder.iterdir()} == before


def test_a_run_whose_weights_are_lost_gets_them_back_from_its_checkpoint(finished, tmp_path):
    for name in ("config.json", "checkpoint.safetensors"):
        (tmp_path / name).write_bytes((finished.folder / name).read_bytes())
    assert equal(runs.resume(tmp_path).model, finished.model)
    assert (tmp_path / "weights.safetensors").exists()


def test_arguments_may_be_given_again_but_not_others(finished):
    runs.resume(finished.folder, network="lenet5_modern", epochs=3, options={})
    for given, words in (
        ({"lr": 0.5}, "started with lr null"),
        ({"data": "mnist"}, 'started with data "mnist_5k"'),
        ({"batch_size": 8}, "started with batch-size null"),
        ({"options": {"batch_norm": True}}, "started with option batch_norm null"),
    ):
        with pytest.raises(ValueError, match=f"{words}.*leave that argument away"):
            runs.resume(finished.folder, **given)
    with pytest.raises(TypeError, match="no argument 'stem'"):
        runs.resume(finished.folder, stem="small")


# Data and network fit together


def test_lenet_gets_padded_digits_and_the_loss_of_its_paper(tmp_path):
    run = runs.train("lenet5", "mnist_5k", limit=100, epochs=1, out=tmp_path / "run")
    assert run.config["network"]["loss"] == run.history.loss == "map_loss"
    assert run.history.recipe.lr == Recipe().lr / 10  # no batch normalisation
    border = images.Wanted("mnist_5k", 32, pad=True).open("train").images[:, :, :2]
    assert border.unique().numel() == 1


def test_networks_are_built_for_channels_classes_and_size_of_the_data():
    plan = training.prepare(runs.Settings("vgg_a", limit=50, data="fashion_6k", size=40))
    assert plan.options == {"num_classes": 10, "in_channels": 1, "image_size": 40}
    assert training.shape_of(plan.train) == training.shape_of(plan.test) == (1, 40, 40)
    assert len(plan.train) == len(plan.test) == 50


def test_images_are_normalised_by_the_training_split():
    plan = training.prepare(runs.Settings("resnet20_cifar", "fashion_6k"))
    pixels = plan.train.images.double()
    assert pixels.mean().abs() < 1e-5 and abs(pixels.std(correction=0) - 1) < 1e-5
    assert plan.test.mean == plan.train.mean and plan.test.std == plan.train.std
    assert plan.recipe.lr == Recipe().lr


def test_scaled_images_keep_their_colours_and_content():
    small = data.load("fashion_6k").select(range(7))
    large = images.scaled(small, 56)
    assert large.images.shape == (7, 1, 56, 56) and large.images.dtype == torch.uint8
    back = F.avg_pool2d(large.images.float(), 2)
    assert (back - small.images.float()).abs().mean() < 8


def test_a_limit_chooses_the_same_images_of_all_classes_each_time():
    one = images.Wanted("fashion_6k", limit=200).open("train")
    assert torch.equal(one.images, images.Wanted("fashion_6k", limit=200).open("train").images)
    assert min(one.counts().values()) > 5 and len(one) == 200


def test_losses_are_those_of_the_papers():
    with torch.device("meta"):
        assert models.loss_for(models.create_model("lenet5")) is lenet.map_loss
        assert models.loss_for(models.create_model("lenet5", output="linear")) is F.cross_entropy
        assert models.loss_for(models.create_model("googlenet_aux")) is googlenet.auxiliary_loss
        assert models.loss_for(models.create_model("nasnet_a_cifar")) is nasnet.auxiliary_loss
        assert models.loss_for(models.create_model("resnet18")) is F.cross_entropy


def test_networks_with_one_image_size_say_which():
    assert models.image_size("lenet5") == 32
    assert models.image_size("alexnet") == 227 and models.image_size("alexnet_owt") == 224
    assert models.image_size("nasnet_a_large") == 331
    assert models.image_size("resnet18") is None
    with pytest.raises(ValueError, match="unknown model"):
        models.image_size("resnet")


@pytest.mark.parametrize(
    "network, options",
    [
        pytest.param(
            "googlenet_aux", {"stem": "small", "width_multiplier": 0.125}, marks=pytest.mark.slow
        ),
        ("nasnet_a_cifar", {"repeats": 1, "filters": 24, "auxiliary_head": True}),
    ],
)
def test_networks_with_auxiliary_heads_are_trained_with_them(tmp_path, network, options):
    run = runs.train(network, **FASHION, options=options, out=tmp_path / "run")
    assert run.history.loss == "auxiliary_loss"
    found = runs.evaluate(run.folder)
    assert found["loss"] == pytest.approx(run.history.final["test_loss"], rel=1e-5)


def test_a_batch_larger_than_the_data_is_one_step_and_said(tmp_path, caplog):
    with caplog.at_level("INFO", "cnnlib.runs"):
        settings = LENET | {"limit": 30, "epochs": 1, "batch_size": 1000}
        run = runs.train(**settings, out=tmp_path / "run")
    assert "the batch size is 1,000, more than the 30 images: one step per epoch" in caplog.text
    assert len(run.history.rows) == 1


def test_departures_from_the_paper_are_told_and_kept(tmp_path, caplog):
    with caplog.at_level("INFO", "cnnlib.runs"):
        run = runs.train("resnet20_cifar", **FASHION, recipe="paper", out=tmp_path / "run")
    departures = run.config["departures"]
    assert "The recipe is for cifar10 at 32x32 pixels." in departures
    assert "Epochs 1 instead of 164." in departures
    assert "Batch size 20 instead of 128." in departures
    assert any("81.84, 122.8 are not reached" in line for line in departures)
    assert all(f"not as in the paper: {line}" in caplog.text for line in departures)


def test_the_protocol_says_when_the_test_split_sets_the_learning_rate():
    assert "never influences" in training._protocol(Recipe())
    assert "learning rate falls" in training._protocol(Recipe(schedule=Plateau()))


# Streams of files


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Twelve classes of photographs, so to speak, in folders."""
    top = tmp_path_factory.mktemp("images") / "tree"
    chance = torch.Generator().manual_seed(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in range(12):
            (top / split / f"kind{kind:02}").mkdir(parents=True)
            for number in range(count):
                noise = torch.randint(40, (30, 40, 3), generator=chance) + 15 * kind
                picture = Image.fromarray(noise.to(torch.uint8).numpy())
                picture.save(top / split / f"kind{kind:02}" / f"{number}.png")
    return top


def test_folders_of_images_are_trained_on_and_measured(tree, tmp_path):
    name = f"imagefolder:{tree}"
    settings = {"epochs": 1, "batch_size": 16, "options": {"stem": "small"}, "size": 24}
    run = runs.train("mobilenet_v1_0.25_128", name, **settings, out=tmp_path / "run")
    about = run.config["data"]
    assert about["shape"] == [3, 24, 24] and len(about["classes"]) == 12
    assert (about["train"]["images"], about["test"]["images"]) == (48, 24)
    assert 0.2 < about["mean"][0] < 0.6  # colours from 0 to 1
    assert run.config["recipe"]["crops"]["size"] == 24
    found = runs.evaluate(run.folder)
    assert found["error"] == run.history.final["test_error"]
    assert found["top5_error"] <= found["error"]
    with pytest.raises(ValueError, match="both are streams of files, or neither"):
        runs.evaluate(run.folder, data="cifar10")


def test_a_limit_holds_for_streams_too(tree):
    part = images.Wanted(f"imagefolder:{tree}", 24, limit=10, crops=Crops(24)).open("train")
    whole = images.Wanted(f"imagefolder:{tree}", 24, crops=Crops(24)).open("train")
    assert len(part) == 10 and part.fingerprint() != whole.fingerprint()
    seen = list(data.batches(part, 4, generator=torch.Generator().manual_seed(0)))
    assert [len(labels) for _, labels in seen] == [4, 4, 2]
    assert sorted(torch.cat([labels for _, labels in seen]).tolist()) == sorted(
        part.labels.tolist()
    )


def test_streams_are_cut_to_what_the_network_was_published_for(tree):
    settings = runs.Settings("alexnet", f"imagefolder:{tree}")
    wanted = training.wanted_images(settings, Recipe())
    assert wanted.crops is not None and wanted.crops.size == 227


def test_crops_keep_their_proportions_at_another_size():
    assert images.sized(None, 64) == Crops(64)
    crops = images.sized(Crops(224, resize=(256, 480), colour="pca"), 112)
    assert (crops.size, crops.resize, crops.colour) == (112, (128, 240), "pca")
    assert images.sized(Crops(224, resize=256), 7).resize == 8


def test_the_shards_of_the_test_are_found_beside_those_of_the_training(tmp_path):
    for name in ("set-train-000.tar", "set-train-001.tar", "set-val-000.tar"):
        (tmp_path / name).touch()
    pattern = f"{tmp_path}/set-train-{{000..001}}.tar"
    assert images.shards_of(pattern, "train") == pattern
    assert images.shards_of(pattern, "test") == f"{tmp_path}/set-val-*.tar"
    (tmp_path / "set-val-000.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"no test shards .*set-test-\*.*set-val-\*"):
        images.shards_of(pattern, "test")
    with pytest.raises(ValueError, match="must have 'train' in its last part"):
        images.shards_of(f"{tmp_path}/*.tar", "train")
    (tmp_path / "val").mkdir()
    assert images.shards_of(str(tmp_path), "test") == str(tmp_path / "val")
    with pytest.raises(FileNotFoundError, match="no folder .*train"):
        images.shards_of(str(tmp_path), "train")


# Which folder


def test_runs_without_a_folder_get_one_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = LENET | {"limit": 20, "epochs": 1}
    names = [str(runs.train(**settings).folder) for _ in range(2)]
    assert names == ["runs/lenet5_modern-mnist_5k-seed0", "runs/lenet5_modern-mnist_5k-seed0-2"]


@pytest.mark.parametrize(
    "name, folder",
    [
        ("cifar10", "cifar10"),
        ("imagefolder:/data/my flowers/", "imagefolder-my-flowers"),
        ("shards:/data/net-train-{000..146}.tar", "shards-net-train-000..146-.tar"),
        ("imagefolder:/", "imagefolder"),
    ],
)
def test_folders_are_named_after_the_data(name, folder):
    assert images.short(name) == folder


def test_a_folder_with_something_in_it_is_never_overwritten(finished, tmp_path):
    before = (finished.folder / "config.json").read_bytes()
    with pytest.raises(FileExistsError, match="go on with it by --resume, or choose another"):
        runs.train(**LENET, out=finished.folder)
    assert (finished.folder / "config.json").read_bytes() == before
    (tmp_path / "letter").touch()
    with pytest.raises(FileExistsError, match="is there already: choose another"):
        runs.train(**LENET, out=tmp_path)
    with pytest.raises(FileExistsError, match="is there already"):
        runs.train(**LENET, out=tmp_path / "letter")
    with pytest.raises(NotADirectoryError, match="letter is a file"):
        runs.train(**LENET, out=tmp_path / "letter" / "run")


def test_an_empty_folder_is_taken(tmp_path):
    files.check_free(tmp_path)
    assert files.make(tmp_path) == []


def test_a_run_that_cannot_be_written_down_does_not_begin(tmp_path, monkeypatch):
    def full(path, values):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(OSError, match="No space left on device"):
        runs.train(**LENET, out=tmp_path / "below" / "run")
    assert list(tmp_path.iterdir()) == []


def test_two_runs_that_begin_at_once_do_not_share_a_folder(tmp_path, monkeypatch):
    out, prepare = tmp_path / "run", training.prepare

    def prepare_slowly(settings):
        out.mkdir()
        (out / "config.json").write_text("that of the other")
        return prepare(settings)

    monkeypatch.setattr(training, "prepare", prepare_slowly)
    with pytest.raises(FileExistsError):
        runs.train(**LENET, out=out)
    assert (out / "config.json").read_text() == "that of the other"


# What is refused leaves nothing behind


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"network": "lenet"}, "no network 'lenet'; did you mean 'lenet5'"),
        ({"data": "minst"}, "no data 'minst'; did you mean mnist"),
        ({"data": "shards"}, "did you mean shards:PATTERN"),
        ({"data": "ImageFolder:/x"}, "did you mean imagefolder:PATH"),
        ({"data": "q"}, "there are mnist_5k, .*shards:PATTERN"),
        ({"recipe": "papr"}, "no recipe 'papr'; did you mean 'paper'"),
        ({"recipe": "q"}, "there are fast, paper"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"lr": 0.0}, "lr must be a positive number"),
        ({"lr": -0.1}, "lr must be a positive number"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"micro_batch": 0}, "micro_batch must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 2**32}, "seed must be below"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"device": "gpu"}, "device must be auto or cpu or cuda"),
        ({"device": "cuda"}, "device cuda: torch finds no such device"),
        ({"precision": "fp8"}, "precision must be"),
        ({"precision": "fp16", "device": "cpu"}, "fp16 needs a CUDA device"),
        ({"options": {"batchnorm": True}}, "no option 'batchnorm'.*did you mean 'batch_norm'"),
        ({"options": {"connections": "few"}}, "connections must be one of"),
        ({"options": {"num_classes": 3}}, "num_classes follows the data"),
        ({"size": 28}, "takes images of 32x32 pixels only"),
        ({"network": "vgg_d"}, "at least 32; got 28.*--size 224 .*--option stem=small"),
        ({"network": "densenet121"}, "at least 29 x 29.*--size 224 .*--option stem=small"),
        ({"network": "vgg_d", "size": 64, "options": {"image_size": 32}}, "give one"),
        ({"network": "resnet18", "size": 10**7}, "GiB of memory.*smaller --size or a --limit"),
        ({"checkpoint_every": -1}, "checkpoint_every"),
    ],
)
def test_settings_that_make_no_sense_leave_nothing_behind(tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        runs.train(**LENET | settings, out=tmp_path / "below" / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"limit": "many"}, "limit must be a whole number"),
        ({"data": 5}, "named by a string"),
        ({"rate": 0.1}, "rate"),
    ],
)
def test_settings_of_the_wrong_kind_leave_nothing_behind(tmp_path, settings, words):
    with pytest.raises(TypeError, match=words):
        runs.train(**LENET | settings, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_is_not_there_leaves_nothing_behind(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere is no folder"):
        runs.train("resnet18", f"imagefolder:{tmp_path}/nowhere", out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_data_that_cannot_be_fetched_are_no_wrong_argument(tmp_path, monkeypatch):
    def unreachable(name, split):
        raise OSError(f"no source has {name}")

    monkeypatch.setattr(data, "load", unreachable)
    with pytest.raises(runs.NoData, match="no source has cifar10"):
        runs.train("resnet20_cifar", "cifar10", out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_runs_that_are_none_and_damaged_ones_are_named(finished, tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        runs.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no run: there is no config.json"):
        runs.load(tmp_path)
    for name in ("config.json", "history.json", "weights.safetensors", "checkpoint.safetensors"):
        (tmp_path / name).write_bytes((finished.folder / name).read_bytes())

    def damaged(name, content):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}.* damaged") as error:
            runs.evaluate(tmp_path)
        (tmp_path / name).write_bytes(whole)
        return str(error.value)

    config = dict(finished.config)
    damaged("config.json", b"{")
    damaged("config.json", b"\xff")
    damaged("config.json", b"[]")
    damaged("config.json", b"{}")
    about = {key: value for key, value in config["data"].items() if key != "mean"}
    assert "'mean' is missing" in damaged("config.json", as_json(config | {"data": about}))
    arguments = config["arguments"] | {"network": "lenet6"}
    assert "'lenet6'" in damaged("config.json", as_json(config | {"arguments": arguments}))
    damaged("history.json", b"{}")
    damaged("weights.safetensors", (tmp_path / "weights.safetensors").read_bytes()[:-4])
    runs.evaluate(tmp_path)


def as_json(values):
    return json.dumps(values).encode()


def test_a_damaged_checkpoint_is_not_resumed_and_the_folder_stays(finished, tmp_path):
    config = (finished.folder / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(config)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(checkpoint.CheckpointError, match="checkpoint.safetensors"):
        runs.resume(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == json.loads(config)


def test_other_classes_are_not_measured(finished):
    with pytest.raises(ValueError, match=r"other classes \(T-shirt/top, .*10 in all\)"):
        runs.evaluate(finished.folder, data="fashion_6k")
    with pytest.raises(ValueError, match="split must be"):
        runs.evaluate(finished.folder, split="val")


# What fails later


def test_a_training_that_diverges_says_so_and_keeps_what_it_was(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(runs.Failed, match=r"the loss (became|grew).*keeps 0 of 3 epochs"):
        runs.train(**LENET, lr=1e9, out=out)
    (start,) = json.loads((out / "config.json").read_text())["starts"]
    assert start["outcome"].startswith("failed: the loss") and start["ended"]


def test_a_full_disk_says_so_and_the_run_can_go_on(finished, tmp_path, monkeypatch):
    write, written = checkpoint.write, []

    def full(path, state):
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, state)

    with monkeypatch.context() as patch, pytest.raises(runs.Failed) as failure:
        patch.setattr(checkpoint, "write", full)
        runs.train(**LENET, out=tmp_path / "run")
    assert "No space left on device" in str(failure.value)
    assert "keeps 1 of 3 epochs; to go on: python -m cnnlib train" in str(failure.value)
    assert equal(runs.resume(tmp_path / "run").model, finished.model)


# Beside the training


def test_tensorboard_gets_every_epoch_once_also_after_an_interruption(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report = files.Reporter.__call__

    def interrupt(self, history):
        report(self, history)
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(runs.Interrupted):
        patch.setattr(files.Reporter, "__call__", interrupt)
        runs.train(**LENET, out=out, tensorboard=True)
    time.sleep(1.1)  # the names of event files count seconds
    run = runs.resume(out, tensorboard=True)
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert {"lr", "train/loss", "test/error", "images_per_second"} <= set(events.Tags()["scalars"])
    errors = [(event.step, event.value) for event in events.Scalars("test/error")]
    assert errors == [(row["epoch"], pytest.approx(row["test_error"])) for row in run.history.rows]


def test_without_tensorboard_the_package_to_install_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        runs.train(**LENET, out=tmp_path / "run", tensorboard=True)
    assert list(tmp_path.iterdir()) == []


def test_curves_are_drawn_in_between_when_that_is_cheap(finished, tmp_path, monkeypatch):
    report = files.Reporter(tmp_path, "title", 200, tensorboard=False)
    report(finished.history)
    assert not (tmp_path / "curves.svg").exists()
    monkeypatch.setattr(files, "DRAW_EVERY", 0.0)
    report(finished.history)
    drawn = (tmp_path / "curves.svg").read_bytes()
    report.draw(finished.history)
    assert (tmp_path / "curves.svg").read_bytes() == drawn  # the same every time


def test_the_commit_is_that_of_the_checkout_or_none(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)

    monkeypatch.setattr(cnnlib, "__file__", str(tmp_path / "__init__.py"))
    assert files.commit() is None
    (tmp_path / "__init__.py").touch()
    git("init", "-q")
    assert files.commit() is None  # in somebody else's checkout
    git("add", "__init__.py")
    git("commit", "-q", "-m", "first")
    found = files.commit()
    assert found is not None and len(found["id"]) == 40 and not found["dirty"]
    (tmp_path / "__init__.py").write_text("changed")
    assert files.commit() == found | {"dirty": True}


def test_a_resumption_elsewhere_says_what_differs():
    now = files.surroundings("cpu", None)
    assert list(training._differences([], now)) == list(training._differences([now], now)) == []
    (words,) = training._differences([now | {"threads": 64}], now)
    assert words.startswith("threads: 64 at the start of this run, now")


def test_settings_are_plain_data_and_come_back():
    settings = runs.Settings(
        "resnet18", "mnist", recipe=Recipe(epochs=7), options={"stem": "small"}
    )
    values = json.loads(json.dumps(settings.to_dict()))
    assert runs.Settings(**values).whole_recipe() == Recipe(epochs=7)
    assert dataclasses.replace(settings, epochs=2).whole_recipe() == Recipe(epochs=2)


# As programs


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights_when_it_is_resumed(finished, tmp_path):
    program = [sys.executable, "-m", "cnnlib", "train"]
    settings = ["lenet5_modern", "--data", "mnist_5k", "--limit", "200", "--epochs", "3"]
    out = tmp_path / "run"
    often = ["--checkpoint-every", "0"]
    with subprocess.Popen([*program, *settings, *often, "--out", out, "--quiet"]) as process:
        limit = time.monotonic() + 60
        while not (out / "checkpoint.safetensors").exists() and time.monotonic() < limit:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    subprocess.run([*program, "--resume", "--out", out, "--quiet"], check=True)
    assert equal(runs.load(out).model, finished.model)


@pytest.mark.slow
def test_two_processes_keep_one_run(finished, tmp_path):
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    settings = ["lenet5_modern", "--data", "mnist_5k", "--limit", "200", "--epochs", "3"]
    done = subprocess.run(
        [*launch, "-m", "cnnlib", "train", *settings, "--device", "cpu"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    (out,) = (tmp_path / "runs").iterdir()
    assert done.stdout.count("test error") == 1 and done.stdout.count("epoch 3/3") == 1
    run = runs.load(out)
    assert run.config["starts"][0]["processes"] == run.history.processes == 2
    for ours, theirs in zip(run.model.parameters(), finished.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
