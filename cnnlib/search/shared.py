"""One search by several processes or machines, through a storage that all of them can reach.

Every worker is a program of its own, started by ``python -m cnnlib search --study FILE``. Workers
know nothing of each other: what has been evaluated, and what is being evaluated, stands in a study
of Optuna (T. Akiba et al., KDD 2019, arXiv:1907.10902), and each asks our own strategy what to do
next, given all that is finished. That is how the evolution of Real et al. (AAAI 2019) ran on 450
workers: none waits for another.

Nothing is lost and nothing counted twice, because of four rules:

* The search consists of the trials 0 to ``trials - 1``. A number is given out by the storage, once.
* A trial is finished once. The storage refuses to change it afterwards.
* While a worker evaluates, it notes every few seconds that it is alive. A trial whose notes stay
  away is put back into the queue, by whichever worker is left. (Each judges by its own clock how
  long a note has not changed: the clocks of several machines need not agree.)
* A trial's cell is noted before it is evaluated, and its number is the seed. Whoever takes it over
  evaluates the same. If the first worker was only slow, then two compute the same result, the first
  to finish is counted, and the other goes on with the next trial.

Optuna is an extra, and imported when it is needed: ``pip install "cnnlib[search]"``.
"""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..train.progress import Progress
from .proxy import Proxy
from .running import Step, Trace
from .space import EDGES, OPERATIONS, CellSpace, SmallCell
from .strategies import STRATEGIES, Strategy
from .table import load_table

log = logging.getLogger(__name__)

STUDY = "cells"  # its name in the storage, unless another is given
SETTINGS, TRIALS = "settings", "trials"  # what the study is told about itself
CELL, WORKERS, ALIVE, FAULT = "cell", "workers", "alive", "fault"  # what stands on a trial
ATTEMPTS = 3  # after so many, a trial that no worker survives is given up
SQLITE = b"SQLite format 3\0"  # how such a file begins
PATIENT = 60  # seconds that a worker waits for a lock on a database
MOMENT = 5.0  # seconds in which the maker of a study says what it is
USUAL_TRIALS = 40
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary"}  # module: what to install

OBJECTIVES: dict[str, Callable[[], Any]] = {"proxy": Proxy.small, "table": load_table}
DEFAULTS = {"strategy": "evolution", "objective": "proxy", "seed": 0, "max_parameters": None}


def work(
    storage: str | Path,
    trials: int | None = None,
    *,
    strategy: str | None = None,
    objective: str | Any | None = None,
    max_parameters: int | None = None,
    seed: int | None = None,
    study: str = STUDY,
    heartbeat: float = 10.0,
    patience: float = 60.0,
    progress: bool | None = None,
) -> Trace:
    """Works on a study until it is complete; makes it if it is not there yet.

    Whoever makes a study decides on its settings; whoever joins need not repeat them, but must not
    contradict them. ``trials`` may grow later: then the study goes on.

    Args:
        storage: the path of a journal file, or of an SQLite file (if there is one, or if the name
            ends in .db, .sqlite or .sqlite3); or a database by its URL, as SQLAlchemy has it, such
            as "postgresql://user@host/database". A journal also works on a network drive; SQLite
            only on one machine.
        trials: how many evaluations the study shall have, all workers together. 40 if it is new.
        strategy: one of `STRATEGIES`; "evolution" if it is new.
        objective: "proxy" trains (`Proxy.small`), "table" looks it up (`load_table`); or an object
            with a method ``settings`` that can be called as ``objective(cell, seed)``. "proxy" if
            the study is new.
        max_parameters: a cap, as `CellSpace` has it. None if the study is new.
        seed: of the strategy's chance; 0 if the study is new.
        study: name of the study in its storage.
        heartbeat: seconds between two notes of a worker that it is alive.
        patience: seconds without a note after which a worker counts as dead. Must be some times
            as long as ``heartbeat``.
        progress: as `run` has it.

    Returns:
        The trace of the complete study, the work of all.

    Raises:
        ImportError: Optuna, or the database's driver, is not installed; names what to install.
        OSError: the storage cannot be reached or written.
        ValueError: settings that contradict those of the study; a file that is not a study.
        KeyboardInterrupt: after Ctrl-C; the trial is back in the queue.
    """
    _check(strategy, objective, trials, heartbeat, patience)
    given = {
        "strategy": strategy,
        "objective": objective,
        "max_parameters": max_parameters,
        "seed": seed,
    }
    with _quiet_optuna(), _reached(storage) as opened:
        shared = _Study(opened, study, str(_shown(storage)))
        shared.join(given, trials)
        return _Worker(shared, heartbeat, patience).work(progress)


