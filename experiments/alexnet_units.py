"""Which unit learns fastest: the runs behind Figure 1 of AlexNet and the vanishing gradient.

    python -m experiments.alexnet_units [--processes 2] [--output FILE] [--arms NAME ...]

Networks of four layers with weights learn Fashion-MNIST with ReLU and with tanh at four constant
learning rates; networks of eight layers with ReLU, tanh and the logistic function. Nothing
regularises them, as in Figure 1 of the paper. All is in float64 with one thread, so that the
chapter can repeat a run and find the same digits. Some 6 minutes of one core.
"""

import time

import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.data import ImageSet, load
from cnnlib.inspection import count_parameters
from cnnlib.train import SGD, Constant, Recipe, evaluate, fit, seed_everything
from experiments.common import Arm, main

UNITS = {"ReLU": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid}
RATES = (0.003, 0.01, 0.03, 0.1)
PLAIN = {
    "warmup": 0.0,
    "schedule": Constant(),
    "optimizer": SGD(nesterov=False),
    "weight_decay": 0.0,
}

ABOUT = {
    "protocol": (
        "fashion_6k, pooled to 14 x 14 pixels and normalised: 4,000 training and 2,000 test "
        "images; float64 (weights drawn in it too), one thread, CPU; constant learning rate, "
        "momentum 0.9, no weight decay, no augmentation. A run is: "
        "torch.set_default_dtype(torch.float64); seed_everything(seed); model = stack(**options); "
        "fit(model, train, recipe=recipe, seed=seed)"
    ),
    "network": (
        "layers - 1 convolutions of 3 x 3 with as many maps as width says, each followed by the "
        "unit, the first two also by a max pooling of 2 x 2; then a fully connected layer. "
        "Weights after He et al. (2015) for ReLU, after Glorot and Bengio (2010) for the others, "
        "biases 0"
    ),
    "curve": "error on the training images in each epoch, while it goes on",
    "train_error": "that of the last epoch",
    "test_error": "fraction of the test images answered wrongly at the end",
    "gradient": "norm of the loss's gradient at the first layer's weights before training, over "
    "the first 500 training images",
    "seconds": "CPU seconds of the training",
}


def images(split: str) -> ImageSet:
    """Clothes at half size, normalised as the training images are."""
    train = load("fashion_6k", "train").pooled(2).to(dtype=torch.float64).normalized()
    if split == "train":
        return train
    return load("fashion_6k", split).pooled(2).to(dtype=torch.float64).normalized(
        train.mean, train.std
    )  # fmt: skip


def stack(unit: str, layers: int, width: int) -> nn.Sequential:
    """A plain network of so many layers with weights: images (N, 1, 14, 14) -> scores (N, 10)."""
    parts: list[nn.Module] = []
    for number in range(layers - 1):
        parts += [nn.Conv2d(width if number else 1, width, 3, padding=1), UNITS[unit]()]
        if number < 2:
            parts += [nn.MaxPool2d(2)]
    model = nn.Sequential(*parts, nn.Flatten(), nn.Linear(width * 3 * 3, 10))
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if unit == "ReLU":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_normal_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return model


def arms() -> list[Arm]:
    """Four layers at four learning rates, then eight layers."""
    settings = [(unit, 4, lr, 10) for unit in ("ReLU", "tanh") for lr in RATES]
    settings += [("ReLU", 8, 0.01, 6), ("tanh", 8, 0.01, 6)]
    settings += [("logistic", 8, lr, 6) for lr in RATES[1:]]
    return [
        {
            "name": f"{unit}, {layers} layers, lr {lr}",
            "options": {"unit": unit, "layers": layers, "width": 16},
            "loss": "cross_entropy",
            "recipe": Recipe(epochs=epochs, lr=lr, **PLAIN),
            "parameters": count_parameters(stack(unit, layers, 16)),
        }
        for unit, layers, lr, epochs in settings
    ]


def run(arm: Arm, seed: int) -> dict:
    """One training."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # float32 draws of weights differ between CPU types
    train = images("train")
    seed_everything(seed)
    model = stack(**arm["options"])
    first = train.select(range(500))
    F.cross_entropy(model(first.images), first.labels).backward()
    found = next(model.parameters()).grad
    assert found is not None
    gradient = found.norm().item()
    model.zero_grad()
    start = time.process_time()
    history = fit(model, train, recipe=arm["recipe"], seed=seed, device="cpu", progress=False)
    seconds = time.process_time() - start
    return {
        "gradient": gradient,
        "curve": [row["train_error"] for row in history.rows],
        "train_error": history.final["train_error"],
        "test_error": evaluate(model, images("test"))["error"],
        "seconds": round(seconds, 2),
    }


if __name__ == "__main__":
    main("alexnet_units", arms(), run, ABOUT)
