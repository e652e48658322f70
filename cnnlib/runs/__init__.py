"""Trainings from the command line: from a few words to a folder with everything in it, and back.

* `train` trains a network on named data and keeps it all in a folder, which `folder` describes.
* `resume` goes on with a training that was interrupted.
* `load` brings a finished one back, and `evaluate` measures it.

``python -m cnnlib train`` and ``python -m cnnlib evaluate`` are these functions.
"""

from .images import NoData
from .measuring import evaluate
from .settings import Settings
from .training import Failed, Interrupted, Run, load, resume, train

__all__ = [
    "Failed",
    "Interrupted",
    "NoData",
    "Run",
    "Settings",
    "evaluate",
    "load",
    "resume",
    "train",
]
