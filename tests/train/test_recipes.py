"""The papers' recipes: complete, with sources, and as the papers say at chosen moments."""

import doctest
import importlib
import json
import math
from dataclasses import fields

import pytest
import torch
from torch import nn

import cnnlib
from cnnlib import published
from cnnlib.papers import PAPERS
from cnnlib.train import (
    RECIPE,
    RECIPES,
    SGD,
    Plateau,
    Recipe,
    RMSprop,
    fast_recipe,
    paper_recipe,
    recipe_table,
)
from cnnlib.train.recipes import TRAINING_IMAGES, epochs_of

NETWORKS = cnnlib.list_models()


def steps_of(found, recipe=None):
    """Steps per epoch, and in all, on the data set of the recipe."""
    recipe = recipe or found.recipe
    per_epoch = math.ceil(TRAINING_IMAGES[found.data] / recipe.batch_size)
    return per_epoch, per_epoch * recipe.epochs


def rate(name, *, step=None, epoch=None):
    """The learning rate in a step, or in the first step after so many epochs."""
    found = paper_recipe(name)
    per_epoch, steps = steps_of(found)
    return found.recipe.lr_at(math.ceil(epoch * per_epoch) + 1 if step is None else step, steps)


# Completeness


def test_every_paper_has_a_recipe():
    assert set(PAPERS) <= set(RECIPES)
    assert all(found.paper == key for key, found in RECIPES.items() if key in PAPERS)
    assert {found.paper for found in RECIPES.values()} == set(PAPERS)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_the_recipe_of_its_paper_for_its_images(name):
    found, record = paper_recipe(name), published.published(name)
    assert found.paper == record.paper
    assert found.image_size == record.input[-1]
    if found.recipe.crops is None:
        assert found.data in ("mnist", "cifar10") and record.classes == 10
    else:
        assert found.data == "imagenet" and record.classes == 1000
        assert found.recipe.crops.size == found.image_size


@pytest.mark.parametrize("name", [*NETWORKS, *RECIPES])
def test_every_number_has_a_source(name):
    found = paper_recipe(name)
    recipe, plain = found.recipe, ("warmup", "augment", "crops", "label_smoothing", "clip", "ema")
    needed = {
        field.name
        for field in fields(Recipe)
        if field.name not in plain or getattr(recipe, field.name)
    }
    assert needed <= set(found.sources)
    assert set(found.sources) - needed <= {"dropout"}  # nothing about what is not there
    assert all(text and "{" not in text for text in found.sources.values())
    assert found.departures and all(text.endswith(".") for text in found.departures)


