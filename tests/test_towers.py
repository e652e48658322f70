"""AlexNet's towers on paper: arrows cross where the model's layers see both halves."""

import matplotlib

matplotlib.use("Agg")

import pytest
import torch

from cnnlib import plots
from cnnlib.models import create_model


def drawn(name):
    with torch.device("meta"):
        return plots.towers(create_model(name))


def arrows(figure, style):
    [axis] = figure.axes
    found = [text.arrow_patch for text in axis.texts if getattr(text, "arrow_patch", None)]
    return [arrow for arrow in found if arrow.get_linestyle() == style]


def test_dashed_arrows_cross_into_conv3_fc6_and_fc7_only():
    figure = drawn("alexnet")
    crossing = arrows(figure, "--")
    assert len(crossing) == 6  # two for each of the three
    texts = figure.axes[0].texts
    ends = {round(t.xy[0]) for t in texts if getattr(t, "arrow_patch", None) in crossing}
    assert ends == {3, 6, 7}


def test_every_layer_has_its_name_once_and_half_of_its_maps_in_each_tower():
    texts = [text.get_text() for text in drawn("alexnet").axes[0].texts]
    for name in ("image", "conv1", "conv5", "fc6", "fc8"):
        assert texts.count(name) == 1
    assert texts.count("192@13×13") == 4 and texts.count("2048") == 4 and texts.count("1000") == 1


@pytest.mark.parametrize("name", ["alexnet_ungrouped", "alexnet_owt"])
def test_a_network_of_one_tower_is_refused(name):
    with pytest.raises(ValueError, match="two towers; this network has 8 layers, and conv2 1"):
        drawn(name)


def test_a_network_with_layers_removed_is_refused():
    with pytest.raises(ValueError, match="this network has 7 layers"):
        plots.towers(create_model("alexnet", num_classes=4, hidden_units=8, removed=(7,)))
