"""The small space: what is one cell, how many there are, and the network of each."""

import itertools
import json
import pickle
import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cnnlib.inspection import count_macs, count_parameters
from cnnlib.search import (
    EDGES,
    OPERATIONS,
    SPACE,
    CellNetwork,
    CellSpace,
    SmallCell,
    WiredCell,
    build,
)
from cnnlib.search import count_parameters as closed_form

CELLS = st.tuples(*[st.sampled_from(OPERATIONS)] * len(EDGES)).map(SmallCell)


def cell(code: str) -> SmallCell:
    return SmallCell.from_code(code)


# -- what is one cell -------------------------------------------------------------------------


def test_there_are_1024_encodings_of_291_cells():
    encodings = list(SPACE.encodings())
    assert len(encodings) == len(set(encodings)) == 4**5
    assert len(SPACE.cells()) == len({each.canonical for each in encodings}) == 291
    assert set(SPACE.cells()) == {each.canonical for each in encodings}
    by_size = Counter(each.convolutions for each in SPACE.cells())
    assert [by_size[k] for k in range(6)] == [38, 90, 97, 52, 13, 1]


def polynomial(encoding: SmallCell) -> frozenset:
    """What comes out, as a count of the ways through the cell; computed unlike the library does.

    A term is an operation on the whole sum of a node, named by its edge, so that nodes are summed
    up as counts of terms. It stays as it is if the convolutions are numbered otherwise: so it is
    compared under all 120 permutations of the edges' names.
    """
    nodes: list[Counter] = [Counter({"x": 1}), Counter(), Counter(), Counter()]
    for edge, ((source, target), operation) in enumerate(
        zip(EDGES, encoding.operations, strict=True)
    ):
        before = nodes[source]
        if operation == "identity":
            nodes[target].update(before)
        elif operation != "none" and before:
            name = "avg" if operation == "avg 3x3" else edge
            nodes[target][name, frozenset(before.items())] += 1
    return frozenset(nodes[-1].items())


def renamed(terms: frozenset, names: tuple[int, ...]) -> frozenset:
    def one(term):
        if term == "x":
            return term
        name, inner = term
        return (name if name == "avg" else names[name], renamed(inner, names))

    return frozenset((one(term), count) for term, count in terms)


def test_encodings_are_the_same_cell_exactly_if_some_numbering_makes_them_the_same_sum():
    groups: dict[frozenset, set[SmallCell]] = {}
    permutations = list(itertools.permutations(range(len(EDGES))))
    for encoding in SPACE.encodings():
        terms = polynomial(encoding)
        known = next((n for names in permutations if (n := renamed(terms, names)) in groups), terms)
        groups.setdefault(known, set()).add(encoding)
    assert {frozenset(group) for group in groups.values()} == {
        frozenset(each.encodings()) for each in SPACE.cells()
    }


def test_169_encodings_let_nothing_through_and_are_one_cell():
    nothing = cell("-----")
    assert not nothing.connected and nothing.expression == "0"
    assert len(nothing.encodings()) == 169
    assert all(not each.connected for each in nothing.encodings())
    assert cell("ccc--") in nothing.encodings() and cell("c--ii").canonical != nothing


def test_a_convolution_that_counts_twice_is_not_two_convolutions():
    shared, two = cell("c-iii"), cell("cc-ii")
    assert shared.expression == "conv1(x) + conv1(x)"
    assert two.expression == "conv1(x) + conv2(x)"
    assert closed_form(two) - closed_form(shared) == 2928


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("c--i-", "-c--i"),  # another way round
        ("i-i-c", "-i--c"),  # two identities are one
        ("icc-i", "cic-c"),  # not the same
        ("c--ip", "c--i-"),  # an edge from a node that nothing reaches
        ("cp-i-", "c--i-"),  # an edge to a node that leads nowhere
        ("ciip-", "c--p-"),
    ],
)
def test_examples_of_the_same_cell(one, other):
    assert (cell(one).canonical == cell(other).canonical) is (one != "icc-i")


