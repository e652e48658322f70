"""Strategies and the loop that carries them out, on the table and on functions made up here."""

import contextlib
import io
import json
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlib.search import (
    EDGES,
    OPERATIONS,
    SPACE,
    STRATEGIES,
    CellSpace,
    RandomSearch,
    RegularizedEvolution,
    Reinforce,
    SmallCell,
    Step,
    Trace,
    load_table,
    mean_best,
    repeat,
    run,
)

KINDS = list(STRATEGIES.values())


def cell(code: str) -> SmallCell:
    return SmallCell.from_code(code)


def convolutions(cell: SmallCell, seed: int) -> float:
    """An objective that only likes convolutions."""
    return cell.operations.count("3x3") / 5


class Counted:
    """An objective that remembers its calls, and may stop at one of them."""

    def __init__(self, stop: int | None = None):
        self.calls, self.stop = [], stop

    def __call__(self, cell: SmallCell, seed: int) -> float:
        if len(self.calls) == self.stop:
            raise KeyboardInterrupt
        self.calls.append((cell, seed))
        return convolutions(cell, seed) + random.Random(seed).random() / 10


# -- all strategies ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_search_repeats_with_its_seed_and_differs_with_another(kind):
    table = load_table()
    one, again, other = (run(kind(seed=seed), table, 30) for seed in (1, 1, 2))
    assert one == again and one.codes != other.codes


@pytest.mark.parametrize("kind", KINDS)
def test_a_strategy_that_is_told_the_same_asks_the_same_whoever_asked_before(kind):
    table = load_table()
    trace = run(kind(seed=4), table, 25)
    fresh = kind(seed=4)
    for step in trace.steps[:-1]:
        fresh.tell(step.cell, step.accuracy)
    assert fresh.ask(24) == fresh.ask(24) == trace.steps[-1].cell


