"""Prune, retrain, share, code: two small networks through Deep Compression, five seeds each.

    python -m experiments.deep_compression [--processes 2] [--output FILE] [--arms NAME ...]

Every combination of a pruning and of a number of bits is really made: pruned, retrained, shared by
k-means, written, read back and measured. Chapter 10 draws them, and repeats one of them live: that
one is trained in float64, so that its digits come out the same; the others in float32, which takes
half of the time. Some 6 minutes of one core.
"""

from __future__ import annotations

import copy
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnlib import compress
from cnnlib.data import ImageSet
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main
from .squeezenet_parts import alexnet, build, fire, garments

ALEXNET_RECIPE = Recipe(epochs=5, lr=0.02, batch_size=50)  # at 0.03, one seed of five hardly began
RETRAINING = Recipe(epochs=4, lr=0.04, batch_size=50)
TUNING = Recipe(epochs=1, lr=0.005, batch_size=50)  # of shared values
BITS = (2, 3, 4, 5, 6, 8)
TUNED = (2, 3)
LIVE = 0.1  # the pruning of AlexNet that the chapter repeats
PAPER = {"conv*": 8, "fc*": 5}  # bits in Deep Compression, section 3
KEPT = {"AlexNet": (1.0, 0.5, 0.25, 0.1, 0.05, 0.02), "fire": (1.0, 0.5, 0.33)}

ABOUT = {
    "protocol": (
        "images and networks as in squeezenet_parts, AlexNet trained in float64. Then, "
        "for each pruning, from the trained network anew: compress.prune(model, keep); "
        "fit(..., recipe=retraining, seed=seed); for each number of bits, from that: "
        "compress.share, compress.save in float32, compress.load, evaluate. Nothing is trained "
        "after sharing, but for the runs called tuned"
    ),
    "arms.retraining": "recipe after pruning; tuning: after sharing",
    "runs.test_error": "fraction wrong of the 2,000 test images before anything is compressed, "
    "train_error of the 2,000 training images",
    "runs.dense": "bytes of the file with every number in float32",
    "runs.prunings": "level: the share of weights that the largest layers keep; keep: of each "
    "layer, by patterns of names; kept: weights that are left of all; dtype: of the retraining; "
    "cut_error: on the test images, pruned and not retrained; test_error, train_error: retrained; "
    "sparse: bytes of the file with the weights that are left in float32",
    "runs.prunings.shared": "bits of a code; test_error of the network read back from its file; "
    "plain: bytes of the file with codes and gaps of fixed length; size: with Huffman's, by what "
    "the bytes are for",
    "runs.mixed": "level 0.1 with the paper's 8 bits in convolutions and 5 in the others",
    "runs.tuned": "level 0.1, shared values trained for an epoch: test_error before and after",
}


def keeping(network: str, level: float) -> dict[str, float]:
    """What share of its weights each layer keeps, by patterns of names.

    In AlexNet the convolutions keep four times as much as fc6 and fc7, conv1 and fc8 more, as in
    the paper's table 4. In the network of Fire modules conv1 stays whole, as in SqueezeNet's
    table 1, and all others keep the same share.
    """
    if network == "AlexNet":
        factors = {"conv1*": 8, "conv*": 4, "fc8*": 2.5, "fc*": 1}
        return {name: min(1.0, factor * level) for name, factor in factors.items()}
    return {"conv1*": 1.0, "*": level}


def read_back(model: nn.Module, arm: Arm) -> tuple[nn.Module, int, compress.Size]:
    """The network from its own file, bytes with fixed lengths, and with Huffman's by part."""
    plain = len(compress.pack(model, coding="shared"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.cnnc"
        size = compress.save(model, path)
        if path.stat().st_size != size.total:
            raise RuntimeError(f"the file has {path.stat().st_size} bytes, not {size.total}")
        fresh = build(arm["network"], arm["options"]).to(torch.float32)
        compress.load(path, fresh)
    return fresh, plain, size


def shared(model: nn.Module, bits: Any, arm: Arm, test: ImageSet) -> dict[str, Any]:
    """The network with shared weights, written and read back: error and bytes."""
    small = copy.deepcopy(model).to(torch.float32)
    compress.share(small, bits)
    fresh, plain, size = read_back(small, arm)
    error = evaluate(fresh.to(test.images.dtype), test)["error"]
    return {"bits": bits, "test_error": error, "plain": plain, "size": asdict(size)}


def run(arm: Arm, seed: int) -> dict[str, Any]:
    """One network: trained, then compressed in every way."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    start = time.process_time()
    own = getattr(torch, arm["dtype"])
    sets = {dtype: garments(dtype) for dtype in (torch.float32, torch.float64)}
    seed_everything(seed)
    model = build(arm["network"], arm["options"]).to(own)
    fit(model, sets[own][0], recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    errors = [evaluate(model, images)["error"] for images in sets[own]]
    result: dict[str, Any] = {
        "train_error": errors[0],
        "test_error": errors[1],
        "dense": len(compress.pack(copy.deepcopy(model).to(torch.float32), coding="dense")),
        "prunings": [],
    }
    for level in KEPT[arm["name"]]:
        dtype = own if level == LIVE else torch.float32
        train, test = sets[dtype]
        pruned = copy.deepcopy(model).to(dtype)
        keep = keeping(arm["name"], level)
        compress.prune(pruned, keep)
        cut_error = evaluate(pruned, test)["error"]
        fit(pruned, train, recipe=RETRAINING, seed=seed, device="cpu", progress=False)
        stored = copy.deepcopy(pruned).to(torch.float32)
        result["prunings"].append(
            {
                "level": level,
                "keep": keep,
                "kept": sum(row.kept for row in compress.report(pruned)),
                "dtype": str(dtype).removeprefix("torch."),
                "cut_error": cut_error,
                "train_error": evaluate(pruned, train)["error"],
                "test_error": evaluate(pruned, test)["error"],
                "sparse": len(compress.pack(stored, coding="sparse")),
                "shared": [shared(pruned, bits, arm, test) for bits in BITS],
            }
        )
        if level == LIVE:
            result["mixed"] = shared(pruned, PAPER, arm, test)
            result["tuned"] = [tuned(pruned, bits, train, test, seed) for bits in TUNED]
    return result | {"seconds": round(time.process_time() - start, 1)}


def tuned(
    model: nn.Module, bits: int, train: ImageSet, test: ImageSet, seed: int
) -> dict[str, float]:
    """What training of the shared values brings (section 3.3 of the paper)."""
    small = copy.deepcopy(model)
    compress.share(small, bits)
    before = evaluate(small, test)["error"]
    fit(small, train, recipe=TUNING, seed=seed, device="cpu", progress=False)
    return {"bits": bits, "before": before, "after": evaluate(small, test)["error"]}


def arms() -> list[Arm]:
    """AlexNet and the network of Fire modules, as in squeezenet_parts."""
    more = {"retraining": RETRAINING.to_dict(), "tuning": TUNING.to_dict()}
    return [
        alexnet("AlexNet") | more | {"dtype": "float64", "recipe": ALEXNET_RECIPE},
        fire("fire") | more | {"dtype": "float32"},
    ]


if __name__ == "__main__":
    main("deep_compression", arms(), run, ABOUT)
