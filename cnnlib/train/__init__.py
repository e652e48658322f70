"""Training: one loop, one recipe for all networks, and what a training leaves behind."""

from .history import History, Repeats
from .loop import evaluate, fit, fit_seeds, seed_everything
from .recipe import RECIPE, Recipe, parameter_groups

__all__ = [
    "RECIPE",
    "History",
    "Recipe",
    "Repeats",
    "evaluate",
    "fit",
    "fit_seeds",
    "parameter_groups",
    "seed_everything",
]