@pytest.mark.parametrize("kind", KINDS)
def test_a_strategy_keeps_to_its_space(kind):
    capped = CellSpace(4_370)
    trace = run(kind(capped, seed=0), convolutions, 60)
    assert all(step.cell in capped for step in trace.steps)
    with pytest.raises(ValueError, match="ccccc.*not in CellSpace"):
        kind(capped).tell(cell("ccccc"), 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_makes_no_sense_is_refused(kind):
    with pytest.raises(ValueError, match="finite number; got nan for cc-pp"):
        kind().tell(cell("cc-pp"), math.nan)
    with pytest.raises(TypeError, match="seed.*'one'"):
        kind(seed="one")


def test_settings_are_names_and_numbers():
    assert {name: kind().settings() for name, kind in STRATEGIES.items()} == {
        "random": {"strategy": "random", "seed": 0},
        "evolution": {"strategy": "evolution", "seed": 0, "population": 10, "sample": 4},
        "reinforce": {"strategy": "reinforce", "seed": 0, "lr": 2.0, "decay": 0.9},
    }


# -- each of them -----------------------------------------------------------------------------


def test_random_search_draws_all_encodings_alike():
    search = RandomSearch(seed=0)
    drawn = [search.ask().code for _ in range(4_000)]
    for edge in range(len(EDGES)):
        for letter in "-icp":
            assert 890 < sum(code[edge] == letter for code in drawn) < 1_110  # 1,000 +- 4 sd


def test_evolution_begins_with_random_cells_then_mutates_the_best_of_a_sample():
    search = RegularizedEvolution(seed=0, population=5, sample=5)
    for number in range(5):
        search.tell(search.ask(), number / 10)
    for _ in range(50):  # asking changes nothing: all see the same population
        child = search.ask()
        parents = [m for m, _ in search.population if child in m.neighbours()]
        assert parents
    best = search.population[-1][0]
    children = [search.ask() for _ in range(300)]
    of_best = sum(child in best.neighbours() for child in children) / len(children)
    assert of_best > 0.5  # the best is among five draws of five with a chance of .67


def test_a_tournament_of_one_chooses_a_parent_at_random():
    search = RegularizedEvolution(seed=0, population=2, sample=1)
    good, bad = cell("ccccc"), cell("iiiii")
    search.tell(good, 1.0)
    search.tell(bad, 0.0)
    children = [search.ask() for _ in range(400)]
    assert 150 < sum(child in bad.neighbours() for child in children) < 250


def test_the_oldest_dies_even_if_it_is_the_best():
    search = RegularizedEvolution(seed=0, population=3, sample=2)
    codes = ["ccccc", "-----", "iiiii", "ppppp"]
    for code, accuracy in zip(codes, (0.9, 0.1, 0.2, 0.3), strict=True):
        search.tell(cell(code), accuracy)
    assert [member.code for member, _ in search.population] == codes[1:]
    assert [accuracy for _, accuracy in search.population] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(("population", "sample"), [(4, 5), (4, 0), (0, 0)])
def test_a_tournament_must_fit_into_the_population(population, sample):
    with pytest.raises(ValueError, match=f"sample={sample}, population={population}"):
        RegularizedEvolution(population=population, sample=sample)


def test_the_policy_begins_even_and_its_chances_sum_up_to_one():
    search = Reinforce()
    assert search.policy() == [[0.25] * 4] * 5
    trace = run(search, convolutions, 100)
    for chances in search.policy():
        assert sum(chances) == pytest.approx(1) and chances[2] > 0.5  # it likes convolutions
    assert statistics.mean(trace.accuracies[-20:]) > statistics.mean(trace.accuracies[:20]) + 0.3


def test_a_step_of_reinforce_is_the_gradient_of_the_log_of_the_chance():
    """Compared with differences: of log P, for every number of the policy."""
    search = Reinforce(lr=0.7, decay=0.6)
    search.tell(cell("cip-c"), 0.4)  # the first report only sets the baseline
    assert search.baseline == 0.4 and search.policy() == [[0.25] * 4] * 5
    search.tell(cell("ccipp"), 0.9)
    assert search.baseline == pytest.approx(0.6 * 0.4 + 0.4 * 0.9)

    def log_chance(logits, cell):
        total = 0.0
        for row, operation in zip(logits, cell.operations, strict=True):
            total += row[OPERATIONS.index(operation)] - math.log(sum(map(math.exp, row)))
        return total

    before = [list(row) for row in search._logits]
    baseline, told = search.baseline, cell("pp-ci")
    search.tell(told, 0.1)
    for edge in range(5):
        for place in range(4):
            up, down = ([list(row) for row in before] for _ in range(2))
            up[edge][place] += 1e-6
            down[edge][place] -= 1e-6
            slope = (log_chance(up, told) - log_chance(down, told)) / 2e-6
            moved = search._logits[edge][place] - before[edge][place]
            assert moved == pytest.approx(0.7 * (0.1 - baseline) * slope, abs=1e-8)


def test_reinforce_draws_by_its_policy():
    search = Reinforce(seed=0)
    search._logits[0] = [0.0, math.log(3), -math.inf, -math.inf]
    drawn = [search.ask().operations[0] for _ in range(2_000)]
    assert set(drawn) == {"none", "identity"}
    assert 1_420 < drawn.count("identity") < 1_580  # 1,500 +- 4 sd


@pytest.mark.parametrize(("lr", "decay"), [(0, 0.9), (-1, 0.9), (math.inf, 0.9), (1, 1), (1, -0.1)])
def test_a_rate_or_decay_out_of_range_is_refused(lr, decay):
    with pytest.raises(ValueError, match="positive lr, and a decay from 0 to below 1"):
        Reinforce(lr=lr, decay=decay)


# -- the loop ---------------------------------------------------------------------------------


def test_every_evaluation_has_its_number_as_seed_and_is_traced():
    objective = Counted()
    trace = run(RandomSearch(), objective, 12)
    assert [seed for _, seed in objective.calls] == list(range(12))
    assert [step.cell for step in trace.steps] == [cell for cell, _ in objective.calls]
    assert [step.number for step in trace.steps] == list(range(12)) and len(trace) == 12


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_search_keeps_what_was_evaluated_and_ends_as_if_it_never_was(kind):
    whole = run(kind(seed=3), Counted(), 20)
    trace = Trace()
    with pytest.raises(KeyboardInterrupt):
        run(kind(seed=3), Counted(stop=13), 20, trace=trace)
    assert trace.steps == whole.steps[:13]
    rest = Counted()
    stored = Trace.from_dict(json.loads(json.dumps(trace.to_dict())))
    assert run(kind(seed=3), rest, 20, trace=stored) == whole
    assert len(rest.calls) == 7  # nothing was evaluated again


def test_a_search_with_a_larger_budget_begins_with_the_smaller_one():
    short = run(Reinforce(seed=1), convolutions, 15)
    assert run(Reinforce(seed=1), convolutions, 30).steps[:15] == short.steps


def test_a_used_strategy_is_refused():
    strategy = RandomSearch()
    run(strategy, convolutions, 3)
    with pytest.raises(ValueError, match="asked 3 times before: pass a fresh one"):
        run(strategy, convolutions, 3)


@pytest.mark.parametrize("budget", [0, -1, 2.5, True])
def test_a_budget_is_a_positive_whole_number(budget):
    with pytest.raises(ValueError, match="evaluations must be a whole number, at least 1"):
        run(RandomSearch(), convolutions, budget)


def test_an_objective_that_gives_no_number_stops_the_search_by_name():
    with pytest.raises(ValueError, match="finite number; got nan for"):
        run(RandomSearch(), lambda cell, seed: math.nan, 3)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_search_says_each_new_best_where_somebody_watches_and_nothing_in_the_book(
    capsys, monkeypatch
):
    monkeypatch.delenv("CNNLIB_BOOK", raising=False)
    with contextlib.redirect_stderr(Terminal()) as terminal:
        trace = run(RandomSearch(seed=2), convolutions, 10)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(set(trace.best_so_far)) > 1
    number = trace.best.number
    assert f"evaluation {number + 1}/10: {trace.best.cell} " in lines[-1]
    assert lines[-1].endswith(f"{100 * trace.best.accuracy:.2f} %, the best so far")
    assert "0/10 [" in terminal.getvalue()
    monkeypatch.setenv("CNNLIB_BOOK", "1")
    with contextlib.redirect_stderr(Terminal()) as terminal:
        run(RandomSearch(seed=2), convolutions, 10)
    assert capsys.readouterr().out == terminal.getvalue() == ""


# -- traces -----------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_best_so_far_never_falls_and_ends_with_the_best(values):
    trace = Trace([Step(n, cell("cc-pp"), value) for n, value in enumerate(values)])
    best = trace.best_so_far
    assert best == sorted(best) and best[-1] == max(values) == trace.best.accuracy
    assert trace.best.number == values.index(max(values))


def test_encodings_of_one_cell_are_one_distinct_cell():
    codes = ["-c--i", "c--i-", "cc-pp"]
    trace = Trace([Step(n, cell(code), 0.5) for n, code in enumerate(codes)])
    assert trace.distinct == 2 and trace.codes == codes
    assert str(trace) == "3 evaluations of 2 cells; best -c--i (50.00 %, evaluation 1)"


def test_an_empty_trace_has_no_best():
    assert str(Trace()) == "nothing evaluated yet" and Trace().best_so_far == []
    with pytest.raises(ValueError, match="empty"):
        _ = Trace().best


@pytest.mark.parametrize(
    "record", [{}, {"steps": [[1, 2]]}, {"steps": [[0, "cc-p", 0.1]]}, {"steps": 3}]
)
def test_what_is_no_record_of_a_trace_is_refused(record):
    with pytest.raises(ValueError, match="record of a trace|code of a cell|unpack"):
        Trace.from_dict(record)


# -- many searches on the table ---------------------------------------------------------------


def test_repeats_have_seeds_of_their_own_for_strategy_and_noise():
    objective = Counted()
    traces = repeat(lambda seed: RandomSearch(seed=seed), objective, 4, repeats=3)
    assert [seed for _, seed in objective.calls] == list(range(12))
    assert len({tuple(trace.codes) for trace in traces}) == 3
    assert mean_best(traces)[-1] == pytest.approx(
        statistics.mean(trace.best.accuracy for trace in traces)
    )


def test_evolution_and_reinforce_beat_random_search_in_the_mean_on_the_table():
    """Over 300 searches of 60; a single search proves nothing: many lose to random search."""
    table = load_table()
    means, finals = {}, {}
    for name, kind in STRATEGIES.items():
        traces = repeat(lambda seed, kind=kind: kind(seed=seed), table, 60, repeats=300)
        means[name], finals[name] = mean_best(traces), [t.best.accuracy for t in traces]
    for name in ("evolution", "reinforce"):
        assert means[name][39] > means["random"][39] + 0.003
        assert means[name][59] > means["random"][59] + 0.003
        pairs = zip(finals[name], finals["random"], strict=True)
        assert sum(a < b for a, b in pairs) > 30
    assert len(SPACE.cells()) == len(table)