@given(CELLS)
def test_a_canonical_cell_is_its_own_and_has_no_idle_edge(encoding):
    canonical = encoding.canonical
    assert canonical.canonical == canonical and canonical.expression == encoding.expression
    assert encoding in canonical.encodings() and canonical.encodings()[0] == canonical
    for edge in range(len(EDGES)):
        if canonical.operations[edge] != "none":
            assert canonical.with_operation(edge, "none").canonical != canonical


# -- cells as values --------------------------------------------------------------------------


@given(CELLS)
def test_a_cell_is_five_letters_and_back_and_a_key(encoding):
    again = cell(encoding.code)
    assert again == encoding and hash(again) == hash(encoding) and {encoding: 1}[again] == 1
    assert str(encoding) == encoding.code and pickle.loads(pickle.dumps(encoding)) == encoding
    assert SmallCell(json.loads(json.dumps(encoding.operations))) == encoding


def test_edges_are_those_that_carry_something():
    assert cell("c-i-p").edges() == [(0, 1, "3x3"), (1, 2, "identity"), (2, 3, "avg 3x3")]


@given(CELLS)
def test_a_cell_has_15_neighbours_one_edge_away_and_is_a_neighbour_of_each(encoding):
    neighbours = encoding.neighbours()
    assert len(set(neighbours)) == 15
    for neighbour in neighbours:
        changed = zip(encoding.operations, neighbour.operations, strict=True)
        assert sum(a != b for a, b in changed) == 1
        assert encoding in neighbour.neighbours()


def test_every_mutation_is_as_likely_as_any_other():
    rng = random.Random(0)
    counts = Counter(cell("cip-c").mutated(rng) for _ in range(15_000))
    assert set(counts) == set(cell("cip-c").neighbours())
    assert 880 < min(counts.values()) and max(counts.values()) < 1_120  # 1,000 +- 4 sd


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: cell("cc-p"), "5 letters.*'cc-p'"),
        (lambda: cell("cc-px"), "5 letters out of '-icp'.*'cc-px'"),
        (lambda: SmallCell(("none",) * 4), "5 operations.*0-1, 0-2, 1-2, 1-3, 2-3"),
        (lambda: SmallCell(("none",) * 4 + ("5x5",)), "'avg 3x3'; got .*5x5"),
        (lambda: cell("-----").with_operation(5, "none"), "0 to 4; got 5"),
        (lambda: CellSpace(1441), "at least 1,442.*got 1,441"),
    ],
)
def test_what_is_no_cell_or_space_is_refused_in_words(wrong, error):
    with pytest.raises(ValueError, match=error):
        wrong()


@pytest.mark.parametrize("cap", [True, 2e4, "many"])
def test_a_cap_must_be_a_whole_number(cap):
    with pytest.raises(TypeError, match="whole number"):
        CellSpace(cap)


# -- the space under a cap --------------------------------------------------------------------


def test_a_cap_leaves_the_cells_below_it():
    capped = CellSpace(10_226)
    assert len(capped.cells()) == 38 + 90 + 97 + 52
    assert cell("ciicc") in capped and cell("ccpcc") not in capped
    assert all(closed_form(each) <= 10_226 for each in capped.encodings())
    assert "ciicc" not in capped  # a code is not a cell


def test_a_capped_space_draws_and_mutates_below_the_cap():
    capped, rng = CellSpace(4_370), random.Random(0)
    drawn = [capped.random(rng) for _ in range(300)]
    assert {each.convolutions for each in drawn} == {0, 1}
    start = cell("-i--c")
    changed = {capped.mutated(start, rng) for _ in range(500)}
    assert changed == {each for each in start.neighbours() if each in capped}


# -- the network ------------------------------------------------------------------------------


