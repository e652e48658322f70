"""How much faster two processes train than one, beside what arithmetic predicts for this machine.

    python benchmarks/scaling.py [--turns 7]

One process with one thread, against two with one thread each that share every batch (`torchrun`,
CPU, gloo): images per second of `cnnlib.train.fit`, by the clock. Two more things are measured, of
which the prediction is made:

* two processes that train side by side on half a batch each and exchange nothing: what the exchange
  costs comes on top of that, and it is more than half the time of a whole batch where the two
  disturb each other or where half a batch is worth less than half the work;
* the exchange alone: an all-reduce of as many numbers as the network has parameters.

Predicted is then: seconds of one / (seconds of the two without exchange + seconds of exchange).

All processes are started once and wait; one way after the other gets its turn, and ratios are taken
within a turn, since other work on the machine disturbs single ones. Images are noise: their
contents cost nothing. Prints a table, and writes it with the turns' spread, JSON and a plot.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from accelerate import PartialState
from common import machine, versions
from torch import distributed

from cnnlib import plots
from cnnlib.data import ImageSet
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.train import Recipe, fit

RESULTS = Path(__file__).with_name("results")
SHIPPED = Path(__file__).parents[1] / "cnnlib" / "assets" / "scaling.json"  # the book shows it
# network, (channels, height, width), images per step, steps in a turn
CASES = [
    ("lenet5_modern", (1, 32, 32), 32, 80),
    ("lenet5_modern", (1, 32, 32), 256, 20),
    ("resnet20_cifar", (3, 32, 32), 16, 10),
    ("resnet20_cifar", (3, 32, 32), 64, 4),
    ("resnet18", (3, 64, 64), 16, 2),
]
PAIR, SOLO = ("pair 0", "pair 1"), ("solo 0", "solo 1")
LIMIT = 120.0  # seconds that a task may take
EXCHANGES = 15  # in a turn


# -- the workers ------------------------------------------------------------------------------


def work(folder: Path, role: str) -> None:
    """Does the tasks that lie in the folder, one after the other, and leaves the seconds there."""
    torch.set_num_threads(1)
    for number in range(sys.maxsize):
        task = json.loads(wait_for(folder / f"task {number}").read_text())
        if not task:
            break
        if role in task["who"]:
            seconds = DO[task["what"]](task)
            place = folder / f"result {number} {role}"
            place.with_suffix(".part").write_text(str(seconds))
            place.with_suffix(".part").rename(place)
    if distributed.is_initialized():
        distributed.destroy_process_group()


def train(task: dict[str, Any]) -> float:
    """Seconds of an epoch; its batches are shared if this process is one of several."""
    channels, height, width = task["shape"]
    n = task["batch"] * task["steps"]
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(n, channels, height, width, generator=generator)
    data = ImageSet("noise", images, torch.arange(n) % 10, tuple("0123456789"))
    torch.manual_seed(0)
    model = create_model(task["network"], num_classes=10)
    recipe = Recipe(epochs=1, lr=0.01, batch_size=task["batch"])
    return fit(model, data, recipe=recipe, device="cpu", progress=False).epoch_seconds[0]


def exchange(task: dict[str, Any]) -> float:
    """Seconds of one all-reduce, the median of several."""
    PartialState(cpu=True)
    numbers = torch.zeros(task["numbers"])
    seconds = []
    for _ in range(EXCHANGES):
        distributed.barrier()
        start = time.perf_counter()
        distributed.all_reduce(numbers)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


DO: dict[str, Callable[[dict[str, Any]], float]] = {"train": train, "exchange": exchange}


def wait_for(path: Path, seconds: float = 600.0) -> Path:
    """The path, once there is a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > end:
            raise TimeoutError(f"{path.name} did not come within {seconds:.0f} seconds")
        time.sleep(0.005)
    return path


# -- the one that asks them -------------------------------------------------------------------


