"""The records of the papers hold together, and agree with the networks that exist."""

import math
import re
from pathlib import Path

import pytest
import torch

from cnnlib import papers
from cnnlib.inspection import count_macs, count_parameters
from cnnlib.models import create_model
from cnnlib.published import parse, published

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", papers.PAPERS)
def test_every_paper_is_in_the_bibliography(key):
    entry = re.search(
        rf"@\w+{{{papers.paper(key).cite},(.*?)\n}}", (ROOT / "references.bib").read_text(), re.S
    )
    assert entry, papers.paper(key).cite
    assert papers.paper(key).url in entry[1]


@pytest.mark.parametrize("key", papers.PAPERS)
def test_the_figures_are_those_of_the_network(key):
    network = papers.paper(key).network
    record = published(network.model)
    assert network.input == record.input and record.paper == key
    with torch.device("meta"):
        model = create_model(network.model)
    counts = count_parameters(model), count_macs(model, network.input)
    if record.parameters is not None:
        assert (network.parameters, network.macs) == counts
    else:  # as the paper rounds them
        assert network.parameters == round(parse(record.printed_parameters).value)
        assert network.macs == round(parse(record.printed_macs).value)
        assert math.isclose(network.parameters, counts[0], rel_tol=0.01)
        assert math.isclose(network.macs, counts[1], rel_tol=0.01)


@pytest.mark.parametrize("key", papers.PAPERS)
def test_every_network_has_an_error_with_its_protocol(key):
    network = papers.paper(key).network
    assert 0 < network.error < 50
    assert re.match(r"(MNIST|CIFAR-10|ILSVRC-201[24]) (test|validation), ", network.protocol)


def test_errors_are_top_5_where_the_paper_prints_it():
    assert papers.paper("vgg").network.error == 8.8
    assert papers.paper("mobilenet").network.error == 29.4
    assert "top-1" in papers.paper("mobilenet").network.protocol


def test_alexnet_is_compared_by_its_error_on_the_data_of_the_others():
    assert published("alexnet").top5_error == 17.0 and "2010" in published("alexnet").protocol
    network = papers.paper("alexnet").network
    assert network.error == 18.2 and network.protocol.startswith("ILSVRC-2012 validation")


def test_a_network_without_a_published_error_is_no_papers_network():
    with pytest.raises(ValueError, match="no error is published of lenet5_modern"):
        _ = papers.Network("LeNet", "lenet5_modern").error
    with pytest.raises(ValueError, match="neither a count nor a printed figure"):
        _ = papers.Network("LeNet", "lenet5_modern").macs


def test_each_chapter_is_about_the_first_of_its_papers():
    main = papers.by_chapter()
    chapters = [paper.chapter for paper in papers.PAPERS.values()]
    assert [paper.chapter for paper in main.values()] == sorted(set(chapters))
    assert {"senet", "mobilenet"} <= set(main)
    assert main.keys().isdisjoint({"resnext", "mobilenet_v2", "mobilenet_v3"})


def test_papers_follow_the_chapters():
    chapters = [p.chapter for p in papers.PAPERS.values()]
    assert chapters == sorted(chapters)


def test_each_chapter_has_a_claim_and_only_its_main_paper_names_it():
    main = set(papers.by_chapter())
    assert {key for key, paper in papers.PAPERS.items() if paper.claim} == main
    for key in main:
        assert re.fullmatch(r"[A-Z][^.?!]{30,98}\.", papers.paper(key).claim), key


@pytest.mark.parametrize(
    "key, measure",
    [("lenet", "error"), ("alexnet", "top-5 error"), ("resnet", "top-5 error"),
     ("preact_resnet", "error"), ("mobilenet", "top-1 error")],
)  # fmt: skip
def test_an_error_says_how_many_guesses_it_grants(key, measure):
    assert papers.paper(key).network.measure == measure
