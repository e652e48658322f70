"""From settings to a folder with a trained network in it."""

from __future__ import annotations

import inspect
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from torch import nn

from cnnlib import weights
from cnnlib.data import ImageSet
from cnnlib.models import MODELS, create_model, image_size, loss_for
from cnnlib.published import published
from cnnlib.train import History, Recipe, fit, seed_everything
from cnnlib.train.schedules import Plateau

from . import folder as files
from .images import Numbers, Wanted, is_stream, short, sized
from .settings import Settings, check_same

if TYPE_CHECKING:
    from cnnlib.streams import Stream

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Failed(RuntimeError):
    """A training that ended without a result, through no fault of the arguments."""


class Interrupted(KeyboardInterrupt):
    """A training that was stopped by Ctrl-C; says how to go on with it."""


@dataclass(frozen=True)
class Run:
    """A finished training.

    Args:
        folder: where it is kept; `cnnlib.runs.folder` says what is in it.
        config: what ``config.json`` holds.
        history: loss and error of every epoch.
        model: the network with its final weights, in evaluation mode.
    """

    folder: Path
    config: dict[str, Any]
    history: History
    model: nn.Module


def train(
    network: str,
    data: str,
    *,
    out: str | Path | None = None,
    tensorboard: bool = False,
    checkpoint_every: float = 60.0,
    progress: bool | None = None,
    command: str | None = None,
    **settings: Any,
) -> Run:
    """Trains a network on named data and keeps everything in a folder.

    Images are normalised by mean and standard deviation of the training split; channels and classes
    of the network follow the data. LeNet-5 gets smaller images padded to its 32 x 32 pixels;
    networks with an option ``image_size`` are built for the size of the images. The loss is that of
    the paper (`cnnlib.models.loss_for`). The test split is measured after every epoch; the weights
    that are kept are the last ones, not the best.

    Under torchrun all processes train together and the first one writes.

    Args:
        network: one of ``cnnlib.list_models()``.
        data: see `Settings`.
        out: the folder; None makes ``runs/NETWORK-DATA-seedN``, with a number if that is there.
        tensorboard: whether to write events for TensorBoard, too.
        checkpoint_every: seconds between two checkpoints within an epoch.
        progress: as for `cnnlib.train.fit`.
        command: the command line, for the record.
        **settings: all else that `Settings` takes, as ``epochs=3`` or ``options={...}``.

    Raises:
        TypeError, ValueError: arguments that make no sense, or do not fit the data; nothing is
            left behind.
        FileExistsError, OSError: the folder is there already, or cannot be made.
        NoData: the data cannot be fetched.
        Failed: the training broke off: it diverged, the disk is full, ...
        Interrupted: Ctrl-C; what was reached is kept.
    """
    chosen = Settings(network, data, **settings)
    chosen.resolved_device()
    chosen.to_dict()
    _check_extras(tensorboard, checkpoint_every)

    def decide() -> Path:
        usual = f"{network}-{short(data)}-seed{chosen.seed}"
        home = files.free(Path("runs"), usual) if out is None else Path(out)
        files.check_free(home)
        return home

    home = _agreed(decide, chosen)
    plan = prepare(chosen)
    config = {
        "arguments": chosen.to_dict(),
        "recipe": plan.recipe.to_dict(),
        "departures": list(chosen.departures()),
        "network": {
            "name": network,
            "options": plan.options,
            "parameters": sum(p.numel() for p in plan.on_meta.parameters()),
            "loss": getattr(loss_for(plan.on_meta), "__name__", ""),
        },
        "data": plan.about_data(),
        "protocol": _protocol(plan.recipe),
        "starts": [],
    }
    return _run(plan, home, config, False, tensorboard, checkpoint_every, progress, command)


def resume(
    run: str | Path,
    *,
    tensorboard: bool = False,
    checkpoint_every: float = 60.0,
    progress: bool | None = None,
    command: str | None = None,
    **given: Any,
) -> Run:
    """Goes on with a training that was interrupted, as it was begun.

    On the same device with the same number of threads it ends with the weights that it would have
    without the interruption. A training that was finished is left as it is.

    Args:
        run: its folder.
        tensorboard: as for `train`, as are the next three.
        checkpoint_every: seconds.
        progress: whether to show any.
        command: the command line, for the record.
        **given: arguments of `train` that may be given again, if they are the same.

    Raises:
        ValueError: no run or a damaged one; or another argument than at its start.
        NoData, Failed, Interrupted, OSError: as for `train`.
    """
    home = Path(run)
    config = files.read_config(home)
    begun = kept(config, home)
    check_same(begun.settings, given)
    begun.settings.resolved_device()
    _check_extras(tensorboard, checkpoint_every)
    if (home / files.WEIGHTS).exists() and (home / files.HISTORY).exists():
        finished = load(home)
        if len(finished.history.rows) == begun.recipe.epochs:
            log.info("%s was finished already", home)
            return finished
    plan = prepare(begun.settings, begun)
    return _run(plan, home, config, True, tensorboard, checkpoint_every, progress, command)


