"""Are the cells that a search finds better in earnest? For the last third of chapter 12.

    python -m experiments.nasnet_heldout [--processes 2] [--output FILE] [--arms NAME ...]

Cells of the small space, chosen by the table of ``experiments/cell_space.py`` or by chance, trained
on four times the images and for twice the passes, and measured on the test images, which no search
has seen. In float32; some 5 minutes of one core.
"""

import random
import time

import torch

from cnnlib import data
from cnnlib.data import ImageSet
from cnnlib.search import CellSpace, SmallCell, Table, build, count_parameters, load_table
from cnnlib.train import Recipe, evaluate, fit

from .common import Arm, main

RECIPE = Recipe(epochs=4, lr=0.1, batch_size=50)
BEST = 3  # of each list, in the order of the table
DRAWN = 8  # at random
SIZE = 3  # convolutions of the cells that are compared at equal size
BY_HAND = {"c-c-c": "plain", "cic-i": "residual", "cp-ic": "two branches"}

ABOUT = {
    "protocol": (
        "fashion_6k, pooled to 14 x 14 pixels, normalised: all 4,000 training images to learn "
        "from, the 2,000 test images to measure; weights drawn in float64, trained in float32, one "
        "thread, CPU. A run is: model = cnnlib.search.build(cell, seed); fit(..., seed=seed)"
    ),
    "arms.name": "the canonical encoding of the cell; the table is cnnlib/assets/cells.json",
    "arms.groups": (
        "why it is here: best (of the table), best of its size (with as many convolutions as "
        "`size`), random (an encoding drawn by chance that lets something through), random of its "
        "size, by hand"
    ),
    "arms.proxy_accuracy": "mean of the table's seeds, when this was run",
    "arms.runs": "per seed: mean loss and fraction wrong of all test images; seconds of CPU",
}


def images(split: str) -> ImageSet:
    """All garments of a split, at half their size."""
    return data.load("fashion_6k", split).pooled(2)


def chosen(table: Table) -> dict[SmallCell, list[str]]:
    """The cells that are trained, by their canonical encodings, and why each of them."""
    rows = list(table)
    of_size = [row.cell for row in rows if row.cell.convolutions == SIZE]
    rng = random.Random(12)
    drawn: list[SmallCell] = []
    while len(drawn) < DRAWN:
        cell = CellSpace().random(rng).canonical
        if cell.connected and cell not in drawn:
            drawn.append(cell)
    groups = {
        "best": [row.cell for row in rows[:BEST]],
        "best of its size": of_size[:BEST],
        "random": drawn,
        "random of its size": rng.sample(sorted(of_size[BEST:]), DRAWN - 2),
        "by hand": [SmallCell.from_code(code).canonical for code in BY_HAND],
    }
    reasons: dict[SmallCell, list[str]] = {}
    for name, cells in groups.items():
        for cell in cells:
            reasons.setdefault(cell, []).append(name)
    return reasons


def run(arm: Arm, seed: int) -> dict:
    """One training, measured on the test images."""
    torch.set_num_threads(1)
    train = images("train").normalized()
    test = images("test").normalized(train.mean, train.std)
    model = build(SmallCell.from_code(arm["name"]), seed)
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    measured = evaluate(model, test)
    return {
        "seconds": round(time.process_time() - start, 1),
        "test_loss": measured["loss"],
        "test_error": measured["error"],
    }


def arms() -> list[Arm]:
    """The cells, the best of the table first."""
    table = load_table()
    reasons = chosen(table)
    return [
        {
            "name": cell.code,
            "options": {"cell": cell.code},
            "loss": "cross_entropy",
            "recipe": RECIPE,
            "parameters": count_parameters(cell),
            "groups": reasons[cell],
            "rank": table.rank(cell),
            "proxy_accuracy": round(table.mean(cell), 5),
        }
        for cell in sorted(reasons, key=table.rank)
    ]


if __name__ == "__main__":
    main("nasnet_heldout", arms(), run, ABOUT, show=("test_error",))
