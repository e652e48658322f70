"""The command: what it prints, and one sentence when the arguments make no sense."""

import json
import signal
import subprocess
import sys
import time

import pytest

from cnnlib import cli, data, runs
from cnnlib import verify as verification
from cnnlib.inspection import summarize
from cnnlib.models import create_model, list_models
from cnnlib.published import networks


@pytest.fixture
def run(capsys):
    """Runs the command; returns its code, what it printed, and what it said on stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


# list


def test_the_list_has_every_network_once(run):
    code, out, err = run("list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(networks())
    assert set(networks()) == set(list_models())


def test_the_list_takes_a_pattern_and_names_the_paper(run):
    _, out, _ = run("list", "resnet5*")
    assert [line.split()[0] for line in out.splitlines()] == list_models("resnet5*")
    assert all("2015  Deep Residual Learning" in line for line in out.splitlines())


def test_the_list_for_programs_has_what_was_published(run):
    _, out, _ = run("list", "vgg_?", "--json")
    records = json.loads(out)
    assert [record["name"] for record in records] == list_models("vgg_?")
    assert records[0]["printed_parameters"] == "133M" and records[0]["input"] == [3, 224, 224]


# summary


def test_a_summary_is_that_of_the_library_at_the_published_size(run):
    _, out, _ = run("summary", "lenet5")
    assert out == f"{summarize(create_model('lenet5'))}\n"
    _, out, _ = run("summary", "squeezenet1_1")
    assert out == f"{summarize(create_model('squeezenet1_1'), (3, 224, 224))}\n"


def test_a_summary_takes_another_input_depth_and_number_of_classes(run):
    _, out, _ = run("summary", "resnet18", "--input", "1,64,48", "--classes", "7", "--depth", "2")
    model = create_model("resnet18", num_classes=7, in_channels=1)
    assert out == f"{summarize(model, (1, 64, 48), depth=2)}\n"


def test_networks_with_one_image_size_are_built_for_the_size_that_is_asked_for(run):
    code, out, _ = run("summary", "vgg_a", "--input", "3x64x64")
    assert code == 0 and "VGG on 3 × 64 × 64" in out


def test_a_summary_shows_memory_and_auxiliary_heads_on_request(run):
    _, out, _ = run("summary", "googlenet_aux", "--training", "--memory")
    assert "Kept bytes" in out and "1,591,044,096" in out


def test_a_summary_for_programs_has_every_row(run):
    _, out, _ = run("summary", "lenet5", "--json")
    summary = json.loads(out)
    assert summary["parameters"] == 60_000
    assert [row["name"] for row in summary["rows"]][:2] == ["c1", "s2"]
    assert summary["rows"][0]["output_shape"] == [6, 28, 28]


# verify


def test_verifying_prints_ours_beside_theirs(run):
    code, out, err = run("verify", "mobilenet_v2_1", "mobilenet_v1_1_*")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    line = next(line for line in lines if line.startswith("mobilenet_v1_1_224"))
    expected = "4,231,976 = ≈ 4.2M 568,740,352 = ≈ 569M agrees"
    assert line.split()[-9:] == expected.split()
    assert lines[-1] == "5 verified; none wrong"
    assert any(line.startswith("* mobilenet_v2_1, parameters: 3.4M.") for line in lines)


def test_a_wrong_figure_makes_the_command_fail(run, monkeypatch):
    monkeypatch.setattr(verification, "create_model", lambda name: create_model("lenet5_modern"))
    code, out, _ = run("verify", "lenet5")
    assert code == 1
    assert "lenet5: parameters 61,706, published 60,000" in out and "wrong: lenet5" in out


def test_verdicts_for_programs_have_every_check(run):
    code, out, _ = run("verify", "lenet5", "--json")
    (verdict,) = json.loads(out)
    assert code == 0 and verdict["passed"] and verdict["parameters"] == 60_000
    (macs,) = [check for check in verdict["checks"] if check["quantity"] == "macs"]
    assert macs["ours"] == macs["theirs"] == 326_520 and macs["exact"] and macs["passed"]


def test_every_network_is_verified_with_all(run, monkeypatch):
    seen = []

    def pretend(name):
        seen.append(name)
        return verification.Verdict(name, (1, 1, 1), 1, 1, ())

    monkeypatch.setattr(verification, "verify", pretend)
    code, out, _ = run("verify", "--all")
    assert code == 0 and seen == list(networks())
    assert out.endswith(f"{len(seen)} verified; none wrong\n")


# train and evaluate

TRAIN = ["train", "lenet5_modern", "--data", "mnist_5k", "--limit", "100", "--epochs", "1"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a short training."""
    out = tmp_path_factory.mktemp("cli") / "run"
    assert cli.main([*TRAIN, "--out", str(out), "--quiet"]) == 0
    return out


