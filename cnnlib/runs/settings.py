"""What is to be trained, on what and how: plain data, checked before anything is made."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch

from cnnlib.models import MODELS
from cnnlib.train import Recipe
from cnnlib.train.recipes import PaperRecipe, fast_recipe, paper_recipe
from cnnlib.train.schedules import Steps

from .images import check_name, is_stream

RECIPES = ("fast", "paper")  # names that `Settings.recipe` knows
CHOICES = {"device": ("auto", "cpu", "cuda"), "precision": ("no", "bf16", "fp16")}


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a training does: the same settings give the same weights.

    Args:
        network: one of ``cnnlib.list_models()``.
        data: ``cifar10``, ``fashion_mnist``, ``mnist``, ``fashion_6k``, ``mnist_5k``,
            ``imagenette``, ``imagefolder:PATH`` or ``shards:PATTERN``.
        recipe: ``"fast"``, one cycle of a few epochs; ``"paper"``, that of the network's paper; or
            a whole one, a `Recipe` or what its ``to_dict`` gave.
        epochs: instead of those of the recipe.
        lr: highest learning rate, instead of that of the recipe.
        batch_size: images per step, instead of those of the recipe.
        micro_batch: images that pass through the network at a time, if a batch is too much for it.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        precision: ``"no"``, ``"bf16"`` or ``"fp16"``.
        channels_last: whether channels lie side by side in memory; quicker on many devices.
        compile: whether ``torch.compile`` compiles the network first.
        seed: of the initial weights and of all chance during the training.
        options: of the network, as for ``cnnlib.create_model``.
        size: height and width, in pixels, to which images are scaled; None leaves those in memory
            as they are and cuts streams to what the network was published for.
        limit: so many images of each split at most, chosen by chance but always the same: for
            trying.

    Raises:
        TypeError, ValueError: a setting that makes no sense.
    """

    network: str
    data: str
    recipe: str | Recipe | Mapping[str, Any] = "fast"
    epochs: int | None = None
    lr: float | None = None
    batch_size: int | None = None
    micro_batch: int | None = None
    device: str = "auto"
    precision: str = "no"
    channels_last: bool = False
    compile: bool = False
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.network not in MODELS:
            raise ValueError(
                f"there is no network {self.network!r}{_nearest(self.network, MODELS)}"
            )
        check_name(self.data)
        for name, known in CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"{name} must be {' or '.join(known)}; got {value!r}")
        for name in ("micro_batch", "size", "limit"):
            _check_whole(name, getattr(self, name), at_least=1)
        _check_whole("seed", self.seed, at_least=0)
        if self.seed >= 2**32:  # what NumPy takes
            raise ValueError(f"seed must be below {2**32}; got {self.seed}")
        for name in ("num_classes", "in_channels"):
            if name in self.options:
                raise ValueError(f"{name} follows the data; leave the option away")
        self.whole_recipe()

    def whole_recipe(self) -> Recipe:
        """The recipe with all its numbers."""
        recipe, _ = self._recipe()
        given = {name: getattr(self, name) for name in ("epochs", "lr", "batch_size")}
        return replace(
            recipe, **{name: value for name, value in given.items() if value is not None}
        )

    def departures(self) -> tuple[str, ...]:
        """In what the recipe is not that of the paper."""
        return self._recipe()[1]

    def _recipe(self) -> tuple[Recipe, tuple[str, ...]]:
        if isinstance(self.recipe, Recipe):
            return self.recipe, ()
        if isinstance(self.recipe, Mapping):
            return Recipe.from_dict(dict(self.recipe)), ()
        if self.recipe == "fast":
            return fast_recipe(self.data), ()
        if self.recipe == "paper":
            paper = paper_recipe(self.network)
            return paper.recipe, (*paper.departures, *self._own_departures(paper))
        raise ValueError(f"there is no recipe {self.recipe!r}{_nearest(self.recipe, RECIPES)}")

    def _own_departures(self, paper: PaperRecipe) -> Iterator[str]:
        """In what these settings depart from the paper's training."""
        stream = is_stream(self.data)
        if self.data != paper.data and not (stream and paper.data == "imagenet"):
            yield f"The recipe is for {paper.data} at {paper.image_size}x{paper.image_size} pixels."
        if paper.recipe.crops is not None and not stream:
            yield "The recipe cuts crops from photographs; images in memory are used whole."
        for name in ("epochs", "lr", "batch_size"):
            value, usual = getattr(self, name), getattr(paper.recipe, name)
            if value is not None and value != usual:
                yield f"{name.replace('_', ' ').capitalize()} {value:g} instead of {usual:g}."
        schedule = paper.recipe.schedule
        if (
            self.epochs is not None
            and isinstance(schedule, Steps)
            and schedule.at[-1] >= self.epochs
        ):
            later = ", ".join(f"{epoch:.4g}" for epoch in schedule.at if epoch >= self.epochs)
            yield f"Drops of the learning rate after epochs {later} are not reached."

    def resolved_device(self) -> str:
        """``"cpu"`` or ``"cuda"``.

        Raises:
            ValueError: there is no CUDA device, or it is needed for the precision.
        """
        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise ValueError("device cuda: torch finds no such device; choose cpu or auto")
        device = "cuda" if there and self.device != "cpu" else "cpu"
        if self.precision == "fp16" and device == "cpu":
            raise ValueError("precision fp16 needs a CUDA device; on the CPU choose bf16 or no")
        return device

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them.

        Raises:
            TypeError: an option that JSON cannot hold.
        """
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        if isinstance(self.recipe, Recipe):
            values["recipe"] = self.recipe.to_dict()
        return json.loads(json.dumps(values | {"options": dict(self.options)}))


def check_same(kept: Settings, given: Mapping[str, Any]) -> None:
    """Refuses arguments that are not those with which a run was started.

    Raises:
        TypeError: an argument that there is not.
        ValueError: another value than the run's.
    """
    before = kept.to_dict()
    for name, value in given.items():
        if name not in before:
            raise TypeError(f"there is no argument {name!r}; there are {', '.join(before)}")
        if name == "options":  # some may be given again
            for option, choice in value.items():
                if before["options"].get(option) != choice:
                    raise ValueError(_conflict(f"option {option}", before["options"].get(option)))
        elif before[name] != (value.to_dict() if isinstance(value, Recipe) else value):
            raise ValueError(_conflict(name.replace("_", "-"), before[name]))


def _conflict(name: str, before: Any) -> str:
    return (
        f"this run was started with {name} {json.dumps(before)}: leave that argument away to go on "
        "with it, or start another run in another folder"
    )


def _check_whole(name: str, value: Any, *, at_least: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number; got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}; got {value}")


def _nearest(name: Any, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(str(name).lower(), known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are {', '.join(known)}" if len(known) < 10 else "; cnnlib list shows them"
