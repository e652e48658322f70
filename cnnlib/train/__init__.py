"""Training: one loop, one recipe for all networks, and what a training leaves behind."""

from .history import History, Repeats
from .loop import fit, fit_seeds, seed_everything
from .measure import evaluate
from .optimizers import SGD, Adam, AdamW, RMSprop, TensorFlowRMSprop
from .recipe import RECIPE, Recipe, parameter_groups
from .recipes import RECIPES, PaperRecipe, fast_recipe, paper_recipe, recipe_table
from .schedules import Constant, Cosine, Decay, Linear, Plateau, Steps

__all__ = [
    "RECIPE",
    "RECIPES",
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Decay",
    "History",
    "Linear",
    "PaperRecipe",
    "Plateau",
    "RMSprop",
    "Recipe",
    "Repeats",
    "Steps",
    "TensorFlowRMSprop",
    "evaluate",
    "fast_recipe",
    "fit",
    "fit_seeds",
    "paper_recipe",
    "parameter_groups",
    "recipe_table",
    "seed_everything",
]