def test_training_says_how_it_goes_where_the_results_are_and_what_comes_next(run, tmp_path):
    out = tmp_path / "my run"
    code, printed, err = run(*TRAIN, "--out", str(out))
    lines = printed.splitlines()
    assert code == 0 and len(lines) == 2 and lines[0].startswith("epoch 1/1: train loss")
    assert lines[1].startswith(f"{out}: test error ") and "(n = 100) after 1 epoch in" in lines[1]
    assert lines[1].endswith(f"; python -m cnnlib evaluate '{out}'")
    assert err == "lenet5_modern has no batch normalisation: learning rate 0.01 instead of 0.1\n"
    words = json.loads((out / "config.json").read_text())["starts"][0]["command"]
    assert words == f"python -m cnnlib {' '.join(TRAIN)} --out '{out}'"


def test_every_argument_reaches_the_training(run, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(runs, "train", lambda *names, **given: seen.update(given, names=names))
    arguments = """train resnet18 --data imagefolder:a --recipe paper --epochs 7 --lr 0.3
    --batch-size 9 --micro-batch 3 --device cpu --precision bf16 --channels-last --compile
    --seed 4 --option stem=small --option blocks=[1,1,1,1] --option width=0.5 --size 48
    --limit 90 --out b --tensorboard --checkpoint-every 5 --quiet""".split()
    assert run(*arguments) == (0, "", "")
    assert seen == {
        "names": ("resnet18", "imagefolder:a"),
        "recipe": "paper",
        "epochs": 7,
        "lr": 0.3,
        "batch_size": 9,
        "micro_batch": 3,
        "device": "cpu",
        "precision": "bf16",
        "channels_last": True,
        "compile": True,
        "seed": 4,
        "options": {"stem": "small", "blocks": [1, 1, 1, 1], "width": 0.5},
        "size": 48,
        "limit": 90,
        "out": "b",
        "tensorboard": True,
        "checkpoint_every": 5.0,
        "progress": False,
        "command": " ".join(["python", "-m", "cnnlib", *arguments]).replace(
            "blocks=[1,1,1,1]", "'blocks=[1,1,1,1]'"
        ),
    }


def test_what_is_not_given_is_left_to_the_library(run, monkeypatch):
    seen = {}
    monkeypatch.setattr(runs, "train", lambda *names, **given: seen.update(given))
    run("train", "lenet5", "--data", "mnist", "--quiet")
    assert set(seen) == {"progress", "command"}


def test_a_quiet_training_says_nothing(run, tmp_path):
    assert run(*TRAIN, "--out", str(tmp_path / "run"), "--quiet") == (0, "", "")


def test_measuring_prints_loss_and_error_with_their_protocol(run, trained):
    code, out, err = run("evaluate", str(trained))
    assert (code, err) == (0, "")
    assert out.startswith("lenet5_modern on mnist_5k, test split: loss ")
    assert "top-1 error" in out and "(n = 100; weights after the last epoch" in out
    assert "top-5" not in out
    code, out, err = run("evaluate", str(trained), "--json", "--split", "train")
    found = json.loads(out)
    assert (code, err) == (0, "") and found == runs.evaluate(trained, split="train")


def test_more_than_ten_classes_get_a_top_5_error(run, monkeypatch):
    found = {"network": "n", "data": "d", "split": "test", "loss": 1.0, "error": 0.5, "n": 40}
    found |= {"top5_error": 0.25, "protocol": "p"}
    monkeypatch.setattr(runs, "evaluate", lambda *_, **__: found)
    words = "n on d, test split: loss 1.0000, top-1 error 50.00 %, top-5 error 25.00 % (n = 40; p)"
    assert run("evaluate", "somewhere") == (0, f"{words}\n", "")


def test_a_finished_training_is_resumed_by_saying_so(run, trained):
    code, out, err = run("train", "--resume", "--out", str(trained))
    assert code == 0 and err == f"{trained} was finished already\n" and str(trained) in out
    code, _, err = run("train", "--resume", "--out", str(trained), "--lr", "0.5")
    assert code == 2 and "started with lr null: leave that argument away" in err


@pytest.mark.parametrize(
    "failure, code, words",
    [
        (runs.Interrupted("stopped in epoch 2 of 3; to go on"), 130, "stopped in epoch 2 of 3"),
        (KeyboardInterrupt(), 130, "stopped before the training began; nothing is kept"),
        (runs.Failed("the loss became nan"), 1, "the loss became nan"),
        (runs.NoData("no source has\n - this"), 1, "no source has - this"),
        (FileExistsError("x is there already"), 2, "x is there already"),
        (OSError(28, "No space left on device", "x"), 2, "x: No space left on device"),
        (ValueError("no\nsense"), 2, "no sense"),
    ],
)
def test_whatever_stops_a_training_gets_a_sentence_and_a_code(
    run, monkeypatch, failure, code, words
):
    def train(*_, **__):
        raise failure

    monkeypatch.setattr(runs, "train", train)
    found, out, err = run(*TRAIN)
    assert (found, out) == (code, "") and err.startswith(f"python -m cnnlib: {words}")
    assert err.count("\n") == 1


def test_a_mistake_of_the_library_is_not_hidden(run, monkeypatch):
    def train(*_, **__):
        raise RuntimeError("never seen before")

    monkeypatch.setattr(runs, "train", train)
    with pytest.raises(RuntimeError, match="never seen before"):
        run(*TRAIN)


def test_what_only_bad_luck_stops_ends_with_code_1(run, tmp_path, monkeypatch):
    code, out, err = run(*TRAIN, "--lr", "1e9", "--out", str(tmp_path / "run"), "--quiet")
    assert (code, out) == (1, "") and "the loss" in err and err.count("\n") == 1

    def unreachable(name, split):
        raise OSError(f"no source has {name}")

    monkeypatch.setattr(data, "load", unreachable)
    code, out, err = run("train", "lenet5", "--data", "mnist", "--out", str(tmp_path / "other"))
    assert (code, out, err) == (1, "", "python -m cnnlib: no source has mnist\n")
    assert not (tmp_path / "other").exists()


# Arguments that make no sense


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["summary", "resnet_50"], "no network 'resnet_50'; did you mean 'resnet50'?"),
        (["summary", "resnet*"], "there is no network 'resnet*'"),
        (["verify", "lenet5", "alexnett"], "no network 'alexnett'; did you mean 'alexnet'?"),
        (["list", "perceptron*"], "there is no network 'perceptron*'"),
        (["verify"], "name the networks to verify, or give --all"),
        (["verify", "lenet5", "--all"], "name the networks to verify, or give --all"),
        (["verifyy"], "unknown command 'verifyy'; did you mean 'verify'?"),
        ([], "the following arguments are required: COMMAND"),
        (["summary", "lenet5", "--input", "3,224"], "height and width are wanted"),
        (["summary", "lenet5", "--input", "3,0,224"], "height and width are wanted"),
        (["summary", "lenet5", "--input", "1,28,28"], "Pad 28 x 28 images"),
        (["summary", "lenet5", "--depth", "0"], "depth must be at least 1"),
        (["summary", "lenet5", "--depth", "deep"], "invalid int value"),
        (["summary", "resnet18", "--classes", "0"], "num_classes must be"),
        (["summary", "vgg_a", "--input", "3,224,64"], "takes square images only"),
        (["summary", "resnet18", "--bogus"], "unrecognized arguments: --bogus"),
        (["train"], "a network is wanted, as in: python -m cnnlib train lenet5 --data mnist_5k"),
        (["train", "lenet5"], "--data is wanted"),
        (["train", "lennet5", "--data", "mnist"], "no network 'lennet5'; did you mean 'lenet5'?"),
        (["train", "lenet5", "--data", "minst"], "no data 'minst'; did you mean mnist"),
        ([*TRAIN, "--recipe", "papr"], "no recipe 'papr'; did you mean 'paper'?"),
        ([*TRAIN, "--epochs", "0"], "epochs must be at least 1"),
        ([*TRAIN, "--epochs", "few"], "--epochs: invalid int value"),
        ([*TRAIN, "--lr", "0"], "lr must be a positive number"),
        ([*TRAIN, "--lr", "-1"], "lr must be a positive number"),
        ([*TRAIN, "--batch-size", "0"], "batch_size must be at least 1"),
        ([*TRAIN, "--device", "cudda"], "unknown --device 'cudda'; did you mean 'cuda'?"),
        ([*TRAIN, "--device", "cuda"], "device cuda: torch finds no such device"),
        ([*TRAIN, "--precision", "fp16"], "precision fp16 needs a CUDA device"),
        ([*TRAIN, "--precision", "q"], "unknown --precision 'q'; there are no, bf16, fp16"),
        ([*TRAIN, "--option", "stem"], "KEY=VALUE is wanted, such as stem=small; got 'stem'"),
        ([*TRAIN, "--option", "stem=small"], "lenet5_modern has no option 'stem'"),
        ([*TRAIN, "--checkpoint-every", "-1"], "checkpoint_every must be"),
        ([*TRAIN, "--out", "/dev/null/run"], "/dev/null is a file"),
        ([*TRAIN, "--out", "/proc/run"], "/proc/run cannot be made"),
        ([*TRAIN, "--out", "tests"], "tests is there already: choose another folder with --out"),
        (["train", "vgg_d", "--data", "mnist_5k"], "at least 32; got 28"),
        (["train", "resnet18", "--data", "imagefolder:nowhere"], "nowhere is no folder"),
        (["train", "--resume"], "--resume goes on with a run: say which one by --out FOLDER"),
        (["train", "--resume", "--out", "nowhere"], "there is no folder nowhere"),
        (["train", "--resume", "--out", "tests"], "tests holds no run"),
        (["evaluate"], "the following arguments are required: RUN"),
        (["evaluate", "nowhere"], "there is no folder nowhere"),
        (["evaluate", "tests"], "tests holds no run"),
        (["evaluate", "tests", "--split", "val"], "unknown --split 'val'; there are test, train"),
    ],
)
def test_bad_arguments_get_one_sentence_and_code_2(run, arguments, sentence, tmp_path, monkeypatch):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "letter").touch()
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert [path.name for path in tmp_path.rglob("*")] == ["tests", "letter"]
    assert sentence in err and err.count("\n") == 1 and "Traceback" not in err


