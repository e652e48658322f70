"""What a real network says of the photographs, and what it needs to see for that.

    python -m experiments.photographs

EfficientNet-Lite0 with its ImageNet weights, which come in a package of the extra ``pretrained``,
looks at the six photographs of ``cnnlib.data.photograph``: its ten best guesses, and how probable
one class stays while a grey square covers each place. It writes
``cnnlib/assets/photographs/efficientnet_lite0.json``, which ``cnnlib.book.predictions`` reads, so
that chapters need neither the weights nor the minutes. Some 6 minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cnnlib import datasets, explain, fetch, weights
from cnnlib.data import list_photographs, photograph
from cnnlib.models import create_model

NETWORK = "efficientnet_lite0"
OUTPUT = datasets.ASSETS / "photographs" / f"{NETWORK}.json"

# The class whose probability is followed: of the right ones, that which the network prefers. There
# is no class for a person, so nothing is right for the astronaut; it is the network's first guess.
TARGETS = {
    "chelsea": "tiger cat",
    "coffee": "espresso",
    "camera": "tripod",
    "motorcycle": "moped",
    "rocket": "missile",
    "astronaut": None,
}
PATCHES, STRIDE = (32, 64), 8  # pixels
GREY = 0.0  # 127 of 255, once the image is prepared for this network
LAYER = "stage9"  # the last maps, 7 x 7

ABOUT = {
    "network": f"cnnlib.models.create_model({NETWORK!r}), in float32, evaluation mode, CPU, with "
    "cnnlib.weights.load_pretrained(model, 'lite0')",
    "top": "the ten most probable of the 1,000 classes of ImageNet",
    "target": "the class that is followed below: of the right ones the most probable; of the "
    "astronaut, for whom there is no right one, the first guess",
    "occlusion": "by side of a grey square in pixels: the target's probability in thousandths, and "
    "the most probable class (a number in 'classes'), with the square around the middle of each "
    "of 28 x 28 cells of 8 pixels, row by row; cnnlib.explain.occlusion",
    "grad_cam": "cnnlib.explain.grad_cam of the last 7 x 7 maps for the target, largest value 1",
    "saliency": "cnnlib.explain.saliency for the target: its largest absolute value in each of the "
    "28 x 28 cells and three colours, in thousandths of the largest of all",
}


def prepared(pixels: Tensor, about: weights.Pretrained) -> Tensor:
    """Pixels in [0, 1] as the network wants them."""
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (about.mean, about.std))
    return (pixels - mean) / std


def look(model: torch.nn.Module, about: weights.Pretrained, name: str) -> dict[str, Any]:
    """Everything that is stored of one photograph."""
    image = prepared(photograph(name), about)
    with torch.no_grad():
        [guesses] = about.labels(model(image[None]), 10)
    target = TARGETS[name] or guesses[0][0]
    number = about.classes.index(target)
    occluded, classes = {}, [target]
    for patch in PATCHES:
        shares = explain.occlusion(model, image, patch=patch, stride=STRIDE, fill=GREY)
        winners = [about.classes[i] for i in shares.argmax(2).flatten().tolist()]
        classes += sorted(set(winners) - set(classes))
        occluded[str(patch)] = {
            "probability": thousandths(shares[:, :, number]),
            "winner": [classes.index(winner) for winner in winners],
        }
    cam = explain.grad_cam(model, LAYER, image[None], number)[0]
    slopes = explain.saliency(model, image[None], number)[0].abs().amax(0)
    slopes = torch.nn.functional.max_pool2d(slopes[None], STRIDE)[0]
    return {
        "photograph": name,
        "top": [[guess, round(share, 4)] for guess, share in guesses],
        "target": target,
        "classes": classes,
        "occlusion": occluded,
        "grad_cam": thousandths(cam / cam.max()),
        "saliency": thousandths(slopes / slopes.max()),
    }


def thousandths(values: Tensor) -> list[int]:
    """Numbers in [0, 1] as whole numbers, row by row."""
    return values.mul(1000).round().int().flatten().tolist()


def main() -> None:
    """Look at all photographs and write the file."""
    parser = argparse.ArgumentParser(description="Ask a real network about the photographs.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = create_model(NETWORK)
    about = weights.load_pretrained(model, "lite0")
    model.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    seen = []
    for name in list_photographs():
        seen.append(look(model, about, name))
        print(name, seen[-1]["top"][:3], flush=True)
    record = {
        "about": ABOUT,
        "versions": {package: version(package) for package in ("torch", "cnnlib", "pillow")},
        "network": NETWORK,
        "patches": PATCHES,
        "stride": STRIDE,
        "photographs": seen,
    }
    lines = ",\n  ".join(json.dumps(one, separators=(",", ":")) for one in seen)
    head = json.dumps({k: v for k, v in record.items() if k != "photographs"}, indent=1)
    text = head[:-2] + ',\n "photographs": [\n  ' + lines + "\n]}\n"
    fetch.write(text.encode(), arguments.output)
    print(f"{arguments.output}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
