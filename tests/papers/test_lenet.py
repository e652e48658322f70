"""What is printed of LeNet-5 adds up, and is what our network has."""

from cnnlib.models import lenet
from cnnlib.papers.lenet import LAYERS


def test_the_layers_of_lenet_add_up_to_what_the_paper_prints():
    assert sum(layer.parameters for layer in LAYERS.values()) == 60_000
    assert sum(layer.connections for layer in LAYERS.values()) == 340_908
    ours = lenet.count_connections(lenet.lenet5())
    assert ours == {name: layer.connections for name, layer in LAYERS.items()}
