"""What whoever watches a training is shown: a bar, numbers beside it, a line per epoch."""

import contextlib
import functools
import io
import re
import sys
from types import SimpleNamespace

import pytest
import tqdm.auto

from cnnlib.train import Recipe, fit, loop, progress
from tests.train.learning import small_net, stripes

# 50 images in batches of 10: 5 steps an epoch
RECIPE = Recipe(epochs=2, batch_size=10)
NUMBERS = re.compile(
    r"\| (?P<step>\d+)/(?P<steps>\d+) \[[\d:]+<(?P<left>[\d:?]+), .*"
    r"loss (?P<loss>[\d.]+), error (?P<error>[\d.]+) %, (?P<speed>[\d,]+) images/s\]"
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def outside_the_book(monkeypatch):
    monkeypatch.delenv("CNNLIB_BOOK", raising=False)


def test_fit_is_silent_when_nobody_watches(capsys, outside_the_book):
    fit(small_net(), stripes(20), recipe=Recipe(epochs=1))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_a_line_per_epoch(capsys, outside_the_book):
    with contextlib.redirect_stderr(Terminal()) as terminal:
        fit(small_net(), stripes(20), stripes(20), recipe=Recipe(epochs=2))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and lines[1].startswith("epoch 2/2: train loss")
    assert "0/2 [" in terminal.getvalue()  # a bar over the two steps
    assert terminal.getvalue().endswith("\r")  # which is gone at the end


def test_fit_is_silent_in_the_book_even_in_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("CNNLIB_BOOK", "1")
    with contextlib.redirect_stderr(Terminal()) as terminal:
        fit(small_net(), stripes(20), recipe=Recipe(epochs=1))
    assert terminal.getvalue() == "" and capsys.readouterr().out == ""


def test_progress_false_is_silent_in_a_terminal(capsys, outside_the_book):
    with contextlib.redirect_stderr(Terminal()) as terminal:
        fit(small_net(), stripes(20), recipe=Recipe(epochs=1), progress=False)
    assert terminal.getvalue() == "" and capsys.readouterr().out == ""


def test_progress_true_prints_only_the_lines_where_there_is_no_terminal(capsys):
    history = fit(small_net(), stripes(20), recipe=Recipe(epochs=2), progress=True)
    out, err = capsys.readouterr()
    assert out == f"{history}\n" and err == ""
    row = history.rows[0]
    expected = f"loss {row['train_loss']:.4f}, error {100 * row['train_error']:.2f} %"
    assert out.splitlines()[0] == f"epoch 1/2: train {expected}"


def test_a_notebook_counts_as_somebody_watching(capsys, monkeypatch, outside_the_book):
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    fit(small_net(), stripes(20), recipe=Recipe(epochs=1))
    assert capsys.readouterr().out.startswith("epoch 1/1")


def shown(terminal: Terminal) -> list[dict[str, str]]:
    """What the bar said, one after the other, where it had numbers to say."""
    return [
        found.groupdict() for found in map(NUMBERS.search, terminal.getvalue().split("\r")) if found
    ]


@pytest.fixture
def eager(monkeypatch):
    """A bar that is drawn at every step, and looks at every second one."""
    monkeypatch.setattr(loop, "LOOK", 2)
    every_step = functools.partial(tqdm.auto.tqdm, mininterval=0, miniters=1, ncols=150)
    monkeypatch.setattr(tqdm.auto, "tqdm", every_step)


def test_the_bar_tells_loss_error_speed_and_time_left(outside_the_book, eager):
    with contextlib.redirect_stderr(Terminal()) as terminal:
        history = fit(small_net(), stripes(50), recipe=RECIPE)
    bars = shown(terminal)
    assert [(int(bar["step"]), bar["steps"]) for bar in bars][-1] == (10, "10")
    assert all(re.fullmatch(r"\d\d:\d\d", bar["left"]) for bar in bars)
    assert all(int(bar["speed"].replace(",", "")) > 0 for bar in bars)
    # the numbers after step 5, the end of the first epoch, stay until step 7
    sixth = next(bar for bar in bars if bar["step"] == "6")
    assert sixth["error"] == f"{100 * history.rows[0]['train_error']:.1f}"
    assert 0 < float(sixth["loss"]) < 10


def test_speed_is_that_of_training_alone(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    monkeypatch.setattr(progress, "_is_watched", lambda: True)
    texts = []
    monkeypatch.setattr(
        "tqdm.std.tqdm.set_postfix_str", lambda self, text, refresh: texts.append(text)
    )
    monkeypatch.setattr(loop, "LOOK", 2)
    model = small_net()

    def spend(layer, inputs, output):
        clock.now += 0.5 if output.requires_grad else 1000.0

    model.register_forward_hook(spend)
    with contextlib.redirect_stderr(Terminal()):
        fit(model, stripes(45), stripes(20), recipe=RECIPE, progress=True)
    # steps of 10 images take half a second, and so does the last one, of 5; after the first step
    # nobody looks at the clock while an image is tried out
    speeds = [text.split(", ")[-1] for text in texts]
    assert speeds[-3:] == ["20 images/s", "20 images/s", "10 images/s"]


def test_a_resumed_training_shows_how_much_was_done_and_counts_its_own_speed(
    tmp_path, outside_the_book, eager
):
    def stop(history):
        raise KeyboardInterrupt

    recipe = Recipe(epochs=3, batch_size=10)
    path = tmp_path / "last"
    with pytest.raises(KeyboardInterrupt):
        fit(small_net(), stripes(50), recipe=recipe, checkpoint=path, after_epoch=stop)
    with contextlib.redirect_stderr(Terminal()) as terminal:
        fit(small_net(), stripes(50), recipe=recipe, checkpoint=path, resume=True)
    steps = [int(step) for step in re.findall(r"(\d+)/15 \[", terminal.getvalue())]
    assert steps[0] == 5 and steps[-1] == 15 and steps == sorted(steps)
    assert shown(terminal)[0]["step"] == "8"  # the look after step 7 brings the numbers


def test_the_bar_moves_by_the_steps_of_the_training(monkeypatch):
    monkeypatch.setattr(progress, "_is_watched", lambda: True)
    bars = []
    make = progress.Progress.__init__

    def keep(self, *arguments, **options):
        make(self, *arguments, **options)
        bars.append(self._bar)

    monkeypatch.setattr(progress.Progress, "__init__", keep)
    with contextlib.redirect_stderr(Terminal()):
        fit(small_net(), stripes(33), recipe=RECIPE, progress=True)
    assert bars[0].n == bars[0].total == 8