def test_the_closed_form_counts_the_parameters_of_every_network():
    with torch.device("meta"):
        for each in SPACE.cells():
            assert count_parameters(CellNetwork(each)) == closed_form(each)
    assert closed_form(cell("-----")) == 1_442
    assert closed_form(cell("ccccc")) == 16_082
    other = CellNetwork(cell("cc-pi"), num_classes=7, in_channels=3, widths=(4, 6))
    assert count_parameters(other) == closed_form(cell("cc-pi"), (4, 6), 7, 3)


def test_a_convolution_costs_this_many_multiply_adds():
    frame = 14 * 14 * 9 * 8 + 7 * 7 * 9 * 8 * 16 + 16 * 10
    for each in SPACE.cells()[::40]:
        cells = each.convolutions * (14 * 14 * 9 * 8 * 8 + 7 * 7 * 9 * 16 * 16)
        assert count_macs(CellNetwork(each), (1, 14, 14)) == frame + cells


def test_a_cell_computes_its_expression():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    module = WiredCell(cell("ccpic"), 3).double().eval()
    conv = {name: part for name, part in module.operations.items()}
    average = torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    node1 = conv["0-1"](x)
    node2 = conv["0-2"](x) + average(node1)
    torch.testing.assert_close(module(x), node1 + conv["2-3"](node2))
    assert cell("ccpic").expression == "conv1(avg(conv2(x)) + conv3(x)) + conv2(x)"


def test_average_pooling_counts_only_the_pixels_that_are_there():
    ones = torch.ones(1, 2, 4, 4)
    torch.testing.assert_close(WiredCell(cell("p--i-"), 2)(ones), ones)


def test_nothing_gets_through_the_empty_cell_but_gradients_that_are_zero():
    model = CellNetwork(cell("-----")).eval()
    assert len(set(model(torch.randn(5, 1, 14, 14))[:, 0].tolist())) == 1
    model.train()(torch.randn(5, 1, 14, 14)).sum().backward()
    assert model.stem[0].weight.grad.abs().sum() == 0
    assert model.fc.bias.grad.abs().sum() > 0


@given(CELLS)
def test_all_encodings_of_a_cell_build_the_same_network(encoding):
    one, other = build(encoding, seed=3), build(encoding.canonical, seed=3)
    assert list(one.state_dict()) == list(other.state_dict())
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(one.eval()(images), other.eval()(images))


def test_every_parameter_of_a_connected_cell_gets_a_gradient():
    torch.manual_seed(0)
    images = torch.randn(8, 1, 14, 14)
    for each in SPACE.cells()[1::20]:
        model = CellNetwork(each)
        torch.nn.functional.cross_entropy(model(images), torch.arange(8)).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters()), each


def test_cells_that_differ_by_the_linearity_of_pooling_compute_the_same():
    """avg(x + conv1(x)) and avg(x) + avg(conv1(x)): two cells of the space, one function."""
    one, other = cell("cii-p"), cell("ci-pp")
    assert one.expression == "avg(conv1(x) + x)"
    assert other.expression == "avg(conv1(x)) + avg(x)"
    images = torch.randn(3, 1, 14, 14, dtype=torch.float64)
    first, second = (build(each, 0, torch.float64).eval() for each in (one, other))
    torch.testing.assert_close(first(images), second(images))


def test_the_weights_of_a_seed_are_the_same_in_every_dtype_and_leave_no_trace():
    before, state = torch.get_default_dtype(), torch.get_rng_state()
    single, double = (build(cell("cc-pp"), 5, dtype) for dtype in (torch.float32, torch.float64))
    assert torch.equal(single.fc.weight, double.fc.weight.float())
    assert torch.get_default_dtype() == before and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(build(cell("cc-pp"), 6).fc.weight, single.fc.weight)


def test_the_network_runs_on_meta_and_wants_a_cell():
    with torch.device("meta"):
        assert CellNetwork(cell("ccccc"))(torch.empty(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(TypeError, match="SmallCell.*got 'ccccc'"):
        CellNetwork("ccccc")
