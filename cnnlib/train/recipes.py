"""How the papers trained their networks, as recipes, and where every number is from.

`RECIPES` has one recipe for each paper, and one more where a paper trains differently on another
data set. Papers leave things out; what they do not say comes from their authors' code, else from
the paper whose method they say they follow, else it is our choice. ``sources`` says which for every
number, and ``departures`` what our training does otherwise. "Section" and "Table" without a name
are of the paper itself.

Two departures are common to all. Where a paper's momentum has the learning rate inside (Caffe), a
drop of the rate takes effect little by little; torch's has it outside, and the drop is immediate.
And nobody's random numbers are repeated: order, crops and initial weights are drawn anew.

Iterations in papers are turned into epochs by computation from the batch size and the number of
training images; our last batch of an epoch may be smaller, and an epoch is never left unfinished.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .. import published
from ..augment import Augmentation, Crops
from ..papers import paper
from .optimizers import SGD, RMSprop
from .recipe import Recipe
from .schedules import Constant, Cosine, Decay, Linear, Plateau, Steps

TRAINING_IMAGES = {"imagenet": 1_281_167, "cifar10": 50_000, "mnist": 60_000}


@dataclass(frozen=True)
class PaperRecipe:
    """A paper's training.

    Attributes:
        paper: key in ``cnnlib.papers.PAPERS``.
        data: what is trained on: "imagenet", "cifar10" or "mnist".
        image_size: height and width of what the network sees, in pixels.
        recipe: as near to the paper as `Recipe` comes.
        sources: where each number is from, by the name of the recipe's field; "dropout" and other
            things that belong to the network are named besides.
        departures: what is otherwise than in the paper, a sentence each.
    """

    paper: str
    data: str
    image_size: int
    recipe: Recipe
    sources: Mapping[str, str]
    departures: tuple[str, ...]


def epochs_of(iterations: float, batch_size: int, data: str) -> float:
    """How many of our epochs so many steps of a paper are.

    Args:
        iterations: steps of the optimiser.
        batch_size: images per step.
        data: key in `TRAINING_IMAGES`.

    >>> round(epochs_of(64_000, 128, "cifar10"), 2)
    163.68
    """
    return iterations / math.ceil(TRAINING_IMAGES[data] / batch_size)


def _sources(**texts: str) -> dict[str, str]:
    """``lr__batch_size="Section 5"`` is the source of both."""
    return {name: text for names, text in texts.items() for name in names.split("__")}


# Most of the early papers say that somebody watched the validation error and divided the learning
# rate by 10 when it no longer fell. How long they waited they do not say.
_BY_HAND = Plateau(factor=0.1, patience=5, times=3, measure="test_error")
_BY_HAND_SOURCE = "rule: {}; the patience of 5 epochs is our choice, for it was done by hand"
_PEEKING = (
    "The learning rate drops by the error on the set that is measured after each epoch; in the "
    "paper that is the validation set of ImageNet, on which its errors are measured too."
)
_CAFFE_DECAY = "not said; biases do not decay in Caffe's own AlexNet and GoogLeNet (decay_mult: 0)"
_ALL_DECAY = (
    "not said; all parameters decay in fb.resnet.torch, on which the authors' code is built"
)
_NO_PLACES = "the classical form, as in Caffe; the paper names no other"

_ONE_SCALE = Crops(224, resize=256, flip=True, colour="pca")
_AREA = Crops(224, area=(0.08, 1.0), ratio=(3 / 4, 4 / 3), flip=True)
_SHIFT_AND_FLIP = Augmentation(shift=4, flip=True)
_MOMENTUM = SGD(momentum=0.9, nesterov=False)

_RESNET_CIFAR = PaperRecipe(
    paper="resnet",
    data="cifar10",
    image_size=32,
    recipe=Recipe(
        epochs=math.ceil(epochs_of(64_000, 128, "cifar10")),
        lr=0.1,
        batch_size=128,
        optimizer=_MOMENTUM,
        weight_decay=1e-4,
        decay_all=True,
        warmup=0.0,
        schedule=Steps(
            at=(epochs_of(32_000, 128, "cifar10"), epochs_of(48_000, 128, "cifar10")), factor=0.1
        ),
        augment=_SHIFT_AND_FLIP,
    ),
    sources=_sources(
        epochs__lr__batch_size__weight_decay__schedule__augment="Section 4.2: 128 images per step, "
        "0.1 divided by 10 at 32k and 48k steps, end at 64k",
        optimizer="Section 4.2, momentum 0.9; " + _NO_PLACES,
        decay_all=_ALL_DECAY.replace(", on which the authors' code is built", ""),
        dropout="Section 4.2: none",
    ),
    departures=(
        "The epoch in which step 64,000 falls is finished, at the last learning rate.",
        "The paper chose the schedule on 45,000 images and does not say whether the errors that it "
        "prints come from these or all 50,000; the recipe counts on all.",
        "The paper subtracts the mean of every pixel; our images are normalised per channel.",
    ),
)


def _with_warmup(recipe: Recipe, iterations: int, data: str) -> Recipe:
    """The recipe with a linear rise in its first steps."""
    return replace(recipe, warmup=epochs_of(iterations, recipe.batch_size, data) / recipe.epochs)


_WARMUP_DEPARTURE = (
    "The warm-up rises linearly over 400 steps to 0.1; the paper trains them at a constant 0.01."
)

RECIPES: dict[str, PaperRecipe] = {
    "lenet": PaperRecipe(
        paper="lenet",
        data="mnist",
        image_size=32,
        recipe=Recipe(
            epochs=20,
            lr=1e-3,
            batch_size=1,
            optimizer=SGD(momentum=0.0, nesterov=False),
            weight_decay=0.0,
            warmup=0.0,
            # 5e-4, 2e-4, 1e-4, 5e-5 and 1e-5, as factors from one to the next
            schedule=Steps(at=(2.0, 5.0, 8.0, 12.0), factor=(2 / 5, 1 / 2, 1 / 2, 1 / 5)),
        ),
        sources=_sources(
            epochs="Section III-B: 20 passes",
            schedule="Section III-B: 0.0005 for two passes, 0.0002 for three, 0.0001 for three, "
            "0.00005 for four, then 0.00001",
            lr="our choice for plain gradient descent, from a pass over 4,000 digits: 1e-4 is too "
            "slow, 3e-3 worse than 1e-3",
            batch_size="Section III-B and appendix C: one digit at a time",
            optimizer="appendix C, without its second derivatives; no momentum",
            weight_decay__decay_all="none is mentioned",
        ),
        departures=(
            "The paper's stochastic diagonal Levenberg-Marquardt method gives every weight a "
            "learning rate of its own, the global one divided by 0.02 plus an estimate of the "
            "second derivative; ours is plain gradient descent. What the paper prints as global "
            "rate has thus no counterpart: only the proportions of its schedule are kept.",
            "Our digits are the 60,000 of MNIST without distortions (the 0.95 % of the paper).",
        ),
    ),
    "alexnet": PaperRecipe(
        paper="alexnet",
        data="imagenet",
        image_size=227,
        recipe=Recipe(
            epochs=90,
            lr=0.01,
            batch_size=128,
            optimizer=_MOMENTUM,
            weight_decay=5e-4,
            decay_all=False,
            warmup=0.0,
            schedule=_BY_HAND,
            crops=replace(_ONE_SCALE, size=227),
        ),
        sources=_sources(
            epochs__lr__batch_size__weight_decay="Section 5; roughly 90 passes",
            optimizer="Section 5, momentum 0.9; " + _NO_PLACES,
            schedule=_BY_HAND_SOURCE.format("Section 5, by 10, three times"),
            decay_all="Section 5 writes the rule for w; " + _CAFFE_DECAY,
            crops="Section 4.1: squares of 224 from 256, mirrored, colours shifted along their "
            "principal axes; 227 is the size at which the layers fit",
            dropout="Section 4.2: 0.5 in two fully connected layers",
        ),
        departures=(
            _PEEKING,
            "The paper cuts a square of 256 from the middle before it cuts at random.",
            "The paper splits the network over two GPUs; here the groups alone remain.",
        ),
    ),
    "zfnet": PaperRecipe(
        paper="zfnet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=70,
            lr=0.01,
            batch_size=128,
            optimizer=_MOMENTUM,
            weight_decay=5e-4,
            decay_all=False,
            warmup=0.0,
            schedule=_BY_HAND,
            crops=replace(_ONE_SCALE, colour=None),
        ),
        sources=_sources(
            epochs__lr__batch_size="Section 3, training details: 70 passes, 0.01, 128 images",
            optimizer="Section 3, momentum 0.9; " + _NO_PLACES,
            schedule=_BY_HAND_SOURCE.format(
                "Section 3, lowered by hand; by 10 and three times as in AlexNet"
            ),
            weight_decay="not said; that of AlexNet (Krizhevsky et al. 2012, section 5), whose "
            "implementation the authors used",
            decay_all=_CAFFE_DECAY,
            crops="Section 3: squares of 224 from 256, mirrored",
            dropout="Section 3: 0.5 in fc6 and fc7",
        ),
        departures=(
            _PEEKING,
            "The paper cuts ten fixed squares (corners, middle, mirrored); ours lie anywhere.",
            "The paper scales filters whose root mean square exceeds 0.1 back to it; we do not.",
            "The paper subtracts the mean of every pixel; our images are normalised per channel.",
        ),
    ),
    "vgg": PaperRecipe(
        paper="vgg",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=math.ceil(epochs_of(370_000, 256, "imagenet")),
            lr=0.01,
            batch_size=256,
            optimizer=_MOMENTUM,
            weight_decay=5e-4,
            decay_all=False,
            warmup=0.0,
            schedule=_BY_HAND,
            crops=_ONE_SCALE,
        ),
        sources=_sources(
            epochs="Section 3.1: 370K steps, which it also gives as 74 epochs",
            lr__batch_size__weight_decay="Section 3.1",
            optimizer="Section 3.1, momentum 0.9; " + _NO_PLACES,
            schedule=_BY_HAND_SOURCE.format("Section 3.1, by 10, three times"),
            decay_all=_CAFFE_DECAY,
            crops="Section 3.1: one scale, S = 256, mirrored, colours shifted as in AlexNet",
            dropout="Section 3.1: 0.5 in fc6 and fc7",
        ),
        departures=(
            _PEEKING,
            "The paper starts its deeper networks from the first and last layers of trained "
            "configuration A; ours start from random weights, as its authors later found possible "
            "(note in section 3.1).",
            "The scales 384 and 256 to 512 of the paper are crops=Crops(224, resize=384) and "
            "resize=(256, 512).",
        ),
    ),
    "googlenet": PaperRecipe(
        paper="googlenet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=round(epochs_of(10_000_000, 32, "imagenet")),
            lr=0.01,
            batch_size=32,
            optimizer=_MOMENTUM,
            weight_decay=2e-4,
            decay_all=False,
            warmup=0.0,
            schedule=Decay(factor=0.96, every=8.0),
            crops=replace(_AREA, colour="jitter"),
            ema=0.9999,
        ),
        sources=_sources(
            schedule="Section 6: 4 % less every 8 epochs",
            optimizer="Section 6, momentum 0.9; " + _NO_PLACES,
            crops="Section 6: 8 % to 100 % of the area, width over height from 3/4 to 4/3, "
            "photometric distortions after Howard (2013)",
            ema="Section 6: Polyak averaging; 0.9999 is our choice, from the authors' later code "
            "(TF-slim)",
            epochs__lr__batch_size__weight_decay="not said; Caffe's replication, made with the "
            "first author's help (models/bvlc_googlenet/solver.prototxt: 10,000,000 steps of 32)",
            decay_all=_CAFFE_DECAY,
            dropout="Section 5: 0.4 before the classifier, 0.7 in the auxiliary heads",
        ),
        departures=(
            "The paper trains with DistBelief: many machines that do not wait for each other.",
            "Howard's distortions are contrast, brightness and colour; ours are torchvision's, "
            "with the ranges of fb.resnet.torch.",
            "Polyak's average weighs all steps alike; ours forgets the old ones.",
            "The paper combines seven networks that saw other orders of images; this is one.",
        ),
    ),
    "resnet": PaperRecipe(
        paper="resnet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=math.ceil(epochs_of(600_000, 256, "imagenet")),
            lr=0.1,
            batch_size=256,
            optimizer=_MOMENTUM,
            weight_decay=1e-4,
            decay_all=True,
            warmup=0.0,
            schedule=_BY_HAND,
            crops=Crops(224, resize=(256, 480), flip=True, colour="pca"),
        ),
        sources=_sources(
            epochs="Section 3.4: up to 600,000 steps",
            lr__batch_size__weight_decay="Section 3.4",
            optimizer="Section 3.4, momentum 0.9; " + _NO_PLACES,
            schedule=_BY_HAND_SOURCE.format(
                "Section 3.4, by 10 when the error plateaus; three times is our choice"
            ),
            decay_all=_ALL_DECAY.replace(", on which the authors' code is built", ""),
            crops="Section 3.4: shorter side from 256 to 480, mirrored, colours as in AlexNet",
            dropout="Section 3.4: none",
        ),
        departures=(
            _PEEKING,
            "The paper subtracts the mean of every pixel; our images are normalised per channel.",
        ),
    ),
    "resnet_cifar": _RESNET_CIFAR,
    "resnet_cifar_deep": replace(
        _RESNET_CIFAR,
        recipe=_with_warmup(_RESNET_CIFAR.recipe, 400, "cifar10"),
        sources={
            **_RESNET_CIFAR.sources,
            "warmup": "Section 4.2: 110 layers need a smaller rate at first, until the training "
            "error is below 80 %, about 400 steps",
        },
        departures=(
            *_RESNET_CIFAR.departures,
            _WARMUP_DEPARTURE + " It ends after the 400 steps that the paper took for it, not at a "
            "training error of 80 %.",
        ),
    ),
    "preact_resnet": PaperRecipe(
        paper="preact_resnet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=90,
            lr=0.1,
            batch_size=256,
            optimizer=_MOMENTUM,
            weight_decay=1e-4,
            decay_all=True,
            warmup=0.0,
            schedule=Steps(at=(30.0, 60.0), factor=0.1),
            crops=Crops(224, resize=(256, 480), flip=True, colour="pca"),
        ),
        sources=_sources(
            lr__batch_size__weight_decay__schedule="appendix: divided by 10 at 30 and 60 epochs, "
            "no warm-up",
            epochs="not said; 30 more after the last drop, as fb.resnet.torch has it",
            optimizer="appendix, momentum 0.9; " + _NO_PLACES,
            decay_all=_ALL_DECAY.replace(", on which the authors' code is built", ""),
            crops="appendix: as in He et al. (2016), section 3.4",
        ),
        departures=(
            "The paper's best figure is of a network trained with squares of 8 % to 100 % of the "
            "area (Table 5); this is the training of the others.",
        ),
    ),
    "preact_resnet_cifar": PaperRecipe(
        paper="preact_resnet",
        data="cifar10",
        image_size=32,
        recipe=_with_warmup(_RESNET_CIFAR.recipe, 400, "cifar10"),
        sources={
            **{
                name: "appendix, as He et al. (2016): " + text
                for name, text in _RESNET_CIFAR.sources.items()
            },
            "warmup": "appendix: 400 steps at a smaller rate in all experiments on CIFAR",
        },
        departures=(*_RESNET_CIFAR.departures, _WARMUP_DEPARTURE),
    ),
    "densenet": PaperRecipe(
        paper="densenet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=90,
            lr=0.1,
            batch_size=256,
            optimizer=SGD(momentum=0.9, nesterov=True),
            weight_decay=1e-4,
            decay_all=True,
            warmup=0.0,
            schedule=Steps(at=(30.0, 60.0), factor=0.1),
            crops=replace(_AREA, colour="jitter"),
        ),
        sources=_sources(
            epochs__lr__batch_size__weight_decay__schedule="Section 4.2",
            optimizer="Section 4.2: Nesterov momentum of 0.9 without dampening",
            decay_all=_ALL_DECAY,
            crops="Section 4.1: as in fb.resnet.torch",
            dropout="Section 4.2: none, but for CIFAR without augmentation",
        ),
        departures=(
            "fb.resnet.torch changes colours by jitter and then along principal axes; ours "
            "by jitter alone.",
        ),
    ),
    "densenet_cifar": PaperRecipe(
        paper="densenet",
        data="cifar10",
        image_size=32,
        recipe=Recipe(
            epochs=300,
            lr=0.1,
            batch_size=64,
            optimizer=SGD(momentum=0.9, nesterov=True),
            weight_decay=1e-4,
            decay_all=True,
            warmup=0.0,
            schedule=Steps(at=(300 * 0.5, 300 * 0.75), factor=0.1),
            augment=_SHIFT_AND_FLIP,
        ),
        sources=_sources(
            epochs__lr__batch_size__weight_decay="Section 4.2",
            schedule="Section 4.2: by 10 at 50 % and 75 % of the epochs",
            optimizer="Section 4.2: Nesterov momentum of 0.9 without dampening",
            decay_all=_ALL_DECAY,
            augment='Section 4.1, "C10+": shifted by up to 4 pixels and mirrored',
            dropout="Section 4.2: 0.2 after each convolution but the first, only without "
            "augmentation; here none",
        ),
        departures=(
            "The authors' code lowers the rate one epoch earlier than it says, at the beginning of "
            "epochs 150 and 225 counted from 1; ours after 150 and 225 epochs.",
        ),
    ),
    "resnext": PaperRecipe(
        paper="resnext",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=100,
            lr=0.1,
            batch_size=256,
            optimizer=SGD(momentum=0.9, nesterov=True),
            weight_decay=1e-4,
            decay_all=True,
            warmup=0.0,
            schedule=Steps(at=(30.0, 60.0, 90.0), factor=0.1),
            crops=replace(_AREA, colour="jitter"),
        ),
        sources=_sources(
            lr__batch_size__weight_decay="Section 4",
            schedule="Section 4: by 10, three times, at the epochs of fb.resnet.torch; the "
            "authors' train.lua: every 30",
            epochs="the authors' code (facebookresearch/ResNeXt, opts.lua)",
            optimizer="Section 4, momentum 0.9; Nesterov's in the authors' train.lua",
            decay_all=_ALL_DECAY,
            crops="Section 4: as in fb.resnet.torch",
        ),
        departures=(
            "fb.resnet.torch changes colours by jitter and then along principal axes; ours "
            "by jitter alone.",
        ),
    ),
    "senet": PaperRecipe(
        paper="senet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=100,
            lr=0.6,
            batch_size=1024,
            optimizer=_MOMENTUM,
            weight_decay=1e-4,
            decay_all=False,
            warmup=0.0,
            schedule=Steps(at=(30.0, 60.0, 90.0), factor=0.1),
            crops=_AREA,
        ),
        sources=_sources(
            epochs__lr__batch_size__schedule="section on ImageNet: 0.6 divided by 10 every 30 "
            "epochs, 100 epochs, 1,024 images (the last and 0.6 also in the authors' repository)",
            optimizer="section on ImageNet, momentum 0.9; " + _NO_PLACES,
            weight_decay="not said; that of ResNet (He et al. 2016, section 3.4)",
            decay_all="not said; the authors' repository, issue 8: none on the shifts of "
            "normalisation",
            crops="section on ImageNet: area and aspect ratio as in GoogLeNet, mirrored; the "
            "ranges in the authors' repository",
        ),
        departures=(
            "The authors' repository also turns by up to 10 degrees and changes pixel values by up "
            "to 20; we do not.",
            "The weights of their repository were trained longer, with 256 images per step.",
            "The factors of normalisation decay with the authors; ours do not.",
        ),
    ),
    "squeezenet": PaperRecipe(
        paper="squeezenet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=math.ceil(epochs_of(170_000, 512, "imagenet")),
            lr=0.04,
            batch_size=512,
            optimizer=_MOMENTUM,
            weight_decay=2e-4,
            decay_all=True,
            warmup=0.0,
            schedule=Linear(),
            crops=replace(_ONE_SCALE, flip=False, colour=None),
        ),
        sources=_sources(
            lr__schedule="Section 3.3: from 0.04 down in a straight line",
            epochs__batch_size__weight_decay="the authors' SqueezeNet_v1.0/solver.prototxt, to "
            "which section 3.3 refers: 170,000 steps of 16 x 32 images",
            optimizer="the authors' solver.prototxt, momentum 0.9; " + _NO_PLACES,
            decay_all="the authors' train_val.prototxt sets no decay_mult, so biases decay too",
            crops="the authors' train_val.prototxt: squares from 256, not mirrored",
            dropout="Section 3.3: 0.5 after fire9",
        ),
        departures=(
            "The authors cut squares of 227 pixels; the input of Table 1 is 224.",
            "Older versions of solver.prototxt have 0.08, a square root and 1,024 images.",
        ),
    ),
    "mobilenet": PaperRecipe(
        paper="mobilenet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=100,
            lr=0.045,
            batch_size=32,
            optimizer=RMSprop(decay=0.9, momentum=0.9, epsilon=1.0, initial=1.0),
            weight_decay=4e-5,
            decay_all=False,
            warmup=0.0,
            schedule=Decay(factor=0.94, every=2.0),
            crops=replace(_AREA, area=(0.25, 1.0)),
            clip=2.0,
            ema=0.9999,
        ),
        sources=_sources(
            optimizer='Section 3.2: RMSprop, "similar to Inception V3"; decay 0.9 and epsilon 1 in '
            "that paper (Szegedy et al. 2016, section 8), momentum 0.9 in TF-slim's "
            "train_image_classifier.py",
            epochs__lr__batch_size__schedule__clip="not said; Inception V3 (Szegedy et al. 2016, "
            "section 8)",
            ema="not said; Inception V3 is evaluated with averaged weights (section 8), 0.9999 is "
            "our choice, from TF-slim",
            weight_decay="not said; the authors' mobilenet_v1.py (mobilenet_v1_arg_scope)",
            decay_all="the authors' mobilenet_v1.py: weights of convolutions alone",
            crops="Section 3.2: like Inception, without its small squares; that 25 % of the area "
            "is the smallest is our choice",
        ),
        departures=(
            "The paper trains asynchronously on 50 machines, each with 32 images (Inception V3); "
            "ours is one sequence of such steps.",
            "The paper puts little or no weight decay on depthwise filters, the authors' code "
            "none; ours treats all filters alike.",
            "Inception V3's distortions of colour are left out: the paper says it distorts less.",
        ),
    ),
    "mobilenet_v2": PaperRecipe(
        paper="mobilenet_v2",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=math.ceil(epochs_of(5_500_000, 96, "imagenet")),
            lr=0.045,
            batch_size=96,
            optimizer=RMSprop(decay=0.9, momentum=0.9, epsilon=1.0, initial=1.0),
            weight_decay=4e-5,
            decay_all=False,
            warmup=0.0,
            schedule=Decay(factor=0.98, every=1.0),
            crops=replace(_AREA, area=(0.05, 1.0), ratio=(0.75, 1.33), colour="jitter"),
            label_smoothing=0.1,
            ema=0.9999,
        ),
        sources=_sources(
            lr__batch_size__weight_decay="Section 6.1",
            schedule="Section 6.1: 0.98 per epoch",
            optimizer="Section 6.1: decay and momentum 0.9; epsilon in TF-slim's "
            "train_image_classifier.py (opt_epsilon)",
            epochs="not said; the authors' README: 5.5 million steps on one GPU",
            label_smoothing__ema="the authors' README (research/slim/nets/mobilenet)",
            crops="the authors' README: TF-slim's inception_preprocessing.py, area 5 % to 100 %",
            decay_all="TF-slim regularises weights alone",
            dropout="the authors' code: 0.2 before the classifier",
        ),
        departures=(
            "The paper trains on 16 GPUs that do not wait for each other; ours is one sequence of "
            "steps.",
            "The authors' README lowers the rate every 2.5 epochs where the paper says every one.",
            "Inception's distortions of colour have other ranges than ours.",
        ),
    ),
    "mobilenet_v3": PaperRecipe(
        paper="mobilenet_v3",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=600,
            lr=0.1,
            batch_size=4096,
            optimizer=RMSprop(decay=0.9, momentum=0.9, epsilon=1e-3, initial=1.0),
            weight_decay=1e-5,
            decay_all=False,
            warmup=0.0,
            schedule=Decay(factor=1 - 0.01, every=3.0),
            crops=replace(_AREA, area=(0.05, 1.0), ratio=(0.75, 1.33), colour="jitter"),
            ema=0.9999,
        ),
        sources=_sources(
            lr__batch_size__weight_decay__ema="Section 6.1.1",
            schedule='Section 6.1.1: "decay rate of 0.01 every 3 epochs", read as 1 % less',
            optimizer="Section 6.1.1: TensorFlow's RMSprop, momentum 0.9; decay 0.9 and epsilon "
            "0.001 are those of the authors' later code on the same machines (EfficientNet, "
            "utils.py)",
            epochs="not said; our choice, that of torchvision's training",
            crops="Section 6.1.1: as Inception; TF-slim's inception_preprocessing.py",
            decay_all="TF-slim regularises weights alone",
            dropout='Section 6.1.1: "dropout of 0.8", which is the share kept',
        ),
        departures=(
            "Inception's distortions of colour have other ranges than ours.",
            "The paper's batches are spread over 32 chips, and batch normalisation sees 128 images "
            "of them; ours sees all that a process has.",
        ),
    ),
    "nasnet": PaperRecipe(
        paper="nasnet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=math.ceil(epochs_of(250_000, 50 * 32, "imagenet")),
            lr=0.04 * 50,
            batch_size=32 * 50,
            optimizer=RMSprop(decay=0.9, momentum=0.9, epsilon=1.0, initial=1.0),
            weight_decay=4e-5,
            decay_all=False,
            warmup=0.0,
            schedule=Decay(factor=0.97, every=2.4),
            crops=replace(_AREA, area=(0.05, 1.0), ratio=(0.75, 1.33), colour="jitter"),
            label_smoothing=0.1,
            clip=10.0,
            ema=0.9999,
        ),
        sources=_sources(
            lr__batch_size__schedule__label_smoothing__clip="the authors' nasnet.py, notes: 0.04 "
            "times 50 replicas, 32 images each, 0.97 every 2.4 epochs",
            epochs="the authors' nasnet.py: total_training_steps = 250,000",
            weight_decay="the authors' nasnet.py (nasnet_mobile_arg_scope)",
            decay_all="the authors' nasnet.py regularises weights alone",
            optimizer="not in those notes; RMSprop as in TF-slim's train_image_classifier.py, in "
            "which the authors' network is trained",
            crops="TF-slim's inception_preprocessing.py",
            ema="not in those notes; our choice, that of MobileNetV2 in the same code",
            dropout="the authors' nasnet.py: 0.5 before the classifier",
        ),
        departures=("Inception's distortions of colour have other ranges than ours.",),
    ),
    "nasnet_cifar": PaperRecipe(
        paper="nasnet",
        data="cifar10",
        image_size=32,
        recipe=Recipe(
            epochs=600,
            lr=0.025,
            batch_size=32,
            optimizer=_MOMENTUM,
            weight_decay=5e-4,
            decay_all=False,
            warmup=0.0,
            schedule=Cosine(),
            augment=_SHIFT_AND_FLIP,
            clip=5.0,
        ),
        sources=_sources(
            epochs__lr__batch_size__schedule__clip="the authors' nasnet.py, notes on CIFAR",
            weight_decay="the authors' nasnet.py (nasnet_cifar_arg_scope)",
            decay_all="the authors' nasnet.py regularises weights alone",
            optimizer="not in those notes; our choice: momentum 0.9, the classical form",
            augment="not in those notes; our choice, the usual shifts by 4 pixels and mirroring",
            dropout="the authors' nasnet.py: none; ScheduledDropPath up to 0.4",
        ),
        departures=("With cutout (2.65 % error) it is augment=Augmentation(4, True, cutout=16).",),
    ),
    "efficientnet": PaperRecipe(
        paper="efficientnet",
        data="imagenet",
        image_size=224,
        recipe=Recipe(
            epochs=350,
            lr=0.016 * 4096 / 256,
            batch_size=4096,
            optimizer=RMSprop(decay=0.9, momentum=0.9, epsilon=1e-3, initial=1.0),
            weight_decay=1e-5,
            decay_all=False,
            warmup=5 / 350,
            schedule=Decay(factor=0.97, every=2.4),
            crops=_AREA,
            label_smoothing=0.1,
            ema=0.9999,
        ),
        sources=_sources(
            lr="Section 5.2: 0.256; the authors' main.py: 0.016 for each 256 images",
            schedule__weight_decay="Section 5.2",
            optimizer="Section 5.2: decay and momentum 0.9; epsilon in the authors' utils.py",
            batch_size="not said; what makes 0.016 for each 256 images the 0.256 of section 5.2",
            epochs__warmup__label_smoothing__ema="not said; the authors' main.py (tensorflow/tpu)",
            decay_all="the authors' main.py: all but batch normalisation",
            crops="the authors' code: 8 % to 100 % of the area, mirrored",
            dropout="Section 5.2: 0.2 for B0 up to 0.5 for B7; stochastic depth 0.2",
        ),
        departures=(
            "AutoAugment (section 5.2), a learned policy of distortions, is left out.",
            "The few biases of the authors' network decay; ours do not.",
            "The paper normalises over batches spread over chips; ours over what a process has.",
            "The paper watched 25,000 held-out training images and kept the best state; ours ends "
            "at the end.",
        ),
    ),
}


class _Change(NamedTuple):
    """What a single network has otherwise than the recipe `of` its relatives."""

    of: str
    numbers: Mapping[str, Any] = {}
    sources: Mapping[str, str] = {}
    departures: tuple[str, ...] = ()


_SINGLE: dict[str, _Change] = {
    "resnet110_cifar": _Change(of="resnet_cifar_deep"),
    "resnet1202_cifar": _Change(of="resnet_cifar_deep"),
    "densenet264_k48": _Change(
        of="densenet",
        numbers={"epochs": 100, "schedule": Cosine()},
        sources=_sources(
            epochs="Pleiss et al. (2017), cited from memory",
            schedule="Pleiss et al. (2017): half a wave of the cosine",
        ),
    ),
    "senet154": _Change(
        of="senet",
        numbers={"lr": 1.0, "batch_size": 2048, "label_smoothing": 0.1},
        sources=_sources(
            lr__batch_size="appendix, details of SENet-154",
            label_smoothing="appendix, details of SENet-154: as in Inception V3 (Szegedy et al. "
            "2016, section 7), where it is 0.1",
            dropout="appendix, details of SENet-154: 0.2 before the classifier",
        ),
        departures=("The paper freezes batch normalisation in the last few epochs; we do not.",),
    ),
    "nasnet_a_large": _Change(
        of="nasnet",
        numbers={
            "epochs": math.ceil(epochs_of(250_000, 100 * 16, "imagenet")),
            "lr": 100 * 0.015,
            "batch_size": 100 * 16,
            "weight_decay": 5e-5,
        },
        sources=_sources(
            lr="the authors' nasnet.py, notes: 0.015 times 100 replicas",
            batch_size="the authors' nasnet.py, notes: 100 replicas, 16 images each",
            weight_decay="the authors' nasnet.py (nasnet_large_arg_scope)",
            dropout="the authors' nasnet.py: 0.5; ScheduledDropPath up to 0.3",
        ),
    ),
}


def paper_recipe(name: str) -> PaperRecipe:
    """How a paper trained its network.

    Args:
        name: a network of ``cnnlib.list_models()``; the recipe is then that of its paper and data
            set, for images of its size. Or a key of `RECIPES`, such as a paper's.

    Raises:
        ValueError: neither; the nearest name is given.
    """
    known = published.networks()
    if name in known:
        return _of_network(known[name])
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(str(name or "").lower(), [*known, *RECIPES], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "cnnlib.list_models() has the networks"
    raise ValueError(f"no recipe for {name!r}; {hint}")


def _of_network(network: published.Published) -> PaperRecipe:
    size = network.input[-1]
    on_cifar = f"{network.paper}_cifar"
    usual = on_cifar if on_cifar in RECIPES and size == 32 else network.paper
    change = _SINGLE.get(network.name, _Change(of=usual))
    found = RECIPES[change.of]
    recipe = replace(found.recipe, **change.numbers)
    if recipe.crops is not None:
        recipe = replace(recipe, crops=replace(recipe.crops, size=size))
    departures = found.departures + change.departures
    if network.protocol is None:
        borrowed = f"The paper prints no error of {network.name}: the recipe is its relatives'."
        departures = (*departures, borrowed)
    return replace(
        found,
        image_size=size,
        recipe=recipe,
        sources={**found.sources, **change.sources},
        departures=departures,
    )


def fast_recipe(data: str = "") -> Recipe:
    """The one-cycle recipe of the book, with changes of the images that keep their meaning.

    Args:
        data: name of a data set: "mnist", "mnist_5k", "fashion_mnist", "fashion_6k", "cifar10",
            "imagenette" or "imagenet". Of any other nobody knows here whether, say, a mirror image
            means the same, and the images stay as they are.
    """
    digits = Augmentation(shift=2)  # mirrored, most digits are none, or others
    clothes = Augmentation(shift=2, flip=True)
    photographs = Crops(224, area=(0.35, 1.0), flip=True)  # few epochs: no tiny squares
    changes: dict[str, dict[str, Any]] = {
        "mnist": {"augment": digits},
        "mnist_5k": {"augment": digits},
        "fashion_mnist": {"augment": clothes},
        "fashion_6k": {"augment": clothes},
        "cifar10": {"augment": _SHIFT_AND_FLIP},
        "imagenette": {"crops": photographs},
        "imagenet": {"crops": photographs},
    }
    return Recipe(**changes.get(data, {}))


def recipe_table() -> list[dict[str, str]]:
    """A row in words for each of `RECIPES`, for a page or a terminal."""
    return [_row(name, found) for name, found in RECIPES.items()]


def _row(name: str, found: PaperRecipe) -> dict[str, str]:
    recipe = found.recipe
    extras = {
        "warm-up": f"{recipe.warmup * recipe.epochs:.2g} epochs" if recipe.warmup else "",
        "label smoothing": f"{recipe.label_smoothing:g}" if recipe.label_smoothing else "",
        "clipping": f"{recipe.clip:g}" if recipe.clip else "",
        "average of weights": f"{recipe.ema:g}" if recipe.ema else "",
    }
    decayed = "all parameters" if recipe.decay_all else "weights"
    decay = f"{recipe.weight_decay:g} on {decayed}" if recipe.weight_decay else "none"
    return {
        "recipe": name,
        "paper": f"{paper(found.paper).authors.split(',')[0]} et al., {paper(found.paper).year}",
        "data": f"{found.data}, {found.image_size} × {found.image_size}",
        "optimiser": _optimizer_words(recipe),
        "learning rate": f"{recipe.lr:g}, {_schedule_words(recipe)}",
        "batch size": f"{recipe.batch_size:,}",
        "epochs": f"{recipe.epochs}",
        "weight decay": decay,
        "images": _image_words(recipe),
        "besides": ", ".join(f"{key} {value}" for key, value in extras.items() if value),
    }


def _optimizer_words(recipe: Recipe) -> str:
    chosen = recipe.optimizer
    if isinstance(chosen, SGD):
        if chosen.momentum == 0:
            return "SGD"
        return f"SGD, {'Nesterov ' if chosen.nesterov else ''}momentum {chosen.momentum:g}"
    if isinstance(chosen, RMSprop):
        return f"RMSprop {chosen.decay:g}, momentum {chosen.momentum:g}, ε {chosen.epsilon:g}"
    return f"{type(chosen).__name__} {chosen.beta1:g}, {chosen.beta2:g}"


def _schedule_words(recipe: Recipe) -> str:
    chosen = recipe.schedule
    if isinstance(chosen, Steps):
        moments = ", ".join(f"{epoch:.4g}" for epoch in chosen.at)
        factors = chosen.factor if isinstance(chosen.factor, tuple) else (chosen.factor,)
        return f"× {', '.join(f'{factor:g}' for factor in factors)} after epochs {moments}"
    if isinstance(chosen, Decay):
        interval = "epoch" if chosen.every == 1 else f"{chosen.every:g} epochs"
        return f"× {chosen.factor:g} every {interval}"
    if isinstance(chosen, Plateau):
        return f"× {chosen.factor:g} when {chosen.measure} stops falling, {chosen.times} times"
    words: dict[type, str] = {Linear: "linear to 0", Cosine: "cosine to 0", Constant: "constant"}
    return words[type(chosen)]


def _image_words(recipe: Recipe) -> str:
    parts = []
    if recipe.augment is not None:
        parts += [f"shifts of {recipe.augment.shift}"] if recipe.augment.shift else []
        parts += ["mirrored"] if recipe.augment.flip else []
    if recipe.crops is not None:
        low, high = recipe.crops.sides
        if recipe.crops.area is not None:
            share = " to ".join(f"{100 * end:g} %" for end in recipe.crops.area)
            parts.append(f"crops of {share} of the area")
        else:
            parts.append(f"crops from {low}" if low == high else f"crops from {low} to {high}")
        parts += ["mirrored"] if recipe.crops.flip else []
        parts += [f"colours: {recipe.crops.colour}"] if recipe.crops.colour else []
    return ", ".join(parts) or "as they are"
