"""Looking inside a network: what it reacts to, and where in an image.

Everything here takes a model as it is, runs it in evaluation mode and leaves it as it was: modes,
weights and gradients stay, hooks are taken off again.

* ``occlusion`` covers one place after the other and asks the network again; ``hottest`` finds the
  square in which a map is strongest (``occluding``).
* ``deconvnet`` walks from one unit back to the pixels as Zeiler and Fergus do, ``backproject`` does
  the same by a backward pass with a rule for ReLUs, ``saliency`` asks for the gradient of a class
  (``backwards``).
* ``grad_cam`` weighs the maps of a layer for a class (``cam``).
* ``activations``, ``strongest`` and ``patch`` find what excites a unit most, and where
  (``units``).
* ``pointed_at``, ``drop_when_covered``, ``forgetting`` and ``rank_correlation`` ask how far an
  explanation can be trusted (``trust``).
"""

from cnnlib.explain.asking import Box
from cnnlib.explain.backwards import RULES, backproject, deconvnet, saliency, unpool
from cnnlib.explain.cam import grad_cam
from cnnlib.explain.occluding import hottest, occlusion, squares
from cnnlib.explain.trust import (
    PointedAt,
    drop_when_covered,
    forgetting,
    pointed_at,
    rank_correlation,
)
from cnnlib.explain.units import Strongest, activations, patch, seen_by, strongest

__all__ = [
    "RULES",
    "Box",
    "PointedAt",
    "Strongest",
    "activations",
    "backproject",
    "deconvnet",
    "drop_when_covered",
    "forgetting",
    "grad_cam",
    "hottest",
    "occlusion",
    "patch",
    "pointed_at",
    "rank_correlation",
    "saliency",
    "seen_by",
    "squares",
    "strongest",
    "unpool",
]
