"""The records of the papers hold together, and agree with the networks that exist."""

import re
from pathlib import Path

import pytest
import torch

from cnnlib import papers
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model, lenet, list_models

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("key", papers.PAPERS)
def test_every_paper_is_in_the_bibliography(key):
    entry = re.search(
        rf"@\w+{{{papers.paper(key).cite},(.*?)\n}}", (ROOT / "references.bib").read_text(), re.S
    )
    assert entry, papers.paper(key).cite
    assert papers.paper(key).url in entry[1]


@pytest.mark.parametrize("key", papers.PAPERS)
def test_the_figures_are_those_of_the_network_once_it_exists(key):
    network = papers.paper(key).network
    if network.model not in list_models():
        pytest.skip(f"{network.model} is still to be written")
    with torch.device("meta"):
        model = create_model(network.model)
    assert count_parameters(model) == network.parameters
    assert count_macs(model, network.input) == network.macs


def test_papers_follow_the_chapters():
    chapters = [p.chapter for p in papers.PAPERS.values()]
    assert chapters == sorted(chapters)


def test_the_layers_of_lenet_add_up_to_what_the_paper_prints():
    assert sum(layer.parameters for layer in papers.LENET5_LAYERS.values()) == 60_000
    assert sum(layer.connections for layer in papers.LENET5_LAYERS.values()) == 340_908
    ours = lenet.count_connections(lenet.lenet5())
    assert ours == {name: layer.connections for name, layer in papers.LENET5_LAYERS.items()}
