"""What LeCun et al. (1998) print about LeNet-5 and its rivals."""

from __future__ import annotations

from typing import NamedTuple


class PrintedLayer(NamedTuple):
    """What a paper prints about one layer: trainable parameters and connections."""

    parameters: int
    connections: int


LAYERS = {  # section II-B of the paper; the output layer's connections follow from its total
    "c1": PrintedLayer(156, 122_304),
    "s2": PrintedLayer(12, 5_880),
    "c3": PrintedLayer(1_516, 151_600),
    "s4": PrintedLayer(32, 2_000),
    "c5": PrintedLayer(48_120, 48_120),
    "f6": PrintedLayer(10_164, 10_164),
    "output": PrintedLayer(0, 840),
}


class PrintedResult(NamedTuple):
    """An error that a paper prints, in percent wrong, with what was trained on."""

    network: str
    error: float
    training_images: int
    protocol: str


_MNIST_TEST = "10,000 test digits, no spread given"
RESULTS = [  # sections III-B and III-C, figure 9
    PrintedResult("LeNet-5", 0.95, 60_000, f"20 passes, {_MNIST_TEST}"),
    PrintedResult(
        "LeNet-5, distorted digits added", 0.8, 600_000, f"each seen twice, {_MNIST_TEST}"
    ),
    PrintedResult("fully connected, 300 hidden units", 4.7, 60_000, f"28×28 pixels, {_MNIST_TEST}"),
    PrintedResult("linear classifier", 12.0, 60_000, f"28×28 pixels, {_MNIST_TEST}"),
]
