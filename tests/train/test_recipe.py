"""The recipe as data: what it accepts, how it is written down, which weights decay."""

import json
import math
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnlib.augment import Augmentation, Crops
from cnnlib.models.lenet import lenet5
from cnnlib.train import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Decay,
    Linear,
    Plateau,
    Recipe,
    RMSprop,
    Steps,
    parameter_groups,
)


def small_net():
    conv = nn.Conv2d(1, 4, 3, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))


# Which weights decay


def test_only_weights_of_convolutions_and_linear_layers_decay():
    model = lenet5(batch_norm=True)
    decayed, spared = parameter_groups(model, 0.01)
    names = {id(p): name for name, p in model.named_parameters()}
    assert decayed["weight_decay"] == 0.01 and spared["weight_decay"] == 0
    assert sorted(names[id(p)] for p in decayed["params"]) == [
        "c1.0.weight",
        "c3.0.weight",
        "c5.0.weight",
        "f6.1.weight",
    ]
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    subsampling = {name for name in names.values() if "coefficient" in name}
    assert len(subsampling) == 2 and subsampling <= {names[id(p)] for p in spared["params"]}


def test_all_parameters_decay_if_the_recipe_says_so():
    model = small_net()
    optimizer = Recipe(weight_decay=0.01, decay_all=True).make_optimizer(model)
    decays = [g["weight_decay"] for g in optimizer.param_groups for _ in g["params"]]
    assert decays == [0.01] * len(list(model.parameters()))


def test_frozen_parameters_are_in_no_group():
    model = small_net()
    model[0].requires_grad_(False)
    for decay_all in (False, True):
        groups = parameter_groups(model, 0.01, decay_all=decay_all)
        assert sum(len(group["params"]) for group in groups) == 4


def test_a_network_without_trainable_parameters_is_nothing_to_train():
    with pytest.raises(ValueError, match="Flatten has no trainable parameter"):
        Recipe().make_optimizer(nn.Flatten())


@pytest.mark.parametrize("settings", [SGD(), SGD(0.0, False), RMSprop(), Adam(), AdamW()])
def test_every_optimiser_gets_the_learning_rate_and_moves_all_weights(settings):
    model = small_net()
    optimizer = Recipe(lr=0.01, optimizer=settings).make_optimizer(model)
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
    before = [p.detach().clone() for p in model.parameters()]
    torch.manual_seed(0)
    scores = model(torch.randn(5, 1, 8, 8))
    nn.functional.cross_entropy(scores, torch.tensor([0, 1, 2, 0, 1])).backward()
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
    assert all(moved)


# What it accepts


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": -3}, "epochs must be at least 1, got -3"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"lr": -0.1}, "lr must be a positive number, got -0.1"),
        ({"lr": 0}, "lr must be a positive number"),
        ({"lr": math.nan}, "lr must be a positive number, got nan"),
        ({"lr": math.inf}, "lr must be a positive number, got inf"),
        ({"weight_decay": -1e-4}, "weight_decay must be at least 0"),
        ({"warmup": 1.5}, "warmup must be a share of the steps, from 0 to 1, got 1.5"),
        ({"label_smoothing": 1.0}, "label_smoothing must be at least 0 and below 1, got 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing must be at least 0 and below 1"),
        ({"clip": 0.0}, "clip must be a positive number or None, got 0.0"),
        ({"ema": 1.0}, "ema must be above 0 and below 1, or None, got 1.0"),
        ({"ema": 0.0}, "ema must be above 0 and below 1, or None"),
    ],
)
def test_a_recipe_out_of_range_says_which_number_and_what_range(settings, message):
    with pytest.raises(ValueError, match=f"Recipe.{message}"):
        Recipe(**settings)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"batch_size": "64"}, "batch_size must be a whole number, got '64'"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"lr": None}, "lr must be a number, got None"),
        ({"clip": "1"}, "clip must be a number, got '1'"),
        ({"decay_all": 1}, "decay_all must be True or False, got 1"),
        ({"augment": "flip"}, "augment must be an Augmentation or None, got str"),
        ({"crops": 224}, "crops must be a Crops or None, got int"),
        ({"optimizer": "sgd"}, r"optimizer must be one of SGD, .* got 'sgd'"),
        ({"optimizer": SGD}, r"as in optimizer=SGD\(\); got SGD"),
        ({"optimizer": torch.optim.SGD}, "optimizer must be one of SGD, RMSprop, Adam, AdamW"),
        ({"schedule": "cosine"}, "schedule must be one of Linear, .* got 'cosine'"),
        ({"schedule": Cosine}, r"with its settings, as in schedule=Linear\(\); got Cosine"),
    ],
)
def test_a_recipe_of_the_wrong_kind_says_what_it_needs(settings, message):
    with pytest.raises(TypeError, match=f"Recipe.{message}|{message}"):
        Recipe(**settings)


