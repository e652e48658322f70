"""One search by several processes: nothing lost, nothing counted twice, and errors in words.

Starting two processes takes seconds, so that one start, of workers.py, serves many tests.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from cnnlib import cli, search
from cnnlib.search import RegularizedEvolution, SmallCell, load_table, run, shared
from tests.search.workers import TRIALS, Watched, value

WORKERS = Path(__file__).with_name("workers.py")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")


class Made:
    """An objective of this process; may do something in a certain evaluation."""

    def __init__(self, at: int | None = None, do: Any = None, name: str = "made"):
        self.at, self.do, self.name, self.seeds = at, do, name, []

    def settings(self) -> dict[str, Any]:
        return {"objective": self.name}

    def __call__(self, cell: SmallCell, seed: int) -> float:
        self.seeds.append(seed)
        if self.do is not None and (self.at is None or len(self.seeds) == self.at):
            result = self.do()
            if result is not None:
                return result
        return value(cell, seed)


def interrupt() -> None:
    raise KeyboardInterrupt


def fail() -> None:
    raise RuntimeError("out of memory")


@pytest.fixture
def storage(tmp_path):
    return tmp_path / "cells.journal"


def trials_of(storage) -> list[optuna.trial.FrozenTrial]:
    with shared._quiet_optuna(), shared._reached(storage) as opened:
        return opened.get_all_trials(opened.get_study_id_from_name(shared.STUDY))


# -- two processes, one of them killed --------------------------------------------------------


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """What workers.py reports, by storage and scene."""
    folder = tmp_path_factory.mktemp("workers")
    line = [sys.executable, str(WORKERS), str(folder), "cells.journal", "cells.db"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=WORKERS.parents[2])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_counted_once(scene: dict[str, Any], trials: int) -> None:
    """So many numbers, each finished once with its own value, and all of it in the trace."""
    rows = scene["trials"]
    assert [row["number"] for row in rows[:trials]] == list(range(trials))
    assert all(row["state"] == "COMPLETE" for row in rows[:trials])
    assert all(row["state"] == "WAITING" for row in rows[trials:])  # two added one at once
    for row in rows[:trials]:
        cell = SmallCell.from_code(row["cell"])
        assert list(cell.operations) == row["params"] and row["value"] == value(cell, row["number"])
    assert sorted(number for number, _, _ in scene["trace"]) == list(range(trials))
    for number, code, accuracy in scene["trace"]:
        assert (code, accuracy) == (rows[number]["cell"], rows[number]["value"])
    # a trial was evaluated for one cell only, whoever did it
    assert len({(seed, code) for _, _, seed, code in scene["log"]}) == trials


@POSIX
@pytest.mark.parametrize("name", ["cells.journal", "cells.db"])
def test_a_worker_is_killed_in_a_trial_and_the_other_does_it(scenes, name):
    scene = scenes[f"{name}: killed"]
    assert scene["codes"] == [-signal.SIGKILL, 0]
    check_counted_once(scene, TRIALS)
    ends = [int(seed) for _, what, seed, _ in scene["log"] if what == "ends"]
    assert sorted(ends) == list(range(TRIALS))  # nothing was evaluated to the end twice
    begun = [
        int(seed) for who, what, seed, _ in scene["log"] if (who, what) == ("victim", "begins")
    ]
    (taken_over,) = [row["number"] for row in scene["trials"] if row["workers"] == 2]
    assert taken_over == begun[-1] and len(begun) == 3
    assert ["other", "ends", str(taken_over)] in [line[:3] for line in scene["log"]]
    assert {who for who, what, _, _ in scene["log"] if what == "ends"} == {"victim", "other"}


@POSIX
@pytest.mark.parametrize("name", ["cells.journal", "cells.db"])
def test_a_worker_that_was_only_asleep_is_not_counted_beside_the_one_who_took_over(scenes, name):
    scene = scenes[f"{name}: asleep"]
    assert scene["codes"] == [0, 0]
    check_counted_once(scene, 4)
    ends = [int(seed) for _, what, seed, _ in scene["log"] if what == "ends"]
    assert len(ends) == 5 and set(ends) == {0, 1, 2, 3}  # one was evaluated by both


@POSIX
@pytest.mark.parametrize("name", ["cells.journal", "cells.db"])
def test_a_study_whose_workers_are_all_dead_is_finished_by_a_later_one(scenes, name):
    scene = scenes[f"{name}: all killed"]
    assert scene["codes"] == [-signal.SIGKILL, -signal.SIGKILL, 0]
    check_counted_once(scene, 6)
    assert sum(row["workers"] == 2 for row in scene["trials"]) == 2


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("name", ["cells.journal", "cells.db"])
def test_workers_that_are_killed_at_any_moment_lose_nothing(tmp_path, name):
    kills = 20
    line = [sys.executable, str(WORKERS), str(tmp_path), name, "--kills", str(kills)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=900, cwd=WORKERS.parents[2])
    assert done.returncode == 0, done.stderr
    scene = json.loads(done.stdout)[f"{name}: at random"]
    assert scene["codes"] == [-signal.SIGKILL] * 2 * kills + [0, 0], done.stderr
    rows = scene["trials"][: 3 * kills]
    assert [row["state"] for row in rows] == ["COMPLETE"] * 3 * kills
    check_counted_once(scene, 3 * kills)


@POSIX
@pytest.mark.slow
def test_two_commands_share_a_search_with_a_database_server(tmp_path):
    """Against a server of one's own: CNNLIB_TEST_DATABASE names an empty database's URL."""
    url = os.environ.get("CNNLIB_TEST_DATABASE")
    if url is None:
        pytest.skip("CNNLIB_TEST_DATABASE is not set")
    command = [sys.executable, "-m", "cnnlib", "search", url, "--objective", "table"]
    command += ["--trials", "15", "--quiet"]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(worker.communicate(timeout=300)[1], worker.returncode) for worker in both] == [
        ("", 0),
        ("", 0),
    ]
    assert sorted(step.number for step in search.trace(url).steps) == list(range(15))


# -- one process ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cells.journal", "cells.db"])
def test_one_worker_finds_what_a_search_in_memory_finds(tmp_path, name):
    found = search.work(tmp_path / name, 13, objective="table", seed=5)
    assert found == run(RegularizedEvolution(seed=5), load_table(), 13)
    assert search.trace(tmp_path / name) == found


def test_a_study_that_is_complete_is_left_as_it_is_and_may_grow(storage):
    search.work(storage, 5, objective=Made())
    again = Made()
    assert len(search.work(storage, objective=again)) == 5 and again.seeds == []
    assert len(search.work(storage, 3, objective=again)) == 5 and again.seeds == []
    grown = search.work(storage, 8, objective=again)
    assert again.seeds == [5, 6, 7] and len(grown) == 8
    assert grown == run(RegularizedEvolution(), value, 8)


def test_who_joins_need_not_repeat_the_settings(storage):
    given = {"strategy": "reinforce", "objective": "table", "max_parameters": 10_226, "seed": 3}
    search.work(storage, 4, **given)
    found = search.work(storage, 9)
    space = search.CellSpace(10_226)
    assert found == run(search.Reinforce(space, 3), load_table(), 9)


def test_the_cells_are_parameters_of_the_trials_for_optunas_own_tools(storage):
    search.work(storage, 6, objective="table")
    backend = optuna.storages.journal.JournalFileBackend(str(storage))
    study = optuna.load_study(study_name="cells", storage=optuna.storages.JournalStorage(backend))
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    best = study.best_trial
    cell = SmallCell.from_code(best.user_attrs["cell"])
    assert tuple(best.params[f"edge {a}-{b}"] for a, b in search.EDGES) == cell.operations
    assert best.value == max(search.trace(storage).accuracies)


def test_ctrl_c_puts_the_trial_back_and_blames_nobody(storage):
    for _ in range(shared.ATTEMPTS + 1):
        with pytest.raises(KeyboardInterrupt):
            search.work(storage, 3, objective=Made(do=interrupt))
        (trial,) = trials_of(storage)
        assert trial.state == optuna.trial.TrialState.WAITING
        assert trial.user_attrs["workers"] == []
    done = Made()
    assert len(search.work(storage, objective=done)) == 3 and done.seeds == [0, 1, 2]


def test_a_trial_that_fails_again_and_again_is_given_up_with_its_reason(storage, caplog):
    for _ in range(shared.ATTEMPTS):
        with pytest.raises(RuntimeError, match="out of memory"):
            search.work(storage, 3, objective=Made(do=fail))
    assert trials_of(storage)[0].state == optuna.trial.TrialState.FAIL
    with caplog.at_level(logging.WARNING):
        found = search.work(storage, objective=Made())
    assert [step.number for step in found.steps] == [1, 2]
    assert "[0] were given up after 3 attempts each" in caplog.text
    assert "RuntimeError: out of memory" in caplog.text


def test_a_failure_may_pass(storage):
    with pytest.raises(RuntimeError):
        search.work(storage, 4, objective=Made(at=3, do=fail))
    assert search.work(storage, objective=Made()) == run(RegularizedEvolution(), value, 4)


def test_a_result_that_is_no_number_is_a_failure(storage):
    with pytest.raises(ValueError, match="the objective gave nan for"):
        search.work(storage, 2, objective=Made(do=lambda: float("nan")))


def test_a_worker_shows_it_is_alive_while_it_evaluates(storage):
    import time

    seen = []

    def look() -> None:
        for _ in range(2):
            time.sleep(0.3)
            seen.append(trials_of(storage)[0].user_attrs["alive"])

    search.work(storage, 1, objective=Made(do=look), heartbeat=0.05, patience=1.0)
    assert len(set(seen)) == 2


def test_a_worker_who_is_taken_for_dead_before_it_chose_a_cell_goes_on_with_the_next(
    storage, monkeypatch
):
    """Somebody else finishes its trial while it still asks its strategy."""
    quick, asked = Made(), []

    class Slow(RegularizedEvolution):
        def ask(self, number=None):
            asked.append(number)
            if asked.count(1) == 1 and number == 1:
                with shared._quiet_optuna(), shared._reached(storage) as opened:
                    other = shared._Study(opened, shared.STUDY, "here")
                    other.join({"objective": quick}, None)
                    other.put_back(other.trials()[1])
                    shared._Worker(other, 1.0, 9.0)._take_one(other.trials(), 4, Silent())
            return super().ask(number)

    class Silent:
        def say(self, line):
            pass

    monkeypatch.setitem(shared.STRATEGIES, "evolution", Slow)
    mine = Made()
    found = search.work(storage, 4, objective=mine)
    assert quick.seeds == [1] and mine.seeds == [0, 2, 3]
    assert sorted(step.number for step in found.steps) == [0, 1, 2, 3]


def test_a_result_for_another_cell_than_is_noted_is_not_counted(storage):
    def note_another() -> None:
        with shared._quiet_optuna(), shared._reached(storage) as opened:
            study = shared._Study(opened, shared.STUDY, "here")
            study.settings()
            study.note(study.trials()[1], shared.CELL, "ccccc")

    found = search.work(
        storage, 3, objective=Made(at=2, do=note_another), heartbeat=0.05, patience=0.2
    )
    steps = {step.number: step for step in found.steps}
    assert steps[1].cell.code == "ccccc"
    assert [steps[n].accuracy for n in range(3)] == [value(steps[n].cell, n) for n in range(3)]


def test_a_line_that_somebody_died_over_is_removed_by_the_next_who_writes(storage):
    search.work(storage, 3, objective=Made())
    whole = storage.read_bytes()
    with storage.open("ab") as journal:
        journal.write(b'{"op_code": 6, "worker_id": "some')
    assert len(search.trace(storage)) == 3
    assert len(search.work(storage, 5, objective=Made())) == 5
    written = storage.read_bytes()
    assert written.startswith(whole) and b'"some' not in written
    assert all(json.loads(line) for line in written.splitlines())


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 9000])
def test_whole_lines_end_where_the_last_line_ends(tmp_path, size):
    file = tmp_path / "journal"
    for head in (b"", b"first\n", b"first\nsecond\n"):
        file.write_bytes(head + b"x" * size)
        with file.open("r+b") as journal:
            assert shared._whole_lines(journal) == len(head)


# -- errors -----------------------------------------------------------------------------------


def test_other_settings_are_refused_and_named(storage):
    search.work(storage, 2, objective="table")
    before = storage.read_bytes()
    with pytest.raises(ValueError, match="strategy.seed is 0 there and 1 here"):
        search.work(storage, seed=1)
    with pytest.raises(ValueError, match="max_parameters is None there and 9000 here"):
        search.work(storage, max_parameters=9000)
    with pytest.raises(
        ValueError, match="strategy.strategy is 'evolution' there and 'random' here"
    ):
        search.work(storage, strategy="random")
    with pytest.raises(ValueError, match="objective.objective is 'table' there and 'made' here"):
        search.work(storage, objective=Made())
    assert storage.read_bytes().startswith(before) and len(search.trace(storage)) == 2


def test_an_objective_of_ones_own_must_be_passed_by_all(storage):
    search.work(storage, 2, objective=Made())
    with pytest.raises(ValueError, match="objective of its own, 'made': pass it as an object"):
        search.work(storage)


def test_two_who_make_a_study_at_once_with_different_settings_do_not_both_go_on(storage):
    def other_settings() -> None:
        with shared._quiet_optuna(), shared._reached(storage) as opened:
            study = opened.get_study_id_from_name(shared.STUDY)
            opened.set_study_user_attr(study, shared.SETTINGS, {"strategy": "another"})

    with pytest.raises(ValueError, match="at the same moment and with other settings"):
        search.work(storage, 5, objective=Made(at=2, do=other_settings))


def test_a_study_that_was_abandoned_before_it_was_described_is_adopted(storage, monkeypatch):
    monkeypatch.setattr(shared, "MOMENT", 0.1)
    with shared._quiet_optuna(), shared._reached(storage) as opened:
        opened.create_new_study([optuna.study.StudyDirection.MAXIMIZE], shared.STUDY)
    assert len(search.work(storage, 2, objective=Made())) == 2


@pytest.mark.parametrize(
    "content", [b"hello\n", b"[1, 2]\n", b'{"a": 1}\n', b"\x89PNG\r\n\x1a\n" * 9]
)
def test_a_file_that_is_no_study_is_refused_and_left_alone(tmp_path, content):
    for name in ("file.journal", "file.db"):
        file = tmp_path / name
        file.write_bytes(content)
        for call in (lambda file=file: search.work(file, 2), lambda file=file: search.trace(file)):
            with pytest.raises(ValueError, match="is no study: neither a journal of Optuna nor"):
                call()
        assert file.read_bytes() == content


@pytest.mark.parametrize("name", ["cells.journal", "cells.db"])
def test_a_study_of_somebody_else_is_refused(tmp_path, name, monkeypatch):
    monkeypatch.setattr(shared, "MOMENT", 0.1)
    with shared._quiet_optuna(), shared._reached(tmp_path / name) as opened:
        study = optuna.create_study(storage=opened, study_name="cells")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(ValueError, match="'cells' in .* was not made by cnnlib.search"):
        search.work(tmp_path / name, objective=Made())
    with pytest.raises(ValueError, match="was not made by cnnlib.search"):
        search.trace(tmp_path / name)
    assert len(search.work(tmp_path / name, 1, objective=Made(), study="mine")) == 1
    with pytest.raises(ValueError, match="has no study 'yours'; there are .*'mine'"):
        search.trace(tmp_path / name, study="yours")


def test_places_where_no_study_can_be_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        search.work(tmp_path / "no" / "cells.journal", 1)
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        search.work(tmp_path, 1)
    with pytest.raises(FileNotFoundError, match="no such study"):
        search.trace(tmp_path / "cells.journal")
    with pytest.raises(ValueError, match="in memory, which no other process can reach"):
        search.work("sqlite:///:memory:", 1)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_reached_is_named_without_its_password(monkeypatch):
    import sqlalchemy.exc

    def refuse(*arguments, **options):
        raise sqlalchemy.exc.OperationalError("", {}, Exception("connection refused\nIs it on?"))

    monkeypatch.setattr(optuna.storages, "RDBStorage", refuse)
    with pytest.raises(ConnectionError) as caught:
        search.work("postgresql://me:secret@localhost:1/cells", 1)
    assert str(caught.value) == (
        "the study in postgresql://me:***@localhost:1/cells cannot be reached: connection refused"
    )


def test_a_driver_that_is_missing_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(ImportError, match=r"driver psycopg2.*pip install 'psycopg2-binary'"):
        search.work("postgresql+psycopg2://localhost:1/cells", 1)


def test_tables_that_another_worker_is_making_are_waited_for(monkeypatch):
    import sqlalchemy.exc

    monkeypatch.setattr(shared.time, "sleep", lambda seconds: None)
    attempts = []

    def connect():
        attempts.append(1)
        if len(attempts) < 3:
            raise sqlalchemy.exc.IntegrityError("", {}, Exception("type exists already"))
        return "connected"

    assert shared._with_tables(connect) == "connected"


def test_without_optuna_the_extra_is_named(monkeypatch, storage):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r'pip install "cnnlib\[search\]"'):
        search.work(storage, 1)


def test_optuna_is_imported_when_it_is_needed():
    code = "import sys, cnnlib.search; print('optuna' in sys.modules, 'sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"trials": 0}, "trials must be at least 1; got 0"),
        ({"strategy": "luck"}, "unknown strategy 'luck'; there are random, evolution, reinforce"),
        ({"objective": "hope"}, "unknown objective 'hope'; there are proxy, table"),
        ({"heartbeat": 5.0, "patience": 6.0}, "patience of at least twice as long"),
        ({"heartbeat": 0.0}, "positive heartbeat"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_is_written(
    storage, options, error
):
    with pytest.raises(ValueError, match=error):
        search.work(storage, **options)
    assert not storage.exists()


def test_things_of_the_wrong_kind_are_refused(storage):
    with pytest.raises(TypeError, match="trials must be a whole number; got 2.5"):
        search.work(storage, 2.5)
    with pytest.raises(TypeError, match="method settings"):
        search.work(storage, objective=lambda cell, seed: 0.5)
    assert not storage.exists()


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def command(capsys):
    """Runs the command; returns its code, what it printed, and what it said on stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = cli.main(["search", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_command_works_on_a_study_and_shows_what_it_found(command, storage):
    code, out, err = command(storage, "--trials", 6, "--objective", "table", "--seed", 2)
    trace = run(RegularizedEvolution(seed=2), load_table(), 6)
    assert code == 0 and out.splitlines()[-1] == str(trace)
    assert sum(line.startswith("trial ") for line in out.splitlines()) == 6
    assert command(storage, "--show") == (0, f"{trace}\n", "")
    code, out, err = command(storage, "--json")
    assert search.Trace.from_dict(json.loads(out)) == trace
    assert command(storage, "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trials", "0"], "trials must be at least 1"),
        (["--strategy", "luck"], "unknown strategy 'luck'"),
        (["--show", "--trials", "3"], "--show does no work, so it takes no trials"),
        (["--show"], "there is no such study"),
    ],
)
def test_the_command_says_in_a_sentence_what_is_wrong(command, storage, arguments, said):
    code, out, err = command(storage, *arguments)
    assert code == 2 and out == "" and said in err and len(err.splitlines()) == 1


def test_the_command_names_the_extra_if_it_is_missing(command, storage, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, err = command(storage, "--trials", 1)
    assert code == 2 and 'pip install "cnnlib[search]"' in err


def test_ctrl_c_ends_the_command_with_130(command, storage, monkeypatch):
    monkeypatch.setitem(shared.OBJECTIVES, "table", lambda: Made(do=interrupt, name="table"))
    code, _, err = command(storage, "--objective", "table", "--trials", 2)
    assert code == 130 and len(err.splitlines()) == 1
    assert trials_of(storage)[0].state == optuna.trial.TrialState.WAITING


def test_the_watched_objective_of_the_workers_is_the_value_of_these_tests(tmp_path):
    objective = Watched(tmp_path / "log", "me", seconds=0)
    cell = SmallCell.from_code("cc-pp")
    assert objective(cell, 3) == value(cell, 3)
    assert (tmp_path / "log").read_text() == "me begins 3 cc-pp\nme ends 3 cc-pp\n"
