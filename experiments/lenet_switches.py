"""What each modern replacement changes in LeNet-5: the runs behind the table in the chapter.

    python experiments/lenet_switches.py [--processes 2] [--output FILE] [--arms NAME ...]

Beginning with the network of the paper, one thing after the other is replaced by what is usual
today, and every stage is trained from five seeds. For each stage the learning rate is chosen
beforehand on a part of the training digits, so that the test digits decide nothing. All is in
float64 with one thread. The chapter repeats the first arm and the one with softmax and compares;
these two give the same digits on other types of processor. Some 10 minutes of one core.
"""

import argparse
import functools
import json
import multiprocessing
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from torch.nn import functional as F

from cnnlib.data import Augmentation, ImageSet, load
from cnnlib.models.lenet import LeNet5, map_loss, mse_loss
from cnnlib.train import Recipe, evaluate, fit, seed_everything

OUTPUT = Path(__file__).parents[1] / "cnnlib" / "assets" / "runs" / "lenet_switches.json"

LOSSES = {loss.__name__: loss for loss in (map_loss, mse_loss, F.cross_entropy)}
SEEDS = range(5)

# The distances of the RBF output are large numbers, which asks for small steps, and for small
# batches to have enough of them. The squashing units of the paper stop at 2e-3: from about 4e-3 on
# their training is so close to divergence that rounding decides, and a run differs between CPU
# types. With logits the recipe is the one of the book.
RBF = Recipe(epochs=4, batch_size=16, weight_decay=0.0), (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
SQUASHED = RBF[0], (5e-4, 1e-3, 2e-3)
LOGITS = Recipe(epochs=4, batch_size=64), (0.025, 0.05, 0.1, 0.2, 0.4)

SWITCHES = [  # name, what it changes; each stage keeps the changes of those before it
    ("ReLU", {"activation": "relu"}),
    ("max pooling", {"subsampling": "max"}),
    ("full C3", {"connections": "full"}),
    ("linear output, softmax", {"output": "linear"}),
    ("batch normalisation", {"batch_norm": True}),
]

ABOUT = {
    "protocol": (
        "mnist_5k padded to 32 x 32, background -0.1, ink 1.175; 4,000 training and 1,000 test "
        "digits; float64 (weights drawn in it too), one thread, CPU. A run is: "
        "torch.set_default_dtype(torch.float64); seed_everything(seed); model = "
        "LeNet5(**options); fit(model, train, loss=loss, recipe=recipe, seed=seed)"
    ),
    "arms": "the paper's network with its two losses, then one replacement after the other, "
    "each on top of those before; 'max pooling' thus has ReLU too, and so on",
    "arms.options": "arguments of cnnlib.models.lenet.LeNet5",
    "arms.loss": "map_loss and mse_loss are those of cnnlib.models.lenet",
    "arms.recipe": "what cnnlib.train.Recipe.from_dict reads",
    "arms.parameters": "number of trainable parameters",
    "arms.grid": "the learning rates tried with seed 0, training on the first 320 digits of each "
    "class and validating on the other 80 (never on the test digits): fraction wrong and mean "
    "loss, null if the loss became infinite; the lowest error wins, then the lowest loss",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test digits after "
    "training, in evaluation mode and without augmentation; seconds of CPU time of fit",
}


@functools.cache
def digits(split: str) -> ImageSet:
    """The digits as the paper presents them, in float64."""
    return load("mnist_5k", split).padded(32).rescaled(-0.1, 1.175).to(dtype=torch.float64)


def arms() -> list[dict]:
    """The stages: name, options of the network, name of the loss, recipe and learning rates."""
    recipe, grid = SQUASHED
    options: dict = {}
    common = {"options": {}, "recipe": recipe, "grid": grid}
    stages = [
        {"name": "1998, MAP loss", "loss": "map_loss", **common},
        {"name": "1998, MSE loss", "loss": "mse_loss", **common},
    ]
    for name, change in SWITCHES:
        options = options | change
        linear = options.get("output") == "linear"
        recipe, grid = LOGITS if linear else RBF
        loss = "cross_entropy" if linear else "map_loss"
        stages.append(
            {"name": name, "options": options, "loss": loss, "recipe": recipe, "grid": grid}
        )
    augmented = replace(recipe, augment=Augmentation(shift=2))
    return [*stages, {**stages[-1], "name": "random shifts", "recipe": augmented}]


def train(arm: dict, lr: float, seed: int, data: ImageSet) -> tuple[LeNet5, float]:
    """A trained network and the CPU seconds that the training took."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    seed_everything(seed)
    model = LeNet5(**arm["options"])
    start = time.process_time()
    fit(
        model,
        data,
        loss=LOSSES[arm["loss"]],
        recipe=replace(arm["recipe"], lr=lr),
        seed=seed,
        device="cpu",
        progress=False,
    )
    return model, time.process_time() - start


def validate(arm: dict, lr: float) -> dict:
    """How well a learning rate does on digits that were held back."""
    everything = digits("train")
    used, held_back = everything.select(range(3200)), everything.select(range(3200, 4000))
    assert set(held_back.counts().values()) == {80}
    try:
        model, _ = train(arm, lr, 0, used)
    except RuntimeError:  # the loss became infinite
        return {"lr": lr, "error": None, "loss": None}
    result = evaluate(model, held_back, loss=LOSSES[arm["loss"]])
    return {"lr": lr, "error": result["error"], "loss": result["loss"]}


def run(arm: dict, lr: float, seed: int) -> dict:
    """One training on all training digits, measured on both sets."""
    model, seconds = train(arm, lr, seed, digits("train"))
    result: dict = {"seed": seed}
    for split in ("train", "test"):
        measured = evaluate(model, digits(split), loss=LOSSES[arm["loss"]])
        result |= {f"{split}_loss": measured["loss"], f"{split}_error": measured["error"]}
    return result | {"seconds": round(seconds, 2)}


def main() -> None:
    """Runs everything, prints a table and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=1, help="trainings at a time")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file to write")
    parser.add_argument("--arms", nargs="+", help="only these; the others stay as they are stored")
    arguments = parser.parse_args()
    if unknown := set(arguments.arms or ()) - {arm["name"] for arm in arms()}:
        parser.error(f"unknown arms {unknown}; there are {[arm['name'] for arm in arms()]}")

    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the processes
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=spawn) as pool:
        stages = [arm for arm in arms() if arm["name"] in (arguments.arms or (arm["name"],))]
        tried = [[pool.submit(validate, arm, lr) for lr in arm["grid"]] for arm in stages]
        running = []
        for arm, futures in zip(stages, tried, strict=True):
            arm["grid"] = [future.result() for future in futures]
            finite = [entry for entry in arm["grid"] if entry["error"] is not None]
            lr = min(finite, key=lambda entry: (entry["error"], entry["loss"]))["lr"]
            arm["recipe"] = replace(arm["recipe"], lr=lr)
            running.append([pool.submit(run, arm, lr, seed) for seed in SEEDS])

        print(f"{'':28}{'parameters':>10}{'lr':>8}{'train error':>20}{'test error':>20}{'s':>6}")
        for arm, futures in zip(stages, running, strict=True):
            arm["runs"] = [future.result() for future in futures]
            model = LeNet5(**arm["options"])
            arm["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
            print(line(arm), flush=True)
            arm["recipe"] = arm["recipe"].to_dict()

    versions = {name: version(name) for name in ("torch", "accelerate", "cnnlib")}
    versions["python"] = platform.python_version()
    if arguments.arms:
        renewed = {arm["name"]: arm for arm in stages}
        stored = json.loads(arguments.output.read_text())["arms"]
        stages = [renewed.get(arm["name"], arm) for arm in stored]
    record = {"about": ABOUT, "versions": versions, "arms": stages}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    partial = arguments.output.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(arguments.output)
    print(f"written to {arguments.output}")


def line(arm: dict) -> str:
    """A row of the table: mean and standard deviation over the seeds, in percent."""
    columns = []
    for split in ("train", "test"):
        errors = [100 * entry[f"{split}_error"] for entry in arm["runs"]]
        columns.append(f"{statistics.mean(errors):.2f} ± {statistics.stdev(errors):.2f} %")
    seconds = statistics.median(entry["seconds"] for entry in arm["runs"])
    return (
        f"{arm['name']:28}{arm['parameters']:>10,}{arm['recipe'].lr:>8g}"
        f"{columns[0]:>20}{columns[1]:>20}{seconds:>6.1f}"
    )


if __name__ == "__main__":
    main()
