"""What `fit` refuses, in which words, and what looks odd but is right."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnlib import checkpoint
from cnnlib.data import ImageSet
from cnnlib.models import loss_for
from cnnlib.train import SGD, Adam, History, Recipe, evaluate, fit, loop, paper_recipe
from cnnlib.train.compatibility import check_recipe
from tests.models.building import on_meta
from tests.models.families import FAMILIES, networks
from tests.train.learning import small_net, stripes, weights

RECIPE = Recipe(epochs=1)


def refused(error, message, model=None, train=None, test=None, **options):
    with pytest.raises(error, match=message):
        train = stripes(20) if train is None else train
        fit(model or small_net(), train, test, **options)


def test_labels_beyond_the_classes_of_the_network_are_named_before_training():
    data = stripes(20)
    model = small_net()
    model[5] = nn.Linear(4 * 6 * 6, 2)
    before = weights(model).clone()
    message = r"labels of train \(stripes\) go up to 2, but the network scores only the 2 classes"
    refused(ValueError, message + r" 0 to 1: choose num_classes=3", model, data)
    assert torch.equal(weights(model), before) and model.training
    two_classes = data.select(data.labels < 2)
    refused(ValueError, "labels of test .* go up to 2", model, two_classes, data)
    with pytest.raises(ValueError, match="labels of data .* go up to 2"):
        evaluate(model, data)


def test_an_empty_set_is_named():
    data = stripes(20)
    empty = data.select([])
    refused(ValueError, r"train \(stripes\) holds no images", train=empty)
    refused(ValueError, r"test \(stripes\) holds no images", test=empty)
    with pytest.raises(ValueError, match=r"data \(stripes\) holds no images"):
        evaluate(small_net(), empty)


def test_a_dtype_that_differs_names_both():
    data = stripes(20, dtype=torch.float64)
    message = "images of train are torch.float64 but the weights of Sequential are torch.float32"
    refused(TypeError, message, train=data)
    with pytest.raises(TypeError, match="torch.float64.*torch.float32"):
        evaluate(small_net(), data)


def test_images_in_whole_numbers_are_sent_to_rescaled():
    data = stripes(20)
    data = replace(data, images=data.images.to(torch.uint8))
    refused(TypeError, r"torch.uint8 but .*\.rescaled\(0, 1\)", train=data)


def test_something_else_than_an_image_set_is_refused():
    pair = (torch.zeros(5, 1, 8, 8), torch.zeros(5))
    refused(TypeError, "train must be an ImageSet .* got tuple", train=pair)


def test_images_that_the_network_does_not_take_are_named_with_their_shape():
    grey = stripes(20)
    colour = replace(grey, images=grey.images.repeat(1, 3, 1, 1))
    small = replace(grey, images=grey.images[:, :, :5, :5])
    words = r"Sequential does not take the images of {} \(stripes\), of shape \({}\): "
    refused(ValueError, words.format("train", "3, 8, 8") + ".*channels", train=colour)
    refused(ValueError, words.format("test", "3, 8, 8") + ".*channels", test=colour)
    refused(ValueError, words.format("test", "1, 5, 5"), test=small)
    with pytest.raises(ValueError, match=words.format("data", "3, 8, 8")):
        evaluate(small_net(), colour)


def test_test_images_of_another_size_are_right_where_the_network_takes_any():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    larger = stripes(20, size=12)
    history = fit(model, stripes(20), larger, recipe=RECIPE)
    assert history.final["test_error"] == evaluate(model, larger)["error"]


def test_train_and_test_must_have_the_same_classes_in_the_same_order():
    data = stripes(20)
    turned = replace(data, classes=("left", "upper", "neither"))
    words = "train .* and test .* the same order, got 3 .upper, left, neither. and 3 .left, upper"
    refused(ValueError, words, test=turned)
    more = replace(data, classes=(*data.classes, *"abcde"))
    refused(ValueError, r"and 8 \(upper, left, neither, a, b, \.\.\.\)", test=more)


def test_a_network_without_scores_per_class_is_refused():
    refused(ValueError, r"shape \(N, classes\).*\(1, 4, 6, 6\)", nn.Sequential(nn.Conv2d(1, 4, 3)))


def test_a_network_without_trainable_parameters_is_refused():
    refused(ValueError, "no trainable parameter", small_net().requires_grad_(False))


def test_a_network_may_be_trained_with_some_parts_frozen():
    model = small_net()
    model[0].requires_grad_(False)
    assert fit(model, stripes(20), recipe=RECIPE).final["epoch"] == 1


def test_a_network_without_numbers_is_refused():
    words = "weights of Sequential hold no numbers .device meta."
    model = on_meta(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    refused(ValueError, words, model)
    with pytest.raises(ValueError, match=words):
        evaluate(model, stripes(20))


def test_a_loss_that_is_not_one_number_is_refused():
    def each(scores, labels):
        return F.cross_entropy(scores, labels, reduction="none")

    def plain(scores, labels):
        return 1.5

    refused(ValueError, r"mean over the images; each gave shape \(1,\)", loss=each)
    refused(ValueError, r"mean over the images; plain gave 1.5", loss=plain)


def test_a_loss_that_takes_something_else_is_refused_in_its_own_words():
    def lonely(scores):
        return scores.mean()

    def l1_margin(scores, labels):
        return (scores.view(-1, 7) - labels).abs().mean()

    refused(TypeError, r"must take scores .* lonely says: .*1 positional", loss=lonely)
    refused(TypeError, "l1_margin says: .*size", loss=l1_margin)


def test_unknown_device_and_precision_name_what_there_is():
    refused(ValueError, '"auto", "cpu" or "cuda", got \'tpu\'', device="tpu")
    refused(ValueError, '"no", "bf16" or "fp16", got \'fp8\'', precision="fp8")
    refused(ValueError, 'on the CPU use "bf16" or "no"', precision="fp16", device="cpu")
    double = small_net(dtype=torch.float64)
    data = stripes(20, dtype=torch.float64)
    refused(ValueError, "for torch.float32 networks", double, data, precision="bf16")


def test_cuda_without_such_a_device_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(ValueError, 'use "cpu" or "auto"', device="cuda")
    assert fit(small_net(), stripes(20), recipe=Recipe(epochs=1)).device == "cpu"


def test_a_loss_that_explodes_names_step_and_learning_rate():
    model, history = small_net(), History()
    recipe = Recipe(epochs=3, lr=1e30, batch_size=10)
    with pytest.raises(RuntimeError, match=r"loss became (nan|inf) in step \d of 6 .*rate of") as e:
        fit(model, stripes(20), recipe=recipe, history=history)
    assert "lower Recipe.lr (now 1e+30)" in str(e.value)
    assert "stopped after 0 of 3 epochs" in e.value.__notes__[0]
    assert history.rows == [] and not model.training


def test_an_image_that_is_not_a_number_shows_in_the_step_that_meets_it():
    data = stripes(40)
    data.images[7] = math.nan
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    step = order.index(7) // 10 + 1
    assert step > 1
    refused(
        RuntimeError,
        f"became nan in step {step} of 20 .* look for images with extreme values",
        train=data,
        recipe=Recipe(batch_size=10),
    )


def test_what_is_beyond_repair_does_not_replace_a_good_checkpoint(tmp_path):
    data = stripes(40)
    recipe = Recipe(epochs=1, batch_size=10)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()
    data.images[order[15]] = math.nan
    path = tmp_path / "last"
    with pytest.raises(RuntimeError, match="in step 2 of 4"):
        fit(small_net(), data, recipe=recipe, checkpoint=path, checkpoint_every=0)
    kept = checkpoint.read(path)
    assert kept["position"]["batch"] == 1
    assert all(t.isfinite().all() for t in kept["model"].values())


def test_a_network_that_gives_no_numbers_from_the_start_is_told_at_once():
    model = small_net()
    with torch.no_grad():
        model[5].bias[0] = math.nan
    seen = []
    model.register_forward_hook(lambda *_: seen.append(0))
    words = r"became nan in step 1 of 100 .*: look for weights, images or a loss that are not"
    refused(RuntimeError, words, model, stripes(50), recipe=Recipe(epochs=20, batch_size=10))
    assert len(seen) <= 3


def test_a_loss_that_grows_without_bound_stops_the_training_with_step_rate_and_hint():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    recipe = Recipe(epochs=50, lr=3.0, batch_size=10, warmup=0.0, weight_decay=0.9)
    words = (
        r"the loss grew from \d\.?\d* to \S+ in step \d+ of 100 \(epoch \d+\), at a learning "
        r"rate of [\d.]+: lower Recipe.lr \(now 3\), raise Recipe.warmup"
    )
    refused(RuntimeError, words, model, recipe=recipe)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_healthy_training_is_never_taken_for_one_that_grows(family, monkeypatch):
    monkeypatch.setattr(loop, "LOOK", 1)  # at every single step
    tiny = next(iter(networks(family).values()))
    model = tiny.build()
    data = ImageSet("noise", tiny.images(16), torch.arange(16) % 10, tuple("0123456789"))
    recipe = Recipe(epochs=3, lr=tiny.lr, batch_size=8, optimizer=Adam(), weight_decay=0.0)
    history = fit(model, data, data, recipe=recipe, loss=loss_for(model))
    assert len(history.rows) == 3


def test_a_network_that_has_learnt_may_go_on_with_what_it_does_not_know():
    model, known = small_net(), stripes(60)
    learnt = fit(model, known, recipe=Recipe(epochs=60, batch_size=20)).final["train_loss"]
    labels = known.labels.clone()
    labels[1::4] = (labels[1::4] + 1) % 3  # every fourth image turns out to be something else
    harder = replace(known, labels=labels)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).tolist()
    assert order[0] % 4 != 1  # the first step meets one that is known
    history = fit(model, harder, recipe=Recipe(epochs=1, lr=1e-4, batch_size=1))
    assert history.final["train_loss"] > 10 * learnt  # and yet nothing is wrong


def test_a_loss_may_be_negative(monkeypatch):
    monkeypatch.setattr(loop, "LOOK", 1)

    def shifted(scores, labels):
        return F.cross_entropy(scores, labels) - 5

    history = fit(small_net(), stripes(20), recipe=RECIPE, loss=shifted)
    assert history.final["train_loss"] < -3


# The recipe and other arguments


@pytest.mark.parametrize("recipe", [{"epochs": 3}, "paper", None, Recipe])
def test_something_else_than_a_recipe_is_refused(recipe):
    refused(TypeError, "recipe must be a Recipe, got .*Recipe.from_dict makes one", recipe=recipe)


def test_an_unknown_recipe_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="no recipe for 'resnet19'; did you mean 'resnet18'"):
        paper_recipe("resnet19")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"lr": 0}, "lr must be a positive number, got 0"),
        ({"lr": -0.1}, "lr must be a positive number, got -0.1"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_a_recipe_that_would_train_nothing_cannot_be_made(settings, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**settings)


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 1.5])
def test_momentum_out_of_range_is_refused(momentum):
    with pytest.raises(ValueError, match="momentum must be at least 0 and below 1"):
        SGD(momentum)


def test_micro_batches_are_whole_numbers_from_one():
    refused(ValueError, "micro_batch must be at least 1, got 0", micro_batch=0)
    refused(TypeError, "micro_batch must be a whole number, got 2.5", micro_batch=2.5)


def test_a_used_history_is_refused():
    history = fit(small_net(), stripes(20), recipe=RECIPE)
    refused(ValueError, "already holds 1 epochs; pass an empty one", history=history)


def test_a_checkpoint_that_cannot_be_written_is_named_before_the_first_step(tmp_path):
    model = small_net()
    seen = []
    model.register_forward_hook(lambda *_: seen.append(0))
    refused(IsADirectoryError, "is a folder: name the file in it", model, checkpoint=tmp_path)
    refused(
        FileNotFoundError,
        "the folder .*no does not exist: make it",
        model,
        checkpoint=tmp_path / "no" / "last",
    )
    path = tmp_path / "last"
    words = "checkpoint_every must be a number of seconds from 0 on, got -1"
    refused(ValueError, words, model, checkpoint=path, checkpoint_every=-1)
    words = "checkpoint_every must be a number, got 'often'"
    refused(TypeError, words, model, checkpoint=path, checkpoint_every="often")
    refused(ValueError, "needs the file to resume from", model, resume=True)
    assert not seen and not path.exists()


# Sizes


def test_a_batch_larger_than_the_data_is_one_step_per_epoch():
    recipe = Recipe(epochs=4, batch_size=1000, warmup=1.0)
    history = fit(small_net(), stripes(20), recipe=recipe)
    assert [row["lr"] for row in history.rows] == pytest.approx([0.02, 0.04, 0.06, 0.08])


def test_one_class_alone_can_be_learnt():
    data = stripes(60)
    alone = data.select(data.labels == 1)
    history = fit(small_net(norm=True), alone, alone, recipe=Recipe(epochs=3))
    assert history.final["test_error"] == 0
    named = replace(alone, labels=alone.labels * 0, classes=("left",))
    single = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    assert fit(single, named, named, recipe=RECIPE).final["test_loss"] == 0


def one_by_one() -> nn.Module:
    """Batch normalisation of 1x1 maps: one number per channel and image."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)
    )


