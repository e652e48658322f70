"""Four times the multiply-adds, or four times the epochs? For a section of chapter 13.

    python -m experiments.efficientnet_longer [--processes 2] [--output FILE] [--arms NAME ...]

A network that takes four times the multiply-adds for an image costs four times as much to train. So
here the smallest network of ``experiments.efficientnet_scaling`` gets four times the epochs, and
nothing else. Some 2 minutes of one core.
"""

from dataclasses import replace

from .common import Arm, main
from .efficientnet_scaling import ABOUT, RECIPE, SCALINGS, arm, run


def arms() -> list[Arm]:
    """The one network."""
    longer = replace(RECIPE, epochs=4 * RECIPE.epochs)
    return [arm("base, four times the epochs", SCALINGS["base"], longer)]


if __name__ == "__main__":
    main("efficientnet_longer", arms(), run, ABOUT)