def test_help_is_there_for_every_command(run):
    for command in ("list", "summary", "verify", "train", "evaluate"):
        code, out, _ = run(command, "--help")
        assert code == 0 and out.startswith(f"usage: python -m cnnlib {command}")
    code, out, _ = run("--help")
    assert code == 0 and all(command in out for command in ("list", "summary", "verify"))


# As a program


def test_it_runs_as_a_module_and_lists_without_importing_torch():
    code = "import sys; from cnnlib import cli; cli.main(['list']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    done = subprocess.run(
        [sys.executable, "-m", "cnnlib", "verify", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1


def test_a_reader_who_stops_early_is_no_error():
    program = [sys.executable, "-m", "cnnlib", "list"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c_saves_says_how_to_go_on_and_ends_with_code_130(tmp_path, number):
    program = [sys.executable, "-m", "cnnlib", "train"]
    settings = [
        "lenet5_modern",
        "--data",
        "mnist_5k",
        "--limit",
        "500",
        "--epochs",
        "500",
        "--out",
        "run",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*program, *settings], cwd=tmp_path, stdout=pipe, stderr=pipe, text=True
    ) as process:
        limit = time.monotonic() + 60
        while not (tmp_path / "run" / "checkpoint.safetensors").exists():
            assert time.monotonic() < limit and process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("python -m cnnlib: stopped in epoch ") and "of 500" in last
    assert last.endswith("to go on: python -m cnnlib train --resume --out run")
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert kept["starts"][0]["outcome"] == "interrupted"