@pytest.mark.parametrize("name", [*NETWORKS, *RECIPES])
def test_every_recipe_survives_json(name):
    recipe = paper_recipe(name).recipe
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_a_tiny_network_for_a_step(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)).double()
    optimizer = RECIPES[name].recipe.make_optimizer(model)
    loss = nn.functional.cross_entropy(model(torch.ones(2, 1, 4, 4).double()), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", [*RECIPES, "senet154", "nasnet_a_large", "densenet264_k48"])
def test_learning_rates_are_finite_and_positive_to_the_end(name):
    found = paper_recipe(name)
    per_epoch, steps = steps_of(found)
    looked_at = {1, 2, steps - 1, steps}
    for epoch in range(found.recipe.epochs):
        looked_at |= {epoch * per_epoch + 1, epoch * per_epoch + per_epoch // 2 + 1}
    rows = [{"test_error": 0.5}] * found.recipe.epochs  # for those that wait for a plateau
    rates = [found.recipe.lr_at(step, steps, rows) for step in sorted(looked_at)]
    assert all(0 < value <= found.recipe.lr and math.isfinite(value) for value in rates)
    assert rates[-1] < 0.3 * found.recipe.lr


# What the papers say, at chosen moments


@pytest.mark.parametrize("name", ["resnet20_cifar", "plain56_cifar", "resnet_cifar"])
def test_resnet_on_cifar_drops_after_32k_and_48k_iterations(name):
    assert [rate(name, step=step) for step in (1, 32_000)] == [0.1, 0.1]
    assert rate(name, step=32_001) == pytest.approx(0.01)
    assert rate(name, step=48_000) == pytest.approx(0.01)
    assert rate(name, step=48_001) == pytest.approx(0.001)
    assert rate(name, step=64_000) == pytest.approx(0.001)
    per_epoch, steps = steps_of(paper_recipe(name))
    assert 64_000 <= steps < 64_000 + per_epoch


@pytest.mark.parametrize("name", ["resnet110_cifar", "preact_resnet164_cifar"])
def test_deep_residual_networks_warm_up_over_400_iterations(name):
    assert rate(name, step=1) < 0.001
    assert rate(name, step=200) == pytest.approx(0.05, rel=0.01)
    assert rate(name, step=401) == 0.1
    assert rate(name, step=32_001) == pytest.approx(0.01)
    assert paper_recipe("resnet56_cifar").recipe.warmup == 0


def test_resnet_on_imagenet_runs_600k_iterations_and_waits_for_plateaus():
    found = paper_recipe("resnet50")
    per_epoch, steps = steps_of(found)
    assert 600_000 <= steps < 600_000 + per_epoch
    assert found.recipe.schedule == Plateau(0.1, 5, 3, "test_error")
    rows = [{"test_error": 1 / (1 + min(epoch, 30))} for epoch in range(found.recipe.epochs)]
    rates = [found.recipe.lr_at(epoch * per_epoch + 1, steps, rows) for epoch in range(60)]
    assert rates[:36] == [0.1] * 36  # the last improvement is in epoch 31
    assert rates[36] == pytest.approx(0.01) and rates[59] == pytest.approx(1e-4)


def test_vgg_runs_370k_iterations_which_the_paper_calls_74_epochs():
    assert paper_recipe("vgg_d").recipe.epochs == 74
    assert epochs_of(370_000, 256, "imagenet") == pytest.approx(73.9, abs=0.05)


def test_googlenet_loses_4_percent_every_8_epochs():
    assert rate("googlenet", epoch=0) == 0.01
    assert rate("googlenet", epoch=8) == pytest.approx(0.0096)
    assert rate("googlenet", epoch=16.5) == pytest.approx(0.01 * 0.96**2)
    # Caffe counts 320,000 steps of 32 images for 8 epochs, which is nearly so.
    assert epochs_of(320_000, 32, "imagenet") == pytest.approx(8, abs=0.01)


def test_densenet_drops_at_half_and_three_quarters_on_cifar_and_every_30_epochs_on_imagenet():
    for epoch, expected in ((0, 0.1), (149, 0.1), (150, 0.01), (225, 0.001), (299, 0.001)):
        assert rate("densenet_cifar_l40_k12", epoch=epoch) == pytest.approx(expected)
    for epoch, expected in ((29, 0.1), (30, 0.01), (60, 0.001), (89, 0.001)):
        assert rate("densenet121", epoch=epoch) == pytest.approx(expected)
    assert paper_recipe("densenet121").recipe.optimizer == SGD(0.9, nesterov=True)


def test_senet_and_resnext_drop_every_30_of_100_epochs():
    for name, lr in (("se_resnet50", 0.6), ("resnext50_32x4d", 0.1), ("senet154", 1.0)):
        rates = [rate(name, epoch=epoch) for epoch in (0, 30, 60, 90)]
        assert rates == pytest.approx([lr, lr / 10, lr / 100, lr / 1000])


def test_squeezenet_goes_down_in_a_straight_line_over_170k_iterations():
    per_epoch, steps = steps_of(paper_recipe("squeezenet1_0"))
    assert 170_000 <= steps < 170_000 + per_epoch
    for step in (1, 40_000, 85_000, 160_000):
        assert rate("squeezenet1_0", step=step) == pytest.approx(
            0.04 * (1 - step / steps), rel=1e-3
        )


def test_lenet_follows_the_proportions_of_its_five_global_rates():
    rates = [rate("lenet5", epoch=epoch) for epoch in range(20)]
    printed = [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8
    assert [value / rates[0] for value in rates] == pytest.approx([p / 5e-4 for p in printed])


def test_mobilenets_and_nasnet_come_down_the_staircases_of_their_papers():
    assert rate("mobilenet_v1_1_224", epoch=2) == pytest.approx(0.045 * 0.94)
    assert rate("mobilenet_v2_1", epoch=1) == pytest.approx(0.045 * 0.98)
    assert rate("mobilenet_v3_large_1", epoch=3) == pytest.approx(0.1 * 0.99)
    assert rate("nasnet_a_mobile", epoch=2.4) == pytest.approx(2.0 * 0.97)
    assert rate("nasnet_a_large", epoch=0) == pytest.approx(1.5)
    per_epoch, steps = steps_of(paper_recipe("mobilenet_v2_1"))
    assert 5_500_000 <= steps < 5_500_000 + per_epoch


def test_nasnet_on_cifar_follows_a_cosine():
    _, steps = steps_of(paper_recipe("nasnet_a_cifar"))
    assert steps == pytest.approx(937_500, rel=0.001)  # total_training_steps of the authors' code
    assert rate("nasnet_a_cifar", epoch=300) == pytest.approx(0.0125, rel=1e-3)


def test_efficientnet_warms_up_over_5_epochs_to_a_quarter_and_decays_every_2_4():
    assert rate("efficientnet_b0", epoch=2.5) == pytest.approx(0.128, rel=0.01)
    # The staircase counts from the beginning: two of its steps lie in the warm-up.
    assert rate("efficientnet_b0", epoch=5.1) == pytest.approx(0.256 * 0.97**2)
    assert rate("efficientnet_b0", epoch=7.2) == pytest.approx(0.256 * 0.97**3)
    assert paper_recipe("efficientnet_b7").recipe.crops.size == 600


@pytest.mark.parametrize(
    "name", ["mobilenet_v1_1_224", "mobilenet_v2_1", "nasnet_a_mobile", "efficientnet_b0"]
)
def test_where_the_papers_mean_tensorflows_rmsprop_the_mean_square_begins_at_one(name):
    assert isinstance(paper_recipe(name).recipe.optimizer, RMSprop)
    assert paper_recipe(name).recipe.optimizer.initial == 1.0


def test_what_the_papers_have_besides():
    assert paper_recipe("nasnet_a_mobile").recipe.clip == 10
    assert paper_recipe("nasnet_a_cifar").recipe.clip == 5
    assert paper_recipe("efficientnet_b3").recipe.ema == 0.9999
    assert paper_recipe("resnet50").recipe.crops.resize == (256, 480)
    assert paper_recipe("alexnet").recipe.crops.colour == "pca"
    assert paper_recipe("senet154").recipe.label_smoothing == 0.1


def test_networks_that_the_paper_prints_no_error_of_are_said_to_borrow():
    assert "prints no error of vgg_d_bn" in paper_recipe("vgg_d_bn").departures[-1]
    assert "prints no error" not in paper_recipe("vgg_d").departures[-1]


# Names


@pytest.mark.parametrize(
    "name, hint",
    [("resnet5", "did you mean 'resnet"), ("Mobilenet_v4", "did you mean 'mobilenet_v"),
     ("", "cnnlib.list_models"), (None, "cnnlib.list_models")],
)  # fmt: skip
def test_an_unknown_name_gets_the_nearest(name, hint):
    with pytest.raises(ValueError, match=hint):
        paper_recipe(name)


# The fast one


def test_the_fast_recipe_is_that_of_the_book():
    assert fast_recipe() == RECIPE == Recipe()


@pytest.mark.parametrize("data", ["mnist", "mnist_5k"])
def test_digits_are_shifted_and_never_mirrored(data):
    augment = fast_recipe(data).augment
    assert augment.shift == 2 and not augment.flip


@pytest.mark.parametrize("data", ["fashion_mnist", "fashion_6k", "cifar10"])
def test_clothes_and_things_are_mirrored(data):
    assert fast_recipe(data).augment.flip


def test_photographs_are_cropped_and_the_unknown_is_left_alone():
    assert fast_recipe("imagenette").crops.area == (0.35, 1.0)
    assert fast_recipe("imagefolder:somewhere") == Recipe()


# The table


def test_the_table_has_a_row_in_words_for_every_recipe():
    rows = recipe_table()
    assert [row["recipe"] for row in rows] == list(RECIPES)
    assert len({tuple(row) for row in rows}) == 1  # the same columns everywhere
    assert all(isinstance(text, str) for row in rows for text in row.values())
    by_name = {row["recipe"]: row for row in rows}
    assert by_name["efficientnet"]["optimiser"] == "RMSprop 0.9, momentum 0.9, ε 0.001"
    assert by_name["efficientnet"]["learning rate"] == "0.256, × 0.97 every 2.4 epochs"
    assert "warm-up 5 epochs" in by_name["efficientnet"]["besides"]
    assert by_name["densenet_cifar"]["learning rate"] == "0.1, × 0.1 after epochs 150, 225"
    assert by_name["resnet"]["images"] == "crops from 256 to 480, mirrored, colours: pca"
    assert by_name["lenet"]["weight decay"] == "none"


def test_the_example_in_the_documentation_holds():
    tried = doctest.testmod(importlib.import_module("cnnlib.train.recipes"))
    assert tried.attempted > 0 and tried.failed == 0