def test_a_last_batch_of_one_is_refused_where_normalisation_cannot_take_it():
    words = (
        "the last batch holds a single image, on which Sequential cannot be trained .*batch_size"
    )
    refused(ValueError, words, one_by_one(), stripes(33), recipe=Recipe(epochs=1, batch_size=16))
    for n in (32, 34):  # none left over, or two
        fit(one_by_one(), stripes(n), recipe=Recipe(epochs=1, batch_size=16))
    refused(ValueError, words, one_by_one(), stripes(1), recipe=RECIPE)


def test_a_last_batch_of_one_is_right_where_maps_are_larger_or_nothing_is_normalised():
    recipe = Recipe(epochs=1, batch_size=16)
    assert fit(small_net(norm=True), stripes(33), recipe=recipe).final["epoch"] == 1
    assert fit(small_net(), stripes(1), recipe=recipe).final["epoch"] == 1


@pytest.mark.parametrize("images, micro_batch", [(34, 1), (32, 15), (32, 5), (35, 2)])
def test_a_last_micro_batch_of_one_is_refused_too(images, micro_batch):
    recipe = Recipe(epochs=1, batch_size=16)
    words = "micro-batch.* holds a single image, on which Sequential cannot be trained"
    data = stripes(images)
    refused(ValueError, words, one_by_one(), data, recipe=recipe, micro_batch=micro_batch)
    fit(small_net(norm=True), data, recipe=recipe, micro_batch=micro_batch)


@pytest.mark.parametrize("images, processes", [(34, 2), (35, 2), (36, 3), (37, 3)])
def test_a_share_of_one_image_is_refused_too(images, processes):
    words = "the last batch holds a single image"
    data, recipe = stripes(images), Recipe(epochs=1, batch_size=16)
    with pytest.raises(ValueError, match=words):
        check_recipe(recipe, data, None, one_by_one(), F.cross_entropy, processes, None)
    check_recipe(recipe, data, None, small_net(norm=True), F.cross_entropy, processes, None)


def test_images_of_different_sizes_are_no_image_set():
    lists = [torch.zeros(1, 8, 8), torch.zeros(1, 9, 9)]
    with pytest.raises(TypeError, match=r"images must be a torch.Tensor, got list"):
        ImageSet("uneven", lists, torch.zeros(2, dtype=torch.long), ("a",))


def test_labels_out_of_range_are_refused_by_the_image_set():
    images = torch.zeros(2, 1, 8, 8)
    for labels, words in (([0, 3], r"got 0\.\.3"), ([-1, 0], r"got -1\.\.0")):
        with pytest.raises(ValueError, match=r"labels must lie in 0\.\.1.*" + words):
            ImageSet("wrong", images, torch.tensor(labels), ("a", "b"))
