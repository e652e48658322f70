"""How long convolutions and networks take on this processor, beside how much they multiply.

    python -m experiments.mobilenet_speed [--output FILE]

Every kind of convolution of ``cnnlib.inspection.convolutions`` on maps of many sizes, one and eight
images at a time, in both orders of numbers in memory; how fast the processor multiplies matrices
and copies numbers, which bounds them all; and whole networks, with the share of every kind of layer
in the time of MobileNet. One thread, float32. It writes ``cnnlib/assets/convolutions.json``, which
``cnnlib.inspection.convolutions.measurements`` reads: the numbers are those of the processor named
in it, and the book compares none of them with yours. Some 2 minutes of one core; a quiet machine
gives better numbers.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections import defaultdict
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cnnlib import datasets, deploy, fetch
from cnnlib.inspection import convolutions, count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.papers.mobilenet import ALPHAS, RESOLUTIONS
from cnnlib.published import published

OUTPUT = datasets.ASSETS / "convolutions.json"
CHANNELS = (16, 32, 64, 128, 256, 512)
SIZES = (7, 14, 28, 56)
ROUND = 0.004  # seconds of a round of calls
LARGEST = 7168  # channels times size: 512 maps of 14 x 14, the middle of MobileNet
BATCHES = (1, 8)
LAYOUTS = {"NCHW": False, "channels last": True}
WAYS: tuple[tuple[str, int, int | None], ...] = (  # kind, side of the window, groups
    ("full", 3, None),
    ("full", 5, None),
    ("separable", 3, None),
    ("separable", 5, None),
    ("depthwise", 3, None),
    ("depthwise", 5, None),
    ("pointwise", 1, None),
    *(("grouped", 3, groups) for groups in (2, 4, 8, 16)),
)
NETWORKS = (
    *(f"mobilenet_v1_{alpha}_{size}" for alpha, size in product(ALPHAS, RESOLUTIONS)),
    "mobilenet_v1_fullconv",
    "mobilenet_v2_1",
    "mobilenet_v3_large_1",
    "mobilenet_v3_small_1",
)

ABOUT = (
    "Written by experiments/mobilenet_speed.py. One thread, float32, without gradients. Times are "
    "those of the processor, not of the clock: the median of five rounds of calls, each of 4 ms "
    "or more. Convolutions are of C maps into C, with a stride of 1 and no bias; the time is for "
    "one image, of so many at a time. Networks: one image; 'optimized' is cnnlib.deploy.optimize "
    "with the backend 'eager'. 'parts' are the layers of mobilenet_v1_1_224 run one by one. A roof "
    "is measured like a layer: a product of two matrices of 1024 x 1024, and copies of so many "
    "megabytes (read once and written once, so twice the bytes are moved)."
)


def processor() -> str:
    """The processor as the kernel names it, and what torch makes of it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def median(found: list[float]) -> float:
    """The middle one of numbers in order."""
    return found[len(found) // 2]


def tables() -> list[dict[str, Any]]:
    """Microseconds per image of every kind, at all sizes (rows) and numbers of maps (columns)."""
    made = []
    for batch, (layout, last), (kind, kernel, groups) in product(BATCHES, LAYOUTS.items(), WAYS):
        rows: list[list[float | None]] = []
        for size in SIZES:
            row: list[float | None] = []
            for channels in CHANNELS:
                if channels * size > LARGEST:
                    row.append(None)
                    continue
                options = {} if groups is None else {"groups": groups}
                layers = convolutions.make(kind, channels, channels, kernel, **options)
                found = convolutions.seconds_of(
                    layers, channels, size, batch=batch, channels_last=last, least=ROUND
                )
                row.append(round(1e6 * found, 1))
            rows.append(row)
        made.append(
            {
                "kind": kind,
                "kernel": kernel,
                "groups": groups,
                "layout": layout,
                "batch": batch,
                "microseconds": rows,
            }
        )
        print(f"{kind} {kernel} {groups or ''} {layout}, {batch} at a time: {rows[1]}", flush=True)
    return made


def roofs() -> dict[str, Any]:
    """How fast the processor multiplies, and how fast it moves numbers."""
    side = 1024
    a, b = torch.randn(2, side, side)
    product_time = median(convolutions.seconds(lambda: a @ b, least=0.05))
    copies = []
    for megabytes in (1, 64):  # fits into the second level of a usual cache; does not
        source = torch.randn(megabytes * 2**20 // convolutions.BYTES)
        target = torch.empty_like(source)
        copy_time = median(convolutions.seconds(lambda s=source, t=target: t.copy_(s), least=0.05))
        moved = 2 * megabytes * 2**20
        copies.append({"megabytes": megabytes, "gigabytes": round(moved / copy_time / 1e9, 1)})
    return {"gmacs": round(side**3 / product_time / 1e9, 1), "copies": copies}


def networks() -> list[dict[str, Any]]:
    """Milliseconds of whole networks for one image, as they are and prepared for use."""
    made = []
    for name in NETWORKS:
        model = create_model(name).eval()
        _, size, _ = published(name).input
        images = torch.randn(1, 3, size, size)
        quick = deploy.optimize(model, images, backend="eager")
        ways = {"plain": model, "optimized": quick}
        found = {
            way: round(
                1e3 * median(convolutions.seconds(lambda n=net, x=images: n(x), least=0.03)), 2
            )
            for way, net in ways.items()
        }
        macs = count_macs(model, (3, size, size))
        made.append(
            {"name": name, "size": size, "macs": macs, "parameters": count_parameters(model)}
            | {"milliseconds": found}
        )
        print(made[-1], flush=True)
    return made


def part_of(name: str, layer: nn.Module) -> str:
    """What kind of layer of MobileNet this is."""
    if isinstance(layer, nn.Conv2d):
        if layer.groups > 1:
            return "depthwise"
        return "pointwise" if layer.kernel_size == (1, 1) else "first convolution"
    if isinstance(layer, nn.Linear):
        return "fully connected"
    return "batch norm" if isinstance(layer, nn.BatchNorm2d) else "ReLU, pooling"


def parts() -> list[dict[str, Any]]:
    """Milliseconds, multiply-adds and parameters of MobileNet's layers, by kind."""
    model = create_model("mobilenet_v1_1_224").eval()
    inputs: dict[str, Tensor] = {}
    layers = {n: m for n, m in model.named_modules() if not list(m.children())}
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, given, name=name: inputs.__setitem__(name, given[0].clone())
        )
        for name, layer in layers.items()
    ]
    with torch.inference_mode():
        model(torch.randn(1, 3, 224, 224))
    for hook in hooks:
        hook.remove()
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for name, layer in layers.items():
        part = sums[part_of(name, layer)]
        given = inputs[name]
        part["milliseconds"] += 1e3 * median(
            convolutions.seconds(lambda m=layer, x=given: m(x), least=ROUND)
        )
        part["macs"] += count_macs(layer, tuple(given.shape[1:]))
        part["parameters"] += count_parameters(layer)
    return [
        {
            "part": name,
            "milliseconds": round(part["milliseconds"], 3),
            "macs": int(part["macs"]),
            "parameters": int(part["parameters"]),
        }
        for name, part in sums.items()
    ]


def readable(record: dict[str, Any]) -> str:
    """JSON with a line for every table and network."""
    head = {key: value for key, value in record.items() if not isinstance(value, list)}
    text = json.dumps(head, indent=1)[:-2]
    for key, value in record.items():
        if isinstance(value, list):
            rows = [json.dumps(row) for row in value]
            nested = isinstance(value[0], dict)
            inner = "\n  " + ",\n  ".join(rows) + "\n " if nested else ", ".join(rows)
            text += f',\n "{key}": [{inner}]'
    return text + "\n}\n"


def main() -> None:
    """Measures everything and writes the file."""
    parser = argparse.ArgumentParser(description="Measure convolutions on this processor.")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    torch.set_num_threads(1)
    torch.manual_seed(0)
    record = {
        "about": ABOUT,
        "device": f"{processor()}, one thread",
        "versions": {"torch": version("torch"), "python": platform.python_version()},
        "roofs": roofs(),
        "channels": list(CHANNELS),
        "sizes": list(SIZES),
        "parts": parts(),
        "networks": networks(),
        "tables": tables(),
    }
    fetch.write(readable(record).encode(), output)
    print(f"{record['roofs']}\nwritten to {output}")


if __name__ == "__main__":
    main()
