"""The scripts of `cluster/` and the command under them: started, stopped, resumed for real.

Two machines are two torchruns on this one. A Slurm that has nothing but the four commands which the
job uses is made of small programs.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cnnlib import runs

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "cluster"
TORCHRUN = SCRIPTS / "torchrun.sh"
# 203 images in batches of 16: the last batch has 11, two processes get 6 and 5 of them;
# of a network without kinks, in which float32 stays close to itself.
TRAIN = "train lenet5 --data mnist_5k --limit 203 --epochs 12 --batch-size 16 --lr 0.004"
WAIT = 200.0  # seconds after which a test that waits has failed


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHON": sys.executable}
    one = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return os.environ | own | one | more


def a_port(low: int = 20000) -> int:
    """A port that nobody listens to."""
    for port in range(low + os.getpid() % 5000, low + 10000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def started(*command, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A program in a session of its own, of which nothing is left afterwards."""
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as program:
        try:
            yield program
        finally:
            for pid in [*descendants(program.pid), program.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = dict(map(int, line.split()) for line in listed.stdout.splitlines())
    found = [pid]
    for child in found:
        found += [p for p, parent in parents.items() if parent == child]
    return found[1:]


def read_until(program: subprocess.Popen[str], beginning: str) -> str:
    """What a program says up to a line that begins so."""
    assert program.stdout is not None
    said = ""
    for line in program.stdout:
        said += line
        if line.startswith(beginning):
            return said
    raise AssertionError(f"ended before it said {beginning!r}:\n{said}")


def weights(run: runs.Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def assert_same_curve(ours: runs.Run, theirs: runs.Run) -> None:
    """To what is left of float32 after 156 steps."""
    for mine, other in zip(ours.history.rows, theirs.history.rows, strict=True):
        for key, value in mine.items():
            tolerance = {"abs": 0.015} if key.endswith("error") else {"rel": 1e-3}  # 3 of 203
            assert value == pytest.approx(other[key], **tolerance), key


# The scripts


@pytest.mark.parametrize("script", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
def test_a_script_is_sound(script):
    shell = script.read_text().splitlines()[0].removeprefix("#!").split("/")[-1]
    subprocess.run([shell, "-n", script], check=True)
    assert os.access(script, os.X_OK)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", script], check=True)


@pytest.mark.parametrize("script", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
def test_the_book_prints_the_script_as_it_is(script):
    page = json.loads((ROOT / "chapters" / "beyond_one_machine.ipynb").read_text())
    text = "\n".join("".join(cell["source"]) for cell in page["cells"])
    assert f"\n{script.read_text()}```" in text


@pytest.mark.parametrize(
    "words, more, sentence",
    [
        ([], {}, "usage: "),
        (["train"], {"MACHINES": "2"}, "2 machines need a place to meet: HEAD=HOST"),
    ],
)
def test_torchrun_sh_says_what_it_needs(words, more, sentence):
    done = subprocess.run(
        [TORCHRUN, *words], env=environment(**more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and sentence in done.stderr


def test_the_slurm_job_needs_a_folder_to_go_on_from():
    command = [SCRIPTS / "slurm.sbatch", "train", "lenet5", "--data", "mnist_5k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "say by --out FOLDER where" in done.stderr


# The command under them


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> runs.Run:
    """The training by one process."""
    torch.set_num_threads(1)
    return runs.train(
        "lenet5",
        "mnist_5k",
        limit=203,
        epochs=12,
        batch_size=16,
        lr=0.004,
        out=tmp_path_factory.mktemp("alone") / "run",
    )


@pytest.fixture(scope="module")
def machines(tmp_path_factory) -> tuple[runs.Run, list[str]]:
    """The training by two machines with one process each, and what they said."""
    out = tmp_path_factory.mktemp("machines") / "run"
    meeting = {"MACHINES": "2", "HEAD": f"localhost:{a_port()}", "PROCESSES": "1"}
    command = [TORCHRUN, *TRAIN.split(), "--out", out]
    with started(*command, **meeting) as one, started(*command, **meeting) as other:
        said = [program.communicate(timeout=WAIT)[0] for program in (one, other)]
        assert one.returncode == other.returncode == 0, said
    return runs.load(out), said


@pytest.mark.slow
def test_two_machines_give_the_curve_of_one_process(machines, alone):
    run, _ = machines
    assert run.history.processes == 2 and alone.history.processes == 1
    assert_same_curve(run, alone)
    torch.testing.assert_close(weights(run), weights(alone), rtol=0, atol=1e-2)
    assert len(run.history.rows) == 12 and run.history.final["train_error"] < 0.5  # it learns


@pytest.mark.slow
def test_one_of_all_machines_speaks(machines):
    run, said = machines
    said.sort(key=len)
    assert said[0] == ""
    lines = [line for line in said[1].splitlines() if line.startswith("epoch ")]
    assert lines == str(run.history).splitlines()
    assert said[1].count("; python -m cnnlib evaluate") == 1


@pytest.mark.slow
def test_ctrl_c_keeps_the_training_and_one_process_can_end_it(tmp_path, alone):
    out = tmp_path / "run"
    with started(TORCHRUN, *TRAIN.split(), "--out", out, PROCESSES="2") as program:
        said = read_until(program, "epoch 2/")
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does
        said += program.communicate(timeout=WAIT)[0]
    assert program.returncode != 0
    assert said.count("what was reached is kept") == 1, said
    assert not (out / "weights.safetensors").exists()
    run = runs.resume(out)
    assert [start["outcome"] for start in run.config["starts"]] == ["interrupted", "finished"]
    assert [start["processes"] for start in run.config["starts"]] == [2, 1]
    assert_same_curve(run, alone)


SLURM = {
    "srun": """
import subprocess, sys
command = sys.argv[1:]
while command[0].startswith("--"):
    command.pop(0)
tasks = [subprocess.Popen(command) for _ in range(2)]  # one on each machine
open({pids!r}, "w").write(" ".join(str(task.pid) for task in tasks))
sys.exit(max(abs(task.wait()) for task in tasks))
""",
    "scancel": """
import os, signal, subprocess, sys
assert sys.argv[1:] == ["--signal=TERM", "{job}"], sys.argv
lines = subprocess.run(["ps", "-eo", "pid=,ppid="], stdout=-1, text=True).stdout.splitlines()
parents = dict(map(int, line.split()) for line in lines)
found = list(map(int, open({pids!r}).read().split()))
for task in found:  # every process of the step, as Slurm does
    found += [pid for pid, parent in parents.items() if parent == task]
    os.kill(task, signal.SIGTERM)
""",
    "scontrol": """
import sys
if sys.argv[1] == "show":
    assert sys.argv[2:] == ["hostnames", "node[1-2]"]
    print("localhost", "localhost", sep="\\n")
else:
    assert sys.argv[1:] == ["requeue", "{job}"]
    open({requeued!r}, "a").write("again ")
""",
}


@pytest.mark.slow
def test_a_slurm_job_queues_up_again_and_ends_with_the_bits_of_one_that_had_time(
    tmp_path, machines
):
    job, requeued, out = a_port(), tmp_path / "requeued", tmp_path / "run"
    places = {"pids": str(tmp_path / "pids"), "requeued": str(requeued)}
    for name, program in SLURM.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable} -S\n" + program.format(job=job, **places))
        path.chmod(0o755)
    more = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": str(job)}
    more |= {"SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]", "PROCESSES": "1"}
    command = ["bash", SCRIPTS / "slurm.sbatch", *TRAIN.split(), "--out", out]

    with started(*command, **more) as first:
        read_until(first, "epoch 2/")
        first.send_signal(signal.SIGUSR1)  # to the script alone: its time is nearly over
        said = first.communicate(timeout=WAIT)[0]
    assert first.returncode != 0 and requeued.read_text() == "again ", said

    with started(*command, **more) as second:
        said = second.communicate(timeout=WAIT)[0]
    assert second.returncode == 0, said
    assert requeued.read_text() == "again "
    run, (uninterrupted, _) = runs.load(out), machines
    outcomes = [start["outcome"] for start in run.config["starts"]]
    assert outcomes == ["interrupted", "finished"]
    assert torch.equal(weights(run), weights(uninterrupted))
    assert run.history.rows == uninterrupted.history.rows


# The number of processes is what was asked for


COUNT = """
import torch
from cnnlib.data import ImageSet
from cnnlib.train import Recipe, fit
images = ImageSet("any", torch.randn(8, 1, 4, 4), torch.arange(8) % 2, ("a", "b"))
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
print(fit(model, images, recipe=Recipe(epochs=1)).processes, "process(es)")
"""


@pytest.mark.slow
def test_accelerate_launch_does_not_start_what_it_is_asked_for_on_a_cpu(tmp_path):
    """A trap that the book warns of. Should this fail, it is mended and the warning outdated."""
    script = tmp_path / "count.py"
    script.write_text(COUNT)
    launcher = ["accelerate.commands.launch", "--cpu", "--num_processes=2"]
    with started(sys.executable, "-m", *launcher, script) as program:
        said, _ = program.communicate(timeout=WAIT)
    assert program.returncode == 0, said
    assert re.findall(r".* process\(es\)", said) == ["1 process(es)"]
