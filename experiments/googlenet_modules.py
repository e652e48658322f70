"""What do reductions buy? Five small networks, for a section of chapter 5.

    python -m experiments.googlenet_modules [--processes 2] [--output FILE] [--arms NAME ...]

The first two Inception modules of GoogLeNet at an eighth of their width, behind one convolution:
with reductions, in the naive form, and replaced by plain 3 x 3 convolutions that give as many maps.
The last two also thinned down to about the multiply-adds of the first. The first is trained in
float64, so that the chapter can repeat a run and find the same digits; the others in float32, which
takes a fifth of the time. Some 3 minutes of one core.
"""

import time

import torch
from torch import nn

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models.googlenet import TABLE_1, Inception, NaiveInception, convolution
from cnnlib.train import Recipe, evaluate, fit, seed_everything

from .common import Arm, main
from .googlenet_heads import garments

RECIPE = Recipe(epochs=3, lr=0.1, batch_size=50)
FORMS = {  # name, what takes the place of a module, factor of all its widths
    "with reductions": ("reduced", 1.0),
    "naive": ("naive", 1.0),
    "naive, thinned": ("naive", 0.38),
    "plain 3×3": ("plain", 1.0),
    "plain 3×3, thinned": ("plain", 0.45),
}

ABOUT = {
    "protocol": (
        "fashion_6k, the first 200 training and test images of each class, pooled to "
        "14 x 14 pixels, normalised; weights drawn in float64, one thread, CPU; batch "
        "normalisation in all arms. A run is: seed_everything(seed); build(form, scale), brought "
        "to the arm's dtype; fit(..., seed=seed)"
    ),
    "arms.options": "form: what stands for modules 3a and 3b; scale: of their widths, which are an "
    "eighth of those of table 1",
    "arms.dtype": "of weights and images",
    "arms.macs": "multiply-adds for one image of 14 x 14 pixels",
    "arms.runs": "per seed: mean loss and fraction wrong of all training and test images after "
    "training; seconds of CPU",
}


def module(form: str, origin: int, row: str, scale: float) -> tuple[nn.Module, int]:
    """What takes the place of a module of table 1, and how many maps it gives."""
    widths = TABLE_1[row].times(scale / 8)
    if form == "plain":
        maps = widths.n1x1 + widths.n3x3 + widths.n5x5 + widths.pool_proj
        return convolution(origin, maps, 3, batch_norm=True), maps
    kind = {"reduced": Inception, "naive": NaiveInception}[form]
    block = kind(origin, widths, batch_norm=True)
    return block, block.out_channels


def build(form: str, scale: float) -> nn.Sequential:
    """Stem, module 3a, pooling, module 3b, average, classifier: (N, 1, 14, 14) -> (N, 10)."""
    first, maps = module(form, 24, "3a", scale)
    second, last = module(form, maps, "3b", scale)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 10)
    return nn.Sequential(
        convolution(1, 24, 3, batch_norm=True), first, nn.MaxPool2d(2), second, *head
    )


def run(arm: Arm, seed: int) -> dict:
    """One training, measured on all images."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dtype = getattr(torch, arm["dtype"])
    train = garments("train").normalized()
    test = garments("test").normalized(train.mean, train.std).to(dtype=dtype)
    train = train.to(dtype=dtype)
    seed_everything(seed)
    model = build(**arm["options"]).to(dtype)
    start = time.process_time()
    fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    result = {"seconds": round(time.process_time() - start, 1)}
    for name, images in (("train", train), ("test", test)):
        measured = evaluate(model, images)
        result |= {f"{name}_loss": measured["loss"], f"{name}_error": measured["error"]}
    return result


def arms() -> list[Arm]:
    """The five networks."""
    listed = []
    for name, (form, scale) in FORMS.items():
        model = build(form, scale)
        listed.append(
            {
                "name": name,
                "options": {"form": form, "scale": scale},
                "loss": "cross_entropy",
                "recipe": RECIPE,
                "dtype": "float64" if form == "reduced" else "float32",
                "parameters": count_parameters(model),
                "macs": count_macs(model, (1, 14, 14)),
            }
        )
    return listed


if __name__ == "__main__":
    main("googlenet_modules", arms(), run, ABOUT)
