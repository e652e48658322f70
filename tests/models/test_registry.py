import inspect

import pytest
import torch
from torch import nn

from cnnlib.models import MODELS, create_model, list_models


@pytest.mark.parametrize("name", MODELS)
def test_every_registered_network_can_be_built(name):
    with torch.device("meta"):
        model = create_model(name)
    assert isinstance(model, MODELS[name][0])


@pytest.mark.parametrize("name", MODELS)
def test_source_of_every_network_can_be_shown(name):
    assert inspect.getsource(MODELS[name][0]).startswith("class ")


def test_list_is_in_order_of_publication_and_takes_a_pattern():
    assert list_models() == list(MODELS)
    assert list_models("*_modern") == [name for name in MODELS if name.endswith("_modern")]
    assert list_models("no such network") == []


def test_arguments_reach_the_network():
    model = create_model("lenet5_modern", num_classes=7, in_channels=3, batch_norm=True)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_options_override_those_of_the_variant():
    model = create_model("lenet5_modern", subsampling="average")
    assert isinstance(model.s2, nn.AvgPool2d)


def test_building_one_network_does_not_change_the_next():
    before = {name: dict(variant) for name, (_, variant) in MODELS.items()}
    create_model("lenet5_modern", num_classes=3, output="linear", batch_norm=True)
    assert {name: variant for name, (_, variant) in MODELS.items()} == before


def test_a_typo_in_a_name_gets_the_nearest_one():
    with pytest.raises(ValueError, match="unknown model 'LeNet_5'.*did you mean 'lenet5'"):
        create_model("LeNet_5")


def test_a_name_like_no_other_is_sent_to_the_list():
    with pytest.raises(ValueError, match=rf"list_models\(\) names all {len(MODELS)}") as error:
        create_model("qqqq")
    assert "did you mean" not in str(error.value)


def test_a_typo_in_an_option_gets_the_nearest_and_all_of_them():
    with pytest.raises(ValueError, match="lenet5 has no option 'batchnorm'") as error:
        create_model("lenet5", batchnorm=True)
    assert "did you mean 'batch_norm'?" in str(error.value)
    assert "there are num_classes, in_channels, connections" in str(error.value)


def test_a_wrong_value_is_refused_by_the_network():
    with pytest.raises(ValueError, match="one of table, full"):
        create_model("lenet5", connections="dense")
