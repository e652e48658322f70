"""How well the network of a finished run does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnlib.datasets import SPLITS
from cnnlib.models import loss_for
from cnnlib.train import evaluate as measure

from .images import is_stream, sized
from .training import kept, load, wanted_images


def evaluate(
    run: str | Path,
    *,
    data: str | None = None,
    split: str = "test",
    device: str = "auto",
    batch_size: int = 500,
) -> dict[str, Any]:
    """Loss and error of the final weights of a run.

    Images are sized and normalised as they were for the training, with the statistics of its
    training split.

    Args:
        run: its folder.
        data: other data with the same classes, all of them; None takes those of the run, with the
            limit that it had.
        split: ``"test"`` or ``"train"``.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        batch_size: images at a time.

    Returns:
        Plain data: ``run``, ``network``, ``data``, ``split``, ``n`` (images), ``protocol``,
        ``device``, ``loss``, ``error`` (a fraction of the images) and, for more than 10 classes,
        ``top5_error``.

    Raises:
        ValueError: no run, an unfinished or a damaged one; data that do not fit.
        OSError, NoData: the data cannot be had.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be {' or '.join(SPLITS)}; got {split!r}")
    finished = load(run)
    begun = kept(finished.config, finished.folder)
    settings = replace(begun.settings, device=device, precision="no")
    if data is not None:
        settings = replace(settings, data=data, limit=None)
        if is_stream(data) != is_stream(begun.settings.data):  # bytes here, shares of 255 there
            raise ValueError(
                f"a network trained on {begun.settings.data} cannot be measured on {data}: either "
                "both are streams of files, or neither"
            )
    on = settings.resolved_device()
    wanted = replace(wanted_images(settings, begun.recipe), size=begun.size)
    if wanted.crops is not None:
        wanted = replace(wanted, crops=sized(begun.recipe.crops, begun.size).evaluation())
    images = wanted.open(split, begun.statistics, begun.classes)
    if images.classes != begun.classes:
        raise ValueError(
            f"{settings.data} has other classes ({_few(images.classes)}) than those that the "
            f"network was trained for ({_few(begun.classes)})"
        )
    model = finished.model.to(on)
    found = measure(
        model, images, loss=loss_for(model), batch_size=batch_size, top5=len(begun.classes) > 10
    )
    return {
        "run": str(finished.folder),
        "network": settings.network,
        "data": settings.data,
        "split": split,
        "n": len(images),
        "protocol": "weights after the last epoch; one view of each image, without augmentation",
        "device": on,
        **found,
    }


def _few(classes: tuple[str, ...]) -> str:
    shown = ", ".join(classes[:3])
    return shown if len(classes) <= 3 else f"{shown}, ..., {len(classes)} in all"