def trace(storage: str | Path, *, study: str = STUDY) -> Trace:
    """What a study has found so far, in the order in which results came.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not a study of this kind.
        ImportError, OSError: as `work`.
    """
    path = _path_of(storage)
    if path is not None and not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such study", str(path))
    with _quiet_optuna(), _reached(storage) as opened:
        shared = _Study(opened, study, str(_shown(storage)))
        shared.settings()
        return shared.trace()


class _Study:
    """A study in an open storage: a queue of numbered trials.

    This talks to the storage itself, whose methods Optuna keeps for those who write storages and
    samplers: `optuna.Study` has no way to take a certain trial, or to give one back.
    """

    def __init__(self, storage: Any, name: str, place: str) -> None:
        self.storage, self.name, self.place = storage, name, place
        self.id: int
        self.strategy: Callable[[], Strategy]
        self.objective: Any
        self._joined: dict[str, Any] | None = None

    # Joining

    def join(self, given: dict[str, Any], trials: int | None) -> None:
        """Makes the study, or finds it and compares."""
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        made_by_us = False
        with suppress(DuplicatedStudyError):
            self.storage.create_new_study([StudyDirection.MAXIMIZE], self.name)
            made_by_us = True
        self.id = self.storage.get_study_id_from_name(self.name)
        if not made_by_us:
            self._wait_for_its_maker()
        known = self._told(SETTINGS)
        if known is None:  # it is ours, or its maker died
            if self.trials():
                raise self._foreign()
            self._tell(TRIALS, trials or USUAL_TRIALS)
            self._tell(SETTINGS, self._settings_of(given))
            known = self._told(SETTINGS)
        wanted = self._settings_of(given, known)
        if wanted != known:
            raise ValueError(
                f"the study {self.name!r} in {self.place} was made with other settings: "
                + "; ".join(_differences(known, wanted))
            )
        if trials is not None and trials > self._told(TRIALS):
            self._tell(TRIALS, trials)
        self._joined = known

    def _wait_for_its_maker(self) -> None:
        """Whoever makes a study says what it is a moment later."""
        end = time.monotonic() + MOMENT
        while self._told(SETTINGS) is None and not self.trials() and time.monotonic() < end:
            time.sleep(0.05)

    def check(self) -> None:
        """Raises ValueError if two made the study at the same moment, with different settings."""
        if self._told(SETTINGS) != self._joined:
            raise ValueError(
                f"another worker made the study {self.name!r} in {self.place} at the same moment "
                "and with other settings; start this one again"
            )

    def settings(self) -> dict[str, Any]:
        """What the study was made with; ValueError if it is none of ours."""
        try:
            self.id = self.storage.get_study_id_from_name(self.name)
        except KeyError:
            there = [study.study_name for study in self.storage.get_all_studies()]
            raise ValueError(
                f"{self.place} has no study {self.name!r}; there are {there}"
            ) from None
        known = self._told(SETTINGS)
        if known is None:
            raise self._foreign()
        return known

    def _settings_of(
        self, given: dict[str, Any], known: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """The settings for these arguments; what is not given is as in the study that is known.

        Makes strategy and objective on the way.
        """
        filled = dict(DEFAULTS)
        if known is not None:
            filled = {
                "strategy": known["strategy"]["strategy"],
                "objective": known["objective"]["objective"],
                "seed": known["strategy"]["seed"],
                "max_parameters": known["max_parameters"],
            }
        filled |= {key: value for key, value in given.items() if value is not None}
        kind = STRATEGIES[filled["strategy"]]
        space = CellSpace(filled["max_parameters"])
        self.strategy = lambda: kind(space, filled["seed"])
        wanted = filled["objective"]
        if isinstance(wanted, str) and wanted not in OBJECTIVES:  # of the study
            raise ValueError(
                f"the study {self.name!r} in {self.place} has an objective of its own, {wanted!r}: "
                "pass it as an object"
            )
        self.objective = OBJECTIVES[wanted]() if isinstance(wanted, str) else wanted
        settings = {
            "strategy": self.strategy().settings(),
            "objective": self.objective.settings(),
            "max_parameters": space.max_parameters,
        }
        return json.loads(json.dumps(settings))  # as it comes back from a storage

    def _foreign(self) -> ValueError:
        return ValueError(
            f"the study {self.name!r} in {self.place} was not made by cnnlib.search: give another "
            "file, or a study of another name"
        )

    # What the study knows

    def _told(self, key: str) -> Any:
        return self.storage.get_study_user_attrs(self.id).get(key)

    def _tell(self, key: str, value: Any) -> None:
        self.storage.set_study_user_attr(self.id, key, value)

    @property
    def wanted(self) -> int:
        """How many trials the study shall have."""
        return self._told(TRIALS)

    def trials(self) -> list[Any]:
        """Its trials by number. More than are wanted may wait at the end, which nobody takes."""
        return self.storage.get_all_trials(self.id, deepcopy=False)

    def trace(self, trials: list[Any] | None = None) -> Trace:
        """The finished trials in the order in which they were finished."""
        from optuna.trial import TrialState

        trials = self.trials() if trials is None else trials
        finished = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        finished.sort(key=lambda trial: (trial.datetime_complete, trial.number))
        return Trace(
            [Step(t.number, SmallCell.from_code(t.user_attrs[CELL]), t.value) for t in finished]
        )

    # What workers do with a trial

    def add(self) -> None:
        """Adds a trial to the end of the queue."""
        from optuna.trial import TrialState, create_trial

        self.storage.create_new_trial(self.id, create_trial(state=TrialState.WAITING))

    def take(self, trial: Any, worker: str) -> bool:
        """Takes a waiting trial, unless somebody was quicker."""
        from optuna.trial import TrialState

        with suppress(RuntimeError):  # it is finished already
            if self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                workers = self.storage.get_trial(trial._trial_id).user_attrs.get(WORKERS, [])
                return self.note(trial, WORKERS, [*workers, worker])
        return False

    def put_back(self, trial: Any, *, blame: bool = True) -> None:
        """Puts a running trial back into the queue; gives it up if it is too often to blame."""
        from optuna.trial import TrialState

        workers = self.storage.get_trial(trial._trial_id).user_attrs.get(WORKERS, [])
        state = TrialState.FAIL if blame and len(workers) >= ATTEMPTS else TrialState.WAITING
        if not blame:
            self.note(trial, WORKERS, workers[:-1])
        with suppress(RuntimeError):  # finished meanwhile: all the better
            self.storage.set_trial_state_values(trial._trial_id, state)

    def cell(self, trial: Any) -> SmallCell | None:
        """The trial's cell, which is chosen and noted now if it was not before.

        None if the trial is finished: somebody took us for dead and was quicker.
        """
        from optuna.distributions import CategoricalDistribution

        cell = self.noted_cell(trial)
        if cell is None:
            strategy = self.strategy()
            for step in self.trace().steps:
                strategy.tell(step.cell, step.accuracy)
            chosen = strategy.ask(trial.number)
            cell = self.noted_cell(trial) or chosen
            if not self.note(trial, CELL, cell.code):
                return None
        there = self.storage.get_trial(trial._trial_id).params
        choices = CategoricalDistribution(OPERATIONS)
        for (source, target), operation in zip(EDGES, cell.operations, strict=True):
            name = f"edge {source}-{target}"  # for Optuna's own plots; what counts is the note
            if name not in there:
                number = choices.to_internal_repr(operation)
                try:
                    self.storage.set_trial_param(trial._trial_id, name, number, choices)
                except RuntimeError:
                    return None
        return cell

    def noted_cell(self, trial: Any) -> SmallCell | None:
        """What the storage says now of the trial's cell."""
        code = self.storage.get_trial(trial._trial_id).user_attrs.get(CELL)
        return None if code is None else SmallCell.from_code(code)

    def note(self, trial: Any, key: str, value: Any) -> bool:
        """Notes something on a trial; False if it is finished and takes no notes."""
        try:
            self.storage.set_trial_user_attr(trial._trial_id, key, value)
        except RuntimeError:
            return False
        return True

    def finish(self, trial: Any, accuracy: float) -> bool:
        """Hands a result in; False if somebody else did before."""
        from optuna.trial import TrialState

        try:
            return self.storage.set_trial_state_values(
                trial._trial_id, TrialState.COMPLETE, [accuracy]
            )
        except RuntimeError:
            return False


class _Worker:
    """One who takes trials and evaluates them, and looks after those whom others left behind."""

    def __init__(self, study: _Study, heartbeat: float, patience: float) -> None:
        self.study, self.heartbeat, self.patience = study, heartbeat, patience
        self.name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        # The last note on each running trial, and when, by our clock, it was new to us.
        self._seen: dict[int, tuple[Any, float]] = {}

    def work(self, progress: bool | None) -> Trace:
        """Takes part until all trials that are wanted are finished."""
        wanted = self.study.wanted
        with Progress.over(progress, wanted) as shown:
            counted = 0
            while True:
                trials = self.study.trials()[:wanted]
                finished = sum(trial.state.is_finished() for trial in trials)
                for _ in range(finished - counted):
                    shown.move(1)
                counted = finished
                if finished == wanted:
                    break
                self.study.check()
                self._free_the_abandoned(trials)
                if not self._take_one(trials, wanted, shown):
                    time.sleep(min(1.0, self.heartbeat))
        given_up = [trial.number for trial in trials if trial.state.name == "FAIL"]
        if given_up:
            log.warning(
                "trials %s were given up after %s attempts each; %s",
                given_up,
                ATTEMPTS,
                [trials[number].user_attrs.get(FAULT, "their workers died") for number in given_up],
            )
        return self.study.trace()

    def _take_one(self, trials: list[Any], wanted: int, shown: Progress) -> bool:
        """Evaluates a trial or adds one; False if there is nothing to do but to wait."""
        for trial in trials:
            if trial.state.name == "WAITING" and self.study.take(trial, self.name):
                self._evaluate(trial, wanted, shown)
                return True
        if len(trials) < wanted:
            self.study.add()
            return True
        return False

    def _evaluate(self, trial: Any, wanted: int, shown: Progress) -> None:
        """Evaluates a trial that is ours; whatever happens, it does not stay so."""
        try:
            with self._alive(trial):
                cell = self.study.cell(trial)
                if cell is None:
                    return
                accuracy = float(self.study.objective(cell, trial.number))
                if not math.isfinite(accuracy):
                    raise ValueError(f"the objective gave {accuracy} for {cell}")
        except Exception as error:
            self.study.note(trial, FAULT, f"{type(error).__name__}: {error}")
            self.study.put_back(trial)
            raise
        except BaseException:  # Ctrl-C: not the trial's fault
            self.study.put_back(trial, blame=False)
            raise
        # Whoever took us for dead before we had noted a cell may have chosen another one.
        if self.study.noted_cell(trial) == cell and self.study.finish(trial, accuracy):
            shown.say(f"trial {trial.number + 1}/{wanted}: {cell} {100 * accuracy:.2f} %")

    @contextmanager
    def _alive(self, trial: Any) -> Iterator[None]:
        """Notes on the trial that its worker lives, now and then, from a thread of its own."""
        over = threading.Event()

        def tell(count: int = 0) -> None:
            while not over.wait(self.heartbeat):
                count += 1
                with suppress(Exception):  # a storage that is away for a moment; the next may do
                    self.study.note(trial, ALIVE, f"{self.name} {count}")

        self.study.note(trial, ALIVE, f"{self.name} 0")
        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _free_the_abandoned(self, trials: list[Any]) -> None:
        """Puts trials back whose workers have not been heard of for too long."""
        now, before = time.monotonic(), self._seen
        self._seen = {}
        for trial in trials:
            if trial.state.name != "RUNNING":
                continue
            heard = trial.user_attrs.get(ALIVE)
            known, since = before.get(trial.number, (None, now))
            since = since if heard == known and trial.number in before else now
            self._seen[trial.number] = heard, since
            if now - since > self.patience:
                log.info("trial %s: its worker is gone, it is put back", trial.number)
                self.study.put_back(trial)


# Storages


@contextmanager
def _reached(storage: str | Path) -> Iterator[Any]:
    """Optuna's storage for a path or URL; whatever it raises comes in our words."""
    try:
        import optuna
        import sqlalchemy.exc
    except ImportError as error:
        raise ImportError(
            "a search by several processes needs Optuna, which is not installed: "
            'pip install "cnnlib[search]"'
        ) from error
    place, path = _shown(storage), _path_of(storage)
    if path is not None:
        _check_file(path)
    try:
        if path is not None and not _is_sqlite(storage, path):
            yield optuna.storages.JournalStorage(_journal(path))
            return
        opened = _database(storage, path)
        try:
            yield opened
        finally:
            opened.remove_session()
            opened.engine.dispose()
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise _in_words(error, place) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{place} is no journal of a study, or damaged: {error}") from error


def _journal(path: Path) -> Any:
    """The journal of a file, with a lock that the operating system frees if its holder dies."""
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    windows = sys.platform == "win32"
    lock = JournalFileOpenLock(str(path)) if windows else _JournalLock(path)
    return JournalFileBackend(str(path), lock_obj=lock)  # type: ignore[arg-type]


class _JournalLock:
    """Lets one process at a time append to a journal, as Optuna's locks do.

    Those are files that a killed process leaves behind, so that all others wait for half a minute.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._held = path, threading.local()

    def acquire(self) -> bool:
        """Waits for the lock; then removes a line that somebody died over, while nobody writes."""
        import fcntl

        stream = open(f"{self.path}.lock", "ab")
        fcntl.flock(stream, fcntl.LOCK_EX)
        self._held.stream = stream
        if self.path.exists():
            with open(self.path, "r+b") as journal:
                kept = _whole_lines(journal)
                if kept < journal.seek(0, os.SEEK_END):
                    journal.truncate(kept)
        return True

    def release(self) -> None:
        """Gives the lock back."""
        self._held.stream.close()


def _whole_lines(journal: Any) -> int:
    """Bytes of a file until the end of its last whole line."""
    end = journal.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        journal.seek(start)
        if found := journal.read(end - start).rfind(b"\n") + 1:
            return start + found
        end = start
    return 0


def _database(storage: str | Path, path: Path | None) -> Any:
    """A database, SQLite's in a file or one that is reached by a URL."""
    from optuna.storages import RDBStorage
    from sqlalchemy import event, make_url

    if path is None:
        url = make_url(str(storage))
        if url.get_backend_name() == "postgresql" and "connect_timeout" not in url.query:
            url = url.update_query_dict({"connect_timeout": "10"})  # else it waits for minutes
        try:
            return _with_tables(
                lambda: RDBStorage(
                    url.render_as_string(hide_password=False), engine_kwargs={"pool_pre_ping": True}
                )
            )
        except ImportError as error:
            driver = _missing_module(error)
            raise ImportError(
                f"{_shown(storage)} needs the driver {driver}, which is not installed: pip install "
                f"'{DRIVERS.get(driver, driver)}'"
            ) from error
    with _alone(path):  # two who make the tables at the same time would disturb each other
        opened = RDBStorage(
            f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": PATIENT}}
        )

        # By default SQLite locks a file when something is written: two workers could both read that
        # a trial waits and both take it. So every look at it is taken under the lock as well.
        @event.listens_for(opened.engine, "connect")
        def _(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # or Python's module begins when it sees fit

        @event.listens_for(opened.engine, "begin")
        def _(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        opened.remove_session()
        opened.engine.dispose()  # what was connected before does not know of this
    return opened


def _with_tables(connect: Callable[[], Any]) -> Any:
    """A connection to a database in which another worker may be making the tables just now."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for pause in (0.2, 0.5, 1.0, 2.0):
        try:
            return connect()
        except (IntegrityError, ProgrammingError):  # "already exists": look again
            time.sleep(pause)
    return connect()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds the lock beside a file, where the system has such locks."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with open(f"{path}.lock", "ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _missing_module(error: BaseException) -> str:
    """The module that an error is about in the end."""
    while not isinstance(error, ModuleNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return getattr(error, "name", None) or str(error)


def _path_of(storage: str | Path) -> Path | None:
    """The file of a storage; None if it is a database elsewhere."""
    text = str(storage)
    if text.startswith("sqlite://"):
        name = text.removeprefix("sqlite://").removeprefix("/")
        if not name or name.startswith((":memory:", "?")):
            raise ValueError(
                f"{text!r} is a database in memory, which no other process can reach: name a file, "
                "as in sqlite:///cells.db"
            )
        return Path(name)
    return None if "://" in text else Path(text)


def _is_sqlite(storage: str | Path, path: Path) -> bool:
    """Whether a file is, or is to be, one of SQLite."""
    if path.is_file() and path.stat().st_size:
        with open(path, "rb") as stream:
            return stream.read(len(SQLITE)) == SQLITE
    return str(storage).startswith("sqlite:") or path.suffix in (".db", ".sqlite", ".sqlite3")


def _check_file(path: Path) -> None:
    """Raises an OSError or ValueError if no study can be in this file."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder: name a file in it", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(path.parent))
    if not path.is_file() or not path.stat().st_size:
        return
    with open(path, "rb") as stream:
        begin = stream.read(len(SQLITE))
        if begin == SQLITE:
            return
        line = begin + stream.readline(100_000)
    try:
        known = "op_code" in json.loads(line)
    except (ValueError, TypeError):
        known = False
    if not known:
        raise ValueError(
            f"{path} is no study: neither a journal of Optuna nor a database of SQLite; name "
            "another file, or one that is not there yet"
        )


def _shown(storage: str | Path) -> str:
    """A path or URL as it may be printed: without the password."""
    return re.sub(r"(://[^/@:]*):[^@]*@", r"\1:***@", str(storage))


def _in_words(error: Exception, place: str) -> Exception:
    """What to raise for an error of a database."""
    inner = error.__cause__ if error.__cause__ is not None else error
    reason = str(getattr(inner, "orig", None) or inner).strip().split("\n")[0]
    if "not a database" in reason:
        return ValueError(f"{place} is no study: {reason}")
    return ConnectionError(f"the study in {place} cannot be reached: {reason}")


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Lets Optuna speak of warnings only; without Optuna, of nothing."""
    try:
        import optuna
    except ImportError:
        yield
        return
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


# Settings


def _check(
    strategy: str | None, objective: Any, trials: int | None, heartbeat: float, patience: float
) -> None:
    """Raises TypeError or ValueError for arguments of `work` that make no sense anywhere."""
    if trials is not None and (isinstance(trials, bool) or not isinstance(trials, int)):
        raise TypeError(f"trials must be a whole number; got {trials!r}")
    if trials is not None and trials < 1:
        raise ValueError(f"trials must be at least 1; got {trials}")
    if not 0 < 2 * heartbeat <= patience:
        raise ValueError(
            "wanted: a positive heartbeat, and a patience of at least twice as long; got "
            f"heartbeat={heartbeat}, patience={patience} seconds"
        )
    if strategy is not None and strategy not in STRATEGIES:
        raise ValueError(f"unknown strategy {strategy!r}; there are {', '.join(STRATEGIES)}")
    if isinstance(objective, str) and objective not in OBJECTIVES:
        raise ValueError(
            f"unknown objective {objective!r}; there are {', '.join(OBJECTIVES)}; others must be "
            "passed as objects"
        )
    named = objective is None or isinstance(objective, str)
    if not named and not (callable(objective) and hasattr(objective, "settings")):
        raise TypeError(
            "an objective must be callable as objective(cell, seed) and have a method settings, by "
            f"which workers see that theirs are the same; got {objective!r}"
        )


def _differences(known: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Where two settings differ, one sentence for each place."""
    if isinstance(known, dict) and isinstance(wanted, dict):
        for key in sorted({*known, *wanted}):
            yield from _differences(known.get(key), wanted.get(key), f"{name}.{key}".strip("."))
    elif known != wanted:
        yield f"{name} is {known!r} there and {wanted!r} here"
