"""The browser holds the photographs, the answers and the units of the network that it was given."""

import io
import json
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from cnnlib import book, datasets, explain
from cnnlib.models import create_model
from cnnlib.widgets import InsideBrowser

SMALL = {
    "num_classes": 10,
    "in_channels": 1,
    "width_multiplier": 1 / 12,
    "hidden_units": 24,
    "image_size": 28,
    "stem": "small",
    "initial": "he",
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return create_model("zfnet", **SMALL)


def pictures() -> torch.Tensor:
    return torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def browser() -> InsideBrowser:
    return InsideBrowser(book.predictions(), network(), pictures(), units=3, patches=2)


def test_the_pictures_are_those_of_the_package_but_smaller(browser):
    assert [record["name"] for record in browser.photographs] == list(datasets.PHOTOGRAPHS)
    for record in browser.photographs:
        at, length = record["at"], record["length"]
        with Image.open(io.BytesIO(browser.pictures[at : at + length])) as picture:
            assert picture.size == (160, 160)
            shown = np.array(picture.convert("RGB").resize((224, 224)), dtype=float)
        assert np.abs(shown - datasets.photograph(record["name"])).mean() < 15


def test_the_maps_are_the_stored_answers(browser):
    for record in browser.photographs:
        seen = book.predictions()[record["name"]]
        assert record["target"] == seen.target
        assert record["uncovered"] == dict(seen.top)[seen.target]
        assert record["squares"] == [32, 64]
        for square, at in record["maps"].items():
            occluded, count = seen.occlusion[int(square)], record["cells"] ** 2
            shares = struct.unpack_from(f"<{count}H", browser.maps, at)
            np.testing.assert_allclose(
                np.array(shares) / 1000, occluded.probability.flatten(), atol=1e-9
            )
            winners = browser.maps[at + 2 * count : at + 3 * count]
            names = [record["classes"][number] for number in winners]
            assert names == [name for row in occluded.winner for name in row]


def test_the_tiles_are_patches_and_projections(browser):
    model, images = network(), pictures()
    low, high = images.min(), images.max()
    for record in browser.layers:
        layer = record["name"]
        found = explain.strongest(model, layer, images, 2)
        for unit in record["units"]:
            number = unit["unit"]
            for i, (tile, (image, place)) in enumerate(
                zip(unit["patches"], found.places(number), strict=True)
            ):
                assert tile["value"] == pytest.approx(float(found.values[number, i]), rel=1e-3)
                box = explain.seen_by(model, layer, place, (1, 28, 28))
                inside = torch.zeros(1, 28, 28)
                inside[0, max(box.top, 0) : box.top + box.height,
                       max(box.left, 0) : box.left + box.width] = 1  # fmt: skip
                size = tile["rows"] * tile["columns"]
                assert size == int(inside.sum())
                pixels = np.frombuffer(browser.tiles, np.uint8, size, tile["at"])
                expected = images[image][inside.bool()]
                np.testing.assert_allclose(pixels / 255, (expected - low) / (high - low), atol=3e-3)
                back = explain.deconvnet(model, images[image], layer, number, place)
                back = back[inside.bool()]
                shown = np.frombuffer(browser.tiles, np.uint8, size, tile["at"] + size) / 255
                np.testing.assert_allclose(2 * shown - 1, back / back.abs().max(), atol=5e-3)
                # nothing of the projection lies outside of what the unit sees
                whole = explain.deconvnet(model, images[image], layer, number, place)
                assert not whole[~inside.bool()].any()


def test_silent_units_are_not_shown():
    model = network()
    with torch.no_grad():
        model.conv3[0].bias[0] = -99  # never answers
    browser = InsideBrowser(model=model, images=pictures(), layers=("conv3",), units=99, patches=1)
    numbers = [unit["unit"] for unit in browser.layers[0]["units"]]
    assert 0 not in numbers and len(numbers) > 5
    with torch.no_grad():
        model.conv3[0].bias.fill_(-99)
    with pytest.raises(ValueError, match="no unit of 'conv3' answers"):
        InsideBrowser(model=model, images=pictures(), layers=("conv3",))


def test_the_whole_state_stays_below_what_a_page_can_bear():
    full = InsideBrowser(book.predictions(), network(), pictures())
    size = sum(
        len(value) * 4 / 3 if isinstance(value, bytes) else len(json.dumps(value))
        for value in full.get_state().values()
    )
    assert size < 250_000


def test_each_part_may_be_left_out():
    only_photographs = InsideBrowser(book.predictions())
    assert only_photographs.layers == [] and only_photographs.square == 64
    only_units = InsideBrowser(model=network(), images=pictures(), layers=["conv2"])
    assert only_units.photographs == [] and only_units.square == 0
    assert "layers conv2" in repr(only_units) and "photographs none" in repr(only_units)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give predictions, or a model with images"),
        ({"model": network()}, "a model needs images"),
        ({"predictions": {"dog": None}}, "no photograph is called 'dog'; there are chelsea"),
        ({"model": network(), "images": torch.rand(2, 3, 28, 28)}, r"must be grey, \(N, 1, H, W\)"),
        ({"model": network(), "images": pictures(), "layers": ["conv9"]}, "no layer 'conv9'"),
        ({"model": network(), "images": pictures(), "units": 0}, "units must be .* at least 1"),
        ({"model": network(), "images": pictures(), "patches": 13}, "k=13 patches from 13 images|"
         "but there are 12"),
    ],
)  # fmt: skip
def test_bad_input_is_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        InsideBrowser(**arguments)


def test_the_fallback_tells_the_numbers(browser):
    html = browser.fallback_html()
    assert html.count("<li>") == 6
    for name, seen in book.predictions().items():
        lowest = 100 * float(seen.occlusion[64].probability.min())
        assert f"≥ {seen.target}: {lowest:.1f} %" in html, name


def test_the_repr_does_not_depend_on_the_numbers(browser):
    assert repr(browser) == (
        "InsideBrowser(photographs chelsea, coffee, camera, motorcycle, rocket, astronaut; "
        "layers conv1, conv2, conv3, conv4, conv5)"
    )


def test_the_script_reads_the_maps_and_places_the_square_as_the_library_does(node_tests, browser):
    record = browser.photographs[2]
    cases = []
    for square, at in record["maps"].items():
        occluded = book.predictions()[record["name"]].occlusion[int(square)]
        places = explain.squares(224, 224, int(square), 8)
        cases.append(
            {
                "square": int(square),
                "at": at,
                "cells": record["cells"],
                "classes": record["classes"],
                "shares": occluded.probability.flatten().tolist(),
                "winners": [name for row in occluded.winner for name in row],
                "places": [[[r.start, r.stop, c.start, c.stop] for r, c in row] for row in places],
            }
        )
    state = {"maps": list(browser.maps), "cases": cases}
    node_tests("inside_browser.test.mjs", script=InsideBrowser._esm, cases=state)