class Team:
    """Four processes that wait for tasks: two that share batches, two that know nobody."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, 0

    @classmethod
    @contextmanager
    def started(cls) -> Iterator["Team"]:
        """The team, until it is sent home."""
        script = [str(Path(__file__).resolve()), "--work"]
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
            commands = [[*torchrun, *script, folder, "pair"]]
            commands += [[*script, folder, role] for role in SOLO]
            for command in commands:
                program = subprocess.Popen(
                    [sys.executable, *command],
                    env=environment,
                    start_new_session=True,  # as torchrun starts its own: Linux shares by session
                )
                ends.callback(_end, program)
            team = cls(Path(folder))
            yield team
            team._tell({})

    def ask(self, who: tuple[str, ...], **task: Any) -> float:
        """Seconds of a task that some do at the same time, those of the slowest."""
        number = self._tell({"who": who, **task})
        results = (
            wait_for(self.folder / f"result {number} {role}", LIMIT).read_text() for role in who
        )
        return max(map(float, results))

    def _tell(self, task: dict[str, Any]) -> int:
        part = self.folder / "part"
        part.write_text(json.dumps(task))
        part.rename(self.folder / f"task {self.asked}")
        self.asked += 1
        return self.asked - 1


def _end(program: subprocess.Popen) -> None:
    try:
        program.wait(20)
    except subprocess.TimeoutExpired:
        program.terminate()
        program.wait()


def measure(turns: int) -> list[dict[str, Any]]:
    """A row for each case."""
    rows: list[dict[str, Any]] = []
    for network, shape, batch, steps in CASES:
        with torch.device("meta"):
            model = create_model(network, num_classes=10)
        row = {"network": network, "shape": shape, "batch": batch, "steps": steps}
        row |= {"parameters": count_parameters(model), "macs": count_macs(model, shape)}
        rows.append(row | {"one": [], "apart": [], "two": [], "exchange": []})
    with Team.started() as team:
        for turn in range(turns + 1):
            for row in rows:
                task = {"what": "train"} | {k: row[k] for k in ("network", "shape", "steps")}
                seconds = {
                    "one": team.ask(SOLO[:1], **task, batch=row["batch"]),
                    "apart": team.ask(SOLO, **task, batch=row["batch"] // 2),
                    "two": team.ask(PAIR, **task, batch=row["batch"]),
                    "exchange": team.ask(PAIR, what="exchange", numbers=row["parameters"]),
                }
                if turn > 0:  # the first is for warming up
                    for way, value in seconds.items():
                        row[way].append(value)
    return [_summed_up(row) for row in rows]


def _summed_up(row: dict[str, Any]) -> dict[str, Any]:
    """Medians, quartiles and the prediction from the seconds of the turns."""
    images, steps = row["batch"] * row["steps"], row["steps"]
    turns = list(zip(*(row[way] for way in ("one", "apart", "two", "exchange")), strict=True))
    kept = {key: row[key] for key in ("network", "shape", "batch", "parameters", "macs")}
    return kept | {
        "images_per_second": {
            "one": _spread([images / one for one, *_ in turns], 0),
            "two apart": _spread([images / apart for _, apart, *_ in turns], 0),
            "two": _spread([images / two for _, _, two, _ in turns], 0),
        },
        "exchange_milliseconds": _spread([1000 * exchange for *_, exchange in turns], 3),
        "speedup": _spread([one / two for one, _, two, _ in turns], 2),
        "speedup_apart": _spread([one / apart for one, apart, *_ in turns], 2),
        "predicted": _spread(
            [one / (apart + steps * exchange) for one, apart, _, exchange in turns], 2
        ),
    }


def _spread(values: list[float], digits: int) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [round(value, digits) for value in statistics.quantiles(values, n=4, method="inclusive")]


# -- what is written --------------------------------------------------------------------------


def table(record: dict[str, Any]) -> str:
    """The results as Markdown."""

    def cell(values: list[float], form: str) -> str:
        low, middle, high = (format(value, form) for value in values)
        return f"{middle} ({low}–{high})"

    heads = "network, parameters, images per step, images/s of one process, of two, speed-up, "
    heads += "without the exchange, predicted, one exchange in ms"
    lines = [heads.split(", "), ["---"] * 9]
    for row in record["rows"]:
        speed = row["images_per_second"]
        size = "×".join(map(str, row["shape"]))
        lines.append([
            f"{row['network']}, {size}", f"{row['parameters']:,}", f"{row['batch']}",
            cell(speed["one"], ",.0f"), cell(speed["two"], ",.0f"), cell(row["speedup"], ".2f"),
            cell(row["speedup_apart"], ".2f"), cell(row["predicted"], ".2f"),
            cell(row["exchange_milliseconds"], ".2f"),
        ])  # fmt: skip
    about = f"{record['about']} {record['machine']}, {record['cores']} cores; "
    about += ", ".join(f"{name} {number}" for name, number in record["versions"].items()) + "."
    return "\n".join([about, "", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"


def draw(record: dict[str, Any], path: Path) -> None:
    """Measured and predicted speed-up of each case, with quartiles."""
    with plots.book_style():
        figure, axis = plt.subplots(figsize=(7.2, 3.2))
        for number, (key, label) in enumerate(
            {"speedup": "measured", "predicted": "predicted"}.items()
        ):
            values = [row[key] for row in record["rows"]]
            middle = [value[1] for value in values]
            errors = [[v[1] - v[0] for v in values], [v[2] - v[1] for v in values]]
            places = [place + 0.16 * (number - 0.5) for place in range(len(values))]
            axis.errorbar(
                middle, places, xerr=errors, label=label, linestyle="none", capsize=3,
                marker=plots.MARKERS[number], color=plots.COLOURS[number],
            )  # fmt: skip
        names = [f"{row['network']}, batch {row['batch']}" for row in record["rows"]]
        axis.set(yticks=range(len(names)), yticklabels=names, xlabel="speed-up by 2 processes")
        axis.axvline(1, color="black", linewidth=0.8)
        axis.axvline(2, color="black", linewidth=0.8, linestyle=":")
        axis.invert_yaxis()
        axis.legend()
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def main() -> None:
    """Measures, prints the table, and writes it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--output", type=Path, default=RESULTS / "scaling.json")
    parser.add_argument("--work", nargs=2, metavar=("FOLDER", "ROLE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        folder, role = arguments.work
        rank = os.environ.get("RANK")
        return work(Path(folder), role if rank is None else f"{role} {rank}")
    if arguments.turns < 2:
        parser.error("quartiles need at least 2 turns")
    load = round(os.getloadavg()[0], 1)  # what else the machine is busy with
    rows = measure(arguments.turns)
    record = {
        "about": "Training by cnnlib.train.fit on one process and on two that share every batch, "
        "by the clock; CPU, float32, one thread for each process, gloo; medians of "
        f"{arguments.turns} turns with the quartiles.",
        "date": time.strftime("%Y-%m-%d"),
        "turns": arguments.turns,
        "machine": machine(),
        "cores": os.cpu_count(),
        "load_before": load,
        "versions": versions("torch", "accelerate", "cnnlib"),
        "rows": rows,
    }
    print(table(record))
    arguments.output.parent.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1) + "\n"
    arguments.output.write_text(text)
    arguments.output.with_suffix(".md").write_text(table(record))
    draw(record, arguments.output.with_suffix(".svg"))
    if arguments.output.parent == RESULTS:
        SHIPPED.write_text(text)


if __name__ == "__main__":
    main()