def test_a_recipe_cannot_be_changed_and_equals_its_like():
    with pytest.raises(AttributeError):
        Recipe().epochs = 3  # type: ignore[misc]
    assert Recipe(schedule=Steps((1.0,))) == Recipe(schedule=Steps((1.0,)))
    assert Recipe(optimizer=Adam()) != Recipe(optimizer=AdamW())
    assert hash(Recipe(schedule=Cosine())) == hash(Recipe(schedule=Cosine()))


# Written down

RECIPES = st.builds(
    Recipe,
    epochs=st.integers(1, 400),
    lr=st.floats(1e-6, 10),
    optimizer=st.sampled_from([SGD(), SGD(0.0, False), RMSprop(0.8), Adam(0.5), AdamW()]),
    schedule=st.sampled_from(
        [
            Linear(),
            Constant(),
            Cosine(),
            Steps((1.0, 2.5)),
            Steps((1.0, 2.5), (0.1, 0.5)),
            Decay(0.97, 2.4),
            Plateau(measure="train_loss"),
        ]
    ),
    warmup=st.floats(0, 1),
    augment=st.sampled_from([None, Augmentation(2, True, cutout=8, mixup=0.2)]),
    crops=st.sampled_from([None, Crops(), Crops(160, resize=(192, 300)), Crops(area=(0.08, 1.0))]),
    label_smoothing=st.sampled_from([0.0, 0.1]),
    clip=st.sampled_from([None, 5.0]),
    ema=st.sampled_from([None, 0.999]),
    decay_all=st.booleans(),
)


@given(RECIPES)
def test_a_recipe_survives_json(recipe):
    written = recipe.to_dict()
    text = json.dumps(written)
    assert json.loads(text) == written  # nothing that JSON would change, such as a tuple
    assert Recipe.from_dict(json.loads(text)) == recipe


def test_the_record_of_a_recipe_names_optimiser_and_schedule():
    written = Recipe(optimizer=RMSprop(), schedule=Cosine()).to_dict()
    assert written["optimizer"]["kind"] == "RMSprop" and written["optimizer"]["epsilon"] == 1.0
    assert written["schedule"] == {"kind": "Cosine"}
    assert set(written) == {field.name for field in fields(Recipe)}


def record(**changes):
    return Recipe(augment=Augmentation(shift=1)).to_dict() | changes


@pytest.mark.parametrize(
    "values, message",
    [
        ({"momentum": 0.9}, r"not the record of a recipe \(Recipe\): .*unknown \['momentum'\]"),
        ({"optimizer": {"kind": "Adagrad"}}, "optimizer is of a kind .* known: 'Adagrad'"),
        ({"optimizer": "SGD"}, "optimizer is of a kind that is not known: None"),
        ({"optimizer": {"kind": "SGD", "momentum": 0.9}}, r"missing \['nesterov'\]"),
        ({"schedule": {}}, r"schedule is of a kind that is not known: None; there are \['Linear'"),
        ({"schedule": {"kind": "Linear", "power": 2}}, r"unknown \['power'\]"),
        ({"augment": {"shift": 1}}, "not the record of augment"),
        ({"epochs": 0}, "epochs must be at least 1"),
    ],
)
def test_a_record_that_is_none_says_what_is_wrong(values, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(record(**values))


def test_a_record_is_complete():
    incomplete = {key: value for key, value in record().items() if key not in ("lr", "ema")}
    with pytest.raises(ValueError, match=r"missing \['ema', 'lr'\]"):
        Recipe.from_dict(incomplete)


@pytest.mark.parametrize("values", [None, [], "recipe"])
def test_what_is_no_record_at_all_is_refused(values):
    with pytest.raises(TypeError, match="the record of a recipe must be a dictionary"):
        Recipe.from_dict(values)


def test_replacing_a_number_checks_it_too():
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        replace(Recipe(), epochs=0)
