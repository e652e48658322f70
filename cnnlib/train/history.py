"""What happened during a training, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from .recipe import RECIPE, Recipe


@dataclass
class History:
    """What happened during a training, as plain data.

    Each row of `rows` is one finished epoch: `epoch` (from 1), `lr` (of the epoch's last step),
    `train_loss`, `train_error` and, if there is a test set, `test_loss`, `test_error`. Errors are
    fractions of images answered wrongly. The two training numbers are running ones: every batch is
    counted with the weights of its own step, in training mode, as augmented; they cost nothing
    extra. `evaluate` measures the training set properly. The test numbers are from the end of the
    epoch, in evaluation mode.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    recipe: Recipe = RECIPE
    seed: int = 0
    model: str = ""  # name of the network's class
    loss: str = ""  # name of the loss function
    dtype: str = ""  # of weights and images, such as "float32"
    precision: str = "no"  # mixed precision: "no", "bf16" or "fp16"
    device: str = ""  # "cpu" or "cuda"
    processes: int = 1
    # what differs from run to run: seconds of the training, and of each epoch without measuring
    seconds: float = field(default=0.0, compare=False, repr=False)
    epoch_seconds: list[float] = field(default_factory=list, compare=False, repr=False)

    @property
    def final(self) -> dict[str, Any]:
        """The last finished epoch."""
        if not self.rows:
            raise ValueError("this history has no finished epoch yet")
        return self.rows[-1]

    def __str__(self) -> str:
        return "\n".join(line(row, self.recipe.epochs) for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Only dicts, lists, strings and numbers, as JSON can hold them."""
        return asdict(self) | {"recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> History:
        """The history that `to_dict` wrote, perhaps by way of a JSON file."""
        rows = [dict(row) for row in values["rows"]]
        return cls(**(values | {"rows": rows, "recipe": Recipe.from_dict(values["recipe"])}))


@dataclass
class Repeats:
    """The same training from several seeds: networks and histories, in the order of the seeds."""

    models: list[nn.Module] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)

    @property
    def test_errors(self) -> list[float]:
        """Fraction of the test images answered wrongly at the end, one per seed."""
        return [history.final["test_error"] for history in self.histories]

    @property
    def rows(self) -> list[list[dict[str, Any]]]:
        """The rows of every history, as plots want them."""
        return [history.rows for history in self.histories]


def line(row: dict[str, Any], epochs: int) -> str:
    """One epoch in words."""
    parts = [
        f"{part} loss {row[f'{part}_loss']:.4f}, error {100 * row[f'{part}_error']:.2f} %"
        for part in ("train", "test")
        if f"{part}_loss" in row
    ]
    return f"epoch {row['epoch']}/{epochs}: " + "; ".join(parts)
