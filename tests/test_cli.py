"""The command: what it prints, and one sentence when the arguments make no sense."""

import json
import subprocess
import sys

import pytest

from cnnlib import cli
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
    ],
)
def test_bad_arguments_get_one_sentence_and_code_2(run, arguments, sentence):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err and err.count("\n") == 1 and "Traceback" not in err


def test_help_is_there_for_every_command(run):
    for command in ("list", "summary", "verify"):
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