def load(run: str | Path) -> Run:
    """A finished run from its folder; the network is on the CPU.

    Raises:
        ValueError: the folder holds no run, an unfinished or a damaged one.
        OSError: it cannot be read.
    """
    home = Path(run)
    config = files.read_config(home)
    if not (home / files.WEIGHTS).is_file():
        raise ValueError(
            f"{home} has no {files.WEIGHTS} yet, its training was not finished: {go_on(home)}"
        )
    model, _ = weights.load(home / files.WEIGHTS)
    return Run(home, config, files.read_history(home), model)


class Kept(NamedTuple):
    """What the configuration of a run says, understood."""

    settings: Settings
    recipe: Recipe
    size: int  # height and width of the images, in pixels
    classes: tuple[str, ...]
    statistics: tuple[Numbers, Numbers]  # with which the images were normalised


def kept(config: Mapping[str, Any], home: Path) -> Kept:
    """What the configuration in this folder says.

    Raises:
        ValueError: it makes no sense.
    """
    try:
        data = config["data"]
        return Kept(
            Settings(**config["arguments"]),
            Recipe.from_dict(config["recipe"]),
            int(data["shape"][1]),
            tuple(map(str, data["classes"])),
            (tuple(map(float, data["mean"])), tuple(map(float, data["std"]))),
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{home / files.CONFIG} is damaged: {reason}") from error


def go_on(home: Path) -> str:
    """How a run is resumed."""
    return f"to go on: python -m cnnlib train --resume --out {shlex.quote(str(home))}"


def _check_extras(tensorboard: bool, checkpoint_every: float) -> None:
    """ValueError for what decides nothing but can be wrong."""
    if not checkpoint_every >= 0:
        raise ValueError(f"checkpoint_every must be seconds, 0 or more; got {checkpoint_every}")
    if tensorboard:
        files.events_writer()


# Preparing


class Plan(NamedTuple):
    """A training of which everything is known to fit together."""

    settings: Settings
    recipe: Recipe
    train: ImageSet | Stream
    test: ImageSet | Stream
    options: dict[str, Any]  # of the network, all of them
    on_meta: nn.Module  # the network without numbers
    notes: tuple[str, ...]  # what a reader should know before it begins

    def about_data(self) -> dict[str, Any]:
        """The data as plain data."""
        splits = {"train": self.train, "test": self.test}
        return {
            "name": self.settings.data,
            "classes": list(self.train.classes),
            "shape": list(shape_of(self.train)),
            "mean": list(self.train.mean or ()),
            "std": list(self.train.std or ()),
            **{
                split: {"images": len(images), "fingerprint": images.fingerprint()}
                for split, images in splits.items()
            },
        }


def prepare(settings: Settings, begun: Kept | None = None) -> Plan:
    """Opens the data and sees whether the network takes them.

    Args:
        settings: what is wanted.
        begun: how it was begun, if it is to be resumed: with that recipe and those statistics.

    Raises:
        ValueError: data and network do not fit together.
        OSError, NoData: the data cannot be had.
    """
    recipe = begun.recipe if begun else settings.whole_recipe()
    wanted = wanted_images(settings, recipe)
    train_set = wanted.open("train", begun.statistics if begun else None)
    if train_set.mean is None or train_set.std is None:
        raise ValueError(f"{settings.data} is not normalised")
    test_set = wanted.open("test", (train_set.mean, train_set.std), train_set.classes)
    if train_set.classes != test_set.classes:
        raise ValueError(
            f"the test split of {settings.data} has {len(test_set.classes)} classes, other than "
            f"the {len(train_set.classes)} of the training split"
        )
    channels, height, _ = shape_of(train_set)
    follow = {"num_classes": len(train_set.classes), "in_channels": channels}
    if "image_size" in _accepted(settings.network):
        follow["image_size"] = height
    options = dict(settings.options) | follow
    on_meta = _tried(settings, options, shape_of(train_set))
    recipe = replace(recipe, crops=wanted.crops)
    notes = []
    if begun is None and (gentle := _gentler(settings, recipe, on_meta)) is not None:
        rates = f"learning rate {gentle.lr:g} instead of {recipe.lr:g}"
        notes.append(f"{settings.network} has no batch normalisation: {rates}")
        recipe = gentle
    if len(train_set) < recipe.batch_size:
        sizes = f"{recipe.batch_size:,}, more than the {len(train_set):,} images"
        notes.append(f"the batch size is {sizes}: one step per epoch")
    notes += [f"not as in the paper: {departure}" for departure in settings.departures()]
    return Plan(settings, recipe, train_set, test_set, options, on_meta, tuple(notes))


def _gentler(settings: Settings, recipe: Recipe, model: nn.Module) -> Recipe | None:
    """The fast recipe for a network that cannot bear its rate, which is for normalised layers."""
    normalised = any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    if settings.recipe != "fast" or settings.lr is not None or normalised:
        return None
    return replace(recipe, lr=recipe.lr / 10)


def wanted_images(settings: Settings, recipe: Recipe) -> Wanted:
    """Which images the settings ask for, in the size that suits the network.

    Raises:
        ValueError: a size that the network cannot be built for.
    """
    only = image_size(settings.network)
    asked, built = settings.size, settings.options.get("image_size")
    if asked is not None and built is not None and asked != built:
        raise ValueError(f"images of size {asked} for a network with image_size {built}: give one")
    asked = built if asked is None else asked
    wanted = Wanted(settings.data, asked, limit=settings.limit)
    if only is not None and "image_size" not in _accepted(settings.network):
        if asked not in (None, only):
            raise ValueError(f"{settings.network} takes images of {only}x{only} pixels only")
        wanted = replace(wanted, size=only, pad=True)
    if is_stream(settings.data):
        size = wanted.size or published(settings.network).input[1]
        wanted = replace(wanted, size=size, crops=sized(recipe.crops, size))
    return wanted


def shape_of(images: ImageSet | Stream) -> tuple[int, int, int]:
    """Channels, height and width of an image."""
    if isinstance(images, ImageSet):
        channels, height, width = images.images.shape[1:]
        return channels, height, width
    return 3, images.crops.size, images.crops.size


def _accepted(network: str) -> Mapping[str, Any]:
    return inspect.signature(MODELS[network][0]).parameters


def _tried(settings: Settings, options: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    """The network without numbers, after it has seen images of this shape."""
    name = settings.network
    hint = "; --size 224 scales them up"
    if "stem" in _accepted(name) and options.get("stem") != "small":
        hint += ", --option stem=small builds for small images"
    with torch.device("meta"):
        try:
            model = create_model(name, **options)
        except TypeError as error:  # a value of a kind that nobody thought of
            raise ValueError(f"{name} cannot be made with {settings.options}: {error}") from error
        except ValueError as error:
            if "image_size must" not in str(error) or "image_size" in settings.options:
                raise
            raise ValueError(f"{name} for {settings.data}: {error}{hint}") from error
        try:
            model.train()(torch.empty(2, *shape))
        except (RuntimeError, ValueError) as error:
            size = "x".join(map(str, shape))
            raise ValueError(
                f"{name} does not take {settings.data}, images of {size}: {error}{hint}"
            ) from error
    return model


def _protocol(recipe: Recipe) -> str:
    measured = "measured on the whole test split after every epoch, one view of each image"
    if isinstance(recipe.schedule, Plateau):
        return f"{measured}; the learning rate falls when that error no longer does"
    return f"{measured}; it never influences the weights"


# Running


def _run(
    plan: Plan,
    home: Path,
    config: dict[str, Any],
    resumed: bool,
    tensorboard: bool,
    checkpoint_every: float,
    progress: bool | None,
    command: str | None,
) -> Run:
    chosen = plan.settings
    start = files.surroundings(chosen.resolved_device(), command)
    differences = _differences(config["starts"][:1], start)
    begun = config | {"starts": [*config["starts"], start]}
    history = History()
    report = files.Reporter(
        home, f"{chosen.network} on {chosen.data}", len(plan.train), tensorboard
    )
    seed_everything(chosen.seed)
    model = create_model(chosen.network, **plan.options)
    with _begun(home, config if resumed else None), _ended(home, begun, history, plan.recipe):
        if _is_main():
            files.write_json(home / files.CONFIG, begun)
            for note in (*plan.notes, *differences):
                log.info(note)
        fit(
            model,
            plan.train,
            plan.test,
            recipe=plan.recipe,
            loss=loss_for(model),
            seed=chosen.seed,
            device=chosen.device,
            precision=chosen.precision,
            channels_last=chosen.channels_last,
            compile=chosen.compile,
            micro_batch=chosen.micro_batch,
            progress=progress,
            history=history,
            checkpoint=home / files.CHECKPOINT,
            resume=resumed,
            checkpoint_every=checkpoint_every,
            after_epoch=report,
        )
        report.close()
        _begin_again(model)
        if _is_main():
            report.draw(history)
            files.write_history(home, history, len(plan.train))
            weights.save(
                model,
                home / files.WEIGHTS,
                name=chosen.network,
                options=plan.options,
                recipe=plan.recipe.to_dict(),
                seed=chosen.seed,
                accuracy=1 - history.final["test_error"],
                n=len(plan.test),
            )
    return Run(home, begun, history, model)


@contextmanager
def _begun(home: Path, config: Mapping[str, Any] | None) -> Iterator[None]:
    """Makes the folder; if it turns out that nothing can begin, all is as it was before.

    Args:
        home: the folder of the run.
        config: what its configuration was, if it is resumed.
    """
    new: list[Path] = []
    if _is_main() and config is None:
        files.check_free(home)  # another process may have taken it meanwhile
        new = files.make(home)
    try:
        yield
    except (OSError, TypeError, ValueError):
        if _is_main():
            if config is None:
                files.unmake(home, new)
            else:
                files.write_json(home / files.CONFIG, config)
        raise


@contextmanager
def _ended(home: Path, config: dict[str, Any], history: History, recipe: Recipe) -> Iterator[None]:
    """Notes in the configuration how the training ended, and says so in words.

    What is raised before the first step is passed on as it is.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        _note(home, config, "interrupted")
        done = f"stopped in epoch {len(history.rows) + 1} of {recipe.epochs}"
        if len(history.rows) == recipe.epochs:
            done = "stopped after the last epoch"
        raise Interrupted(f"{done}, what was reached is kept; {go_on(home)}") from stop
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, TypeError | ValueError) and not history.rows:
            raise
        if isinstance(error, OSError) and not (home / files.CONFIG).exists():
            raise
        words, advice = str(error).strip(), ""
        if isinstance(error, OSError):
            words, advice = error.strerror or words, f"; {go_on(home)}"
            words = f"{error.filename}: {words}" if error.filename else words
        words = words.splitlines()[0] if words else type(error).__name__
        _note(home, config, f"failed: {words}")
        epochs = f"{_epochs_kept(home)} of {recipe.epochs} epochs"
        raise Failed(f"{words}; {home} keeps {epochs}{advice}") from error
    _note(home, config, "finished")


def _note(home: Path, config: dict[str, Any], outcome: str) -> None:
    """Writes down how this start of the training ended."""
    config["starts"][-1].update(ended=files.now(), outcome=outcome)
    if _is_main():
        with suppress(OSError):  # a full disk, which is being told of already
            files.write_json(home / files.CONFIG, config)


def _epochs_kept(home: Path) -> int:
    """How many finished epochs the folder knows of."""
    with suppress(OSError, ValueError):
        return len(files.read_history(home).rows)
    return 0


def _begin_again(model: nn.Module) -> None:
    """Takes back how far a training is from a network that was told, as `fit` does: NASNet's."""
    set_progress: Any = getattr(model, "set_progress", None)
    if set_progress is not None:
        set_progress(0)


def _differences(begun: list[Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What makes the rest of a training round differently than its beginning, if there was one."""
    for before in begun:
        for name in ("versions", "device_name", "threads", "processes"):
            if before.get(name) != now[name]:
                what = f"{name.replace('_', ' ')}: {before.get(name)} at the start of this run"
                yield f"{what}, now {now[name]}; the numbers may differ in their last digits"


# Several processes


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


def _agreed(decide: Callable[[], Answer], settings: Settings) -> Answer:
    """What the first process decides, in all processes; its refusal, too."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return decide()
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    PartialState(cpu=settings.resolved_device() == "cpu")
    found: list[Any] = [None]
    if _is_main():
        try:
            found = [decide()]
        except (OSError, ValueError) as refusal:
            found = [refusal]
    broadcast_object_list(found)
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]
