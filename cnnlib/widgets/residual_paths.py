"""A small residual network as the collection of its paths, which the reader thins out."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from math import comb, isfinite
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar, Self

import traitlets

from cnnlib.widgets import chart
from cnnlib.widgets.base import Widget

BLOCKS = (2, 6)
NETWORKS = ("residual", "plain")
VIEWS = ("single", "several", "gradients")


class ResidualPaths(Widget):
    """A residual network of n blocks drawn as its 2^n paths, beside the plain one with only one.

    A tap takes a block out of both networks: half of the paths that are left go with it, and of the
    plain network the only one. Beside that stands the error that was measured without these very
    blocks. Below, the same of deeper networks: without one block, without several, and how the
    gradient shrinks with the length of a path. After Veit, Wilber and Belongie (2016).

    Args:
        residual: For each seed the errors without each set of blocks, 2^n fractions; number i
            belongs to the set whose bits are those of i, the first block being the lowest.
        plain: The same of the plain network.
        stages: Blocks of each stage, which are drawn apart; by default all in one.
        chance: Error of guessing, drawn as a level.
        deep: Of deeper networks, any of: ``"single"``, for ``"residual"`` and ``"plain"`` and each
            seed the errors without the first block, without the second, ...; ``"several"``, for
            both and for each number of blocks that were taken out, as a text, a list of errors;
            ``"path_gradients"``, for each seed the mean gradient along paths through 0, 1, 2, ...
            blocks.
        labels: Words to use instead of the English ones in `LABELS`.

    Raises:
        ValueError: Not 2^n numbers for n from 2 to 6, not the same n twice, stages that do not add
            up, something that is no error, or a key of ``deep`` that there is not.
    """

    LABELS: ClassVar[dict[str, str]] = {
        "name": "The paths of a residual network",
        "take_out": "Press a block to take it out of both networks.",
        "block": "Block {number}",
        "block_out": "Block {number}, taken out",
        "residual": "residual",
        "plain": "plain",
        "images": "images",
        "classes": "classes",
        "put_back": "Put all back",
        "left": "{left} of {all} paths are left",
        "left_plain": "in the plain network {left} of 1",
        "lengths": "Each row of {blocks} cells is a path; filled cells are blocks that it passes",
        "length": "passes {length}",
        "count": "{left}/{all}",
        "path": "This path passes {blocks}: {state}",
        "path_none": "no block",
        "path_one": "block {numbers}",
        "path_several": "blocks {numbers}",
        "path_whole": "unbroken",
        "path_cut": "cut",
        "path_keys": "Arrow keys go from path to path.",
        "paths": "Paths by the number of blocks that they pass",
        "measured": "Measured test error without these blocks",
        "measured_all": "Measured test error with all blocks",
        "guessing": "guessing",
        "seeds": "Dots are seeds, the bar is their mean.",
        "table_blocks": "Blocks taken out",
        "table_left": "Paths left",
        "now": "now",
        "deep": "The same in deep networks",
        "view_single": "One block out",
        "view_several": "Several blocks out",
        "view_gradients": "Gradient by path length",
        "about_single": "Test error after one block was taken out, for each of {blocks} blocks.",
        "about_several": "Test error after blocks chosen at random were taken out.",
        "about_gradients": (
            "Mean gradient that reaches the first block along one path, and the same times the "
            "number of paths of this length. The axis is logarithmic."
        ),
        "x_single": "Block",
        "x_several": "Blocks taken out",
        "x_gradients": "Blocks on the path",
        "y_error": "Test error",
        "y_gradients": "Gradient norm",
        "one_path": "one path",
        "all_paths": "all paths of this length",
        "at_draws": "{x}: mean ± standard deviation of {seeds} random choices",
        **chart.LABELS,
    }
    _source = Path(__file__)

    residual = traitlets.List(help="per seed, errors by set of blocks").tag(sync=True)
    plain = traitlets.List().tag(sync=True)
    stages = traitlets.List(traitlets.Int()).tag(sync=True)
    chance = traitlets.Float(None, allow_none=True).tag(sync=True)
    deep = traitlets.Dict().tag(sync=True)
    deleted = traitlets.Int(0, help="the set of blocks that are out, as bits").tag(sync=True)
    view = traitlets.Unicode("", help="which picture of the deep networks is shown").tag(sync=True)

    def __init__(
        self,
        residual: Sequence[Sequence[float]],
        plain: Sequence[Sequence[float]],
        *,
        stages: Sequence[int] | None = None,
        chance: float | None = None,
        deep: Mapping[str, Any] | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        tables = [
            _table(runs, name) for name, runs in zip(NETWORKS, (residual, plain), strict=True)
        ]
        size = len(tables[0][0])
        blocks = size.bit_length() - 1
        if size != 2**blocks or not BLOCKS[0] <= blocks <= BLOCKS[1]:
            raise ValueError(
                f"residual must have 2^n errors per seed with n from {BLOCKS[0]} to {BLOCKS[1]}, "
                f"one for each set of blocks; got {size}"
            )
        if len(tables[1][0]) != size:
            raise ValueError(
                f"plain must have {size} errors per seed, as residual; got {len(tables[1][0])}"
            )
        stages = [blocks] if stages is None else list(stages)
        if sum(stages) != blocks or min(stages) < 1:
            raise ValueError(f"stages must add up to {blocks} blocks, got {stages}")
        if chance is not None and not 0 <= chance <= 1:
            raise ValueError(f"chance must be a fraction from 0 to 1, got {chance}")
        checked = _deep(deep or {})
        super().__init__(
            residual=tables[0],
            plain=tables[1],
            stages=stages,
            chance=chance,
            deep=checked,
            view=next((view for view in VIEWS if view in checked), ""),
            labels=labels,
        )

    @classmethod
    def of_runs(cls, runs: Any, labels: dict[str, str] | None = None) -> Self:
        """The widget of the stored experiment ``resnet_depth``.

        Args:
            runs: What ``cnnlib.book.stored_runs("resnet_depth")`` gives.
            labels: As above.
        """
        small = {name: runs[f"{name}-14"].values("subset_test_error") for name in NETWORKS}
        deep: dict[str, Any] = {"single": {}, "several": {}}
        for name in NETWORKS:
            arm = runs[f"{name}-44"]
            deep["single"][name] = arm.values("single_test_error")
            draws = arm.values("several_test_error")
            deep["several"][name] = {
                number: [error for run in draws for error in run[number]] for number in draws[0]
            }
        deep["path_gradients"] = runs["residual-44"].values("path_gradients")
        return cls(**small, stages=(2, 2, 2), chance=0.9, deep=deep, labels=labels)

    @traitlets.validate("deleted")
    def _check_deleted(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < 2**self.blocks:
            raise ValueError(
                f"deleted must be a set of {self.blocks} blocks, 0 to {2**self.blocks - 1}, got "
                f"{proposal['value']}"
            )
        return proposal["value"]

    @property
    def blocks(self) -> int:
        """Number of blocks of the small networks."""
        return sum(self.stages)

    def lengths(self, deleted: Iterable[int] = ()) -> list[int]:
        """How many unbroken paths pass 0, 1, 2, ... blocks.

        Args:
            deleted: Numbers of the blocks that are taken out, the first one being 1.
        """
        left = self.blocks - self._mask(deleted).bit_count()
        return [comb(left, length) for length in range(self.blocks + 1)]

    def error(self, network: str, deleted: Iterable[int] = ()) -> float:
        """The measured error, mean over the seeds.

        Args:
            network: ``"residual"`` or ``"plain"``.
            deleted: Numbers of the blocks that are taken out, the first one being 1.

        Raises:
            ValueError: Another network, or a block that there is not.
        """
        if network not in NETWORKS:
            raise ValueError(f"network must be one of {NETWORKS}, got {network!r}")
        mask = self._mask(deleted)
        return mean(errors[mask] for errors in getattr(self, network))

    def _mask(self, deleted: Iterable[int]) -> int:
        numbers = set(deleted)
        if not numbers <= set(range(1, self.blocks + 1)):
            raise ValueError(f"blocks are numbered 1 to {self.blocks}, got {sorted(numbers)}")
        return sum(1 << number - 1 for number in numbers)

    def fallback_html(self) -> str:
        """How many paths there are of each length, and the errors without any number of blocks."""
        text = self.labels
        cell = '<td style="padding: 0.1em 0.7em; text-align: right">{}</td>'
        rows = [
            cell.format(escape(text["length"].format(length=length))) + cell.format(count)
            for length, count in enumerate(self.lengths())
        ]
        paths = "".join(f"<tr>{row}</tr>" for row in rows)
        names = ("table_blocks", "table_left", *NETWORKS)
        head = "".join(f'<th scope="col">{escape(text[name])}</th>' for name in names)
        body = ""
        for out in range(self.blocks + 1):
            sets = [mask for mask in range(2**self.blocks) if mask.bit_count() == out]
            cells = [out, 2 ** (self.blocks - out)]
            for network in NETWORKS:
                runs = [mean(errors[mask] for mask in sets) for errors in getattr(self, network)]
                cells.append(chart.summary(runs, "percent"))
            body += f"<tr>{''.join(cell.format(value) for value in cells)}</tr>"
        return (
            f'<div role="group" aria-label="{escape(text["name"])}">'
            f"<table><caption>{escape(text['paths'])}</caption><tbody>{paths}</tbody></table>"
            f"<table><caption>{escape(text['measured'])}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
        )

    def __repr__(self) -> str:
        deep = ", ".join(self.deep) or "no deep networks"
        seeds = len(self.residual)
        return f"ResidualPaths({self.blocks} blocks, {2**self.blocks} paths, {seeds} seeds; {deep})"


def _errors(values: Any, name: str) -> list[float]:
    """Fractions, or a ValueError that names the first that is none."""
    errors = [float(value) for value in values]
    for value in errors:
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must hold errors from 0 to 1, got {value}")
    return errors


def _table(runs: Any, name: str) -> list[list[float]]:
    """For each seed as many errors as for the others."""
    table = [_errors(errors, name) for errors in runs]
    if not table or not table[0] or len({len(errors) for errors in table}) > 1:
        lengths = [len(errors) for errors in table]
        raise ValueError(f"{name} must have equally many errors for each seed, got {lengths}")
    return table


def _deep(deep: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of the deep networks, by view."""
    known = ("single", "several", "path_gradients")
    if unknown := [key for key in deep if key not in known]:
        raise ValueError(f"deep has {unknown}, but what can be shown is {known}")
    result: dict[str, Any] = {}
    for key in ("single", "several"):
        if key in deep and set(deep[key]) != set(NETWORKS):
            raise ValueError(f"deep[{key!r}] must have {NETWORKS}, got {sorted(deep[key])}")
    if "single" in deep:
        result["single"] = {n: _table(deep["single"][n], f"deep single {n}") for n in NETWORKS}
    if "several" in deep:
        result["several"] = {
            network: {
                str(int(number)): _errors(errors, f"deep several {network}")
                for number, errors in deep["several"][network].items()
            }
            for network in NETWORKS
        }
    if "path_gradients" in deep:
        runs = [[float(value) for value in run] for run in deep["path_gradients"]]
        if not runs or any(not isfinite(v) or v <= 0 for run in runs for v in run):
            raise ValueError("path_gradients must hold positive numbers for each seed")
        if len({len(run) for run in runs}) > 1:
            raise ValueError("path_gradients must have equally many numbers for each seed")
        result["gradients"] = runs
    return result
