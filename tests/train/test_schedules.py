"""How the learning rate moves: values computed by hand, and what holds for all schedules."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlib.train import Constant, Cosine, Decay, Linear, Plateau, Recipe, Steps


def rates(recipe, steps, rows=()):
    return [recipe.lr_at(step, steps, rows) for step in range(1, steps + 1)]


def plain(schedule, epochs=4, lr=1.0, warmup=0.0):
    return Recipe(epochs=epochs, lr=lr, schedule=schedule, warmup=warmup)


def errors(*values, measure="test_error"):
    return [{measure: value} for value in values]


# Values


def test_the_default_is_the_triangle_computed_by_hand():
    recipe = Recipe(lr=1.0, warmup=0.2)  # nine steps stand at 0.1, 0.2 ... 0.9 of the way
    expected = [0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert rates(recipe, 9) == pytest.approx(expected)


@given(st.integers(1, 300), st.floats(0, 1), st.floats(1e-6, 10))
def test_the_default_is_bit_for_bit_the_lower_of_a_rise_and_a_fall(steps, warmup, lr):
    for step, rate in enumerate(rates(Recipe(lr=lr, warmup=warmup), steps), start=1):
        position = step / (steps + 1)
        rise = position / warmup if warmup > 0 else 1.0
        fall = (1 - position) / (1 - warmup) if warmup < 1 else 1.0
        assert rate == lr * min(rise, fall)


def test_constant_stays():
    assert rates(plain(Constant(), lr=0.3), 8) == [0.3] * 8


def test_cosine_is_half_a_wave():
    expected = [(1 + math.cos(math.pi * step / 10)) / 2 for step in range(1, 10)]
    assert rates(plain(Cosine()), 9) == pytest.approx(expected, rel=1e-12)


def test_steps_drop_after_their_epochs():
    two_per_epoch = rates(plain(Steps(at=(1.0, 2.5), factor=0.1)), 8)
    assert two_per_epoch == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01])


def test_steps_may_have_a_factor_each():
    schedule = Steps(at=(1.0, 3.0), factor=(0.4, 0.5))
    assert rates(plain(schedule), 4) == pytest.approx([1, 0.4, 0.4, 0.2])


def test_decay_is_a_staircase():
    assert rates(plain(Decay(0.5, every=2.0)), 8) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    assert rates(plain(Decay(0.5, every=0.5)), 8) == [0.5**k for k in range(8)]


def test_decay_every_2_4_epochs_drops_in_the_middle_of_an_epoch():
    ten_per_epoch = rates(plain(Decay(0.97, every=2.4), epochs=5), 50)
    expected = [1.0] * 24 + [0.97] * 24 + [0.97**2] * 2
    assert ten_per_epoch == pytest.approx(expected, rel=1e-14)


@given(st.integers(1, 5000), st.integers(1, 400), st.data())
def test_drops_at_whole_steps_are_never_late_or_early(per_epoch, epochs, data):
    drop = data.draw(st.integers(1, per_epoch * epochs))
    recipe = plain(Steps(at=(drop / per_epoch,)), epochs=epochs)
    steps = per_epoch * epochs
    assert recipe.lr_at(drop, steps) == 1.0
    if drop < steps:
        assert recipe.lr_at(drop + 1, steps) == pytest.approx(0.1)


@given(st.integers(1, 3000), st.integers(1, 60))
def test_decay_drops_at_whole_steps_are_never_late_or_early(every_steps, per_epoch):
    recipe = plain(Decay(0.5, every=every_steps / per_epoch), epochs=7 * every_steps)
    steps = 7 * every_steps * per_epoch
    for times in range(1, 7):
        assert recipe.lr_at(times * every_steps, steps) == 0.5 ** (times - 1)
        assert recipe.lr_at(times * every_steps + 1, steps) == 0.5**times


# Plateau


def test_plateau_drops_after_so_many_epochs_without_improvement():
    recipe = plain(Plateau(factor=0.1, patience=2, times=3), epochs=9)
    rows = errors(0.5, 0.4, 0.41, 0.4, 0.39, 0.5, 0.4, 0.45, 0.45)
    #       epoch 1    2    3     4    5     6    7    8     9
    # Epochs 3 and 4 are no better than 2, then 6 and 7 no better than 5, then 8 and 9.
    assert rates(recipe, 9, rows) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_plateau_stops_dropping_after_so_many_times():
    recipe = plain(Plateau(factor=0.5, patience=1, times=2), epochs=6)
    assert rates(recipe, 6, errors(*[0.3] * 6)) == [1, 1, 0.5, 0.25, 0.25, 0.25]


def test_plateau_looks_at_finished_epochs_alone():
    recipe = plain(Plateau(patience=1), epochs=3)
    rows = errors(0.5, 0.6, 0.4)
    now = [recipe.lr_at(step, 6, rows[: (step - 1) // 2]) for step in range(1, 7)]
    assert now == rates(recipe, 6, rows)  # later rows change nothing about earlier steps


def test_plateau_takes_a_measure_that_is_not_a_number_for_no_improvement():
    recipe = plain(Plateau(patience=1), epochs=3)
    assert rates(recipe, 3, errors(0.5, math.nan, 0.4)) == pytest.approx([1, 1, 0.1])


def test_plateau_can_look_at_other_measures():
    recipe = plain(Plateau(patience=1, measure="train_loss"), epochs=3)
    assert rates(recipe, 3, errors(1.0, 1.1, 1.0, measure="train_loss"))[2] == pytest.approx(0.1)


def test_plateau_says_which_rows_it_misses():
    recipe = plain(Plateau(), epochs=3)
    with pytest.raises(ValueError, match="before step 5 there are 2, but rows holds 1"):
        recipe.lr_at(5, 6, errors(0.5))


def test_plateau_says_which_measure_it_misses():
    recipe = plain(Plateau(), epochs=3)
    with pytest.raises(ValueError, match="looks at 'test_error', which the epochs lack"):
        recipe.lr_at(3, 6, errors(0.5, measure="train_error"))


# What holds for all

SCHEDULES = st.one_of(
    st.just(Linear()),
    st.just(Constant()),
    st.just(Cosine()),
    st.builds(Decay, st.floats(0.5, 0.99), st.floats(0.5, 30)),
    st.builds(
        Steps,
        st.lists(st.floats(0.1, 30), max_size=4, unique=True).map(sorted).map(tuple),
        st.floats(0.05, 0.99),
    ),
)


@given(SCHEDULES, st.integers(1, 20), st.integers(1, 12), st.floats(0, 1), st.floats(1e-6, 10))
def test_the_rate_rises_once_then_only_falls_and_is_never_wasted(
    schedule, epochs, per_epoch, warmup, lr
):
    recipe = plain(schedule, epochs, lr, warmup)
    steps = epochs * per_epoch
    found = rates(recipe, steps)
    assert all(0 < rate <= lr * (1 + 1e-12) for rate in found)
    rise = sum(step / (steps + 1) < warmup for step in range(1, steps + 1))
    assert found[:rise] == pytest.approx(
        [lr * s / (steps + 1) / warmup for s in range(1, rise + 1)]
    )
    assert all(a >= b for a, b in zip(found[rise:], found[rise + 1 :], strict=False))


@given(SCHEDULES, st.floats(0, 0.9))
def test_the_warm_up_changes_nothing_after_it_where_the_schedule_counts_epochs(schedule, warmup):
    if isinstance(schedule, Linear | Cosine):
        return  # they go down over what the warm-up leaves
    cold, warm = (rates(plain(schedule, 5, warmup=share), 40) for share in (0.0, warmup))
    after = [step for step in range(40) if (step + 1) / 41 >= warmup]
    assert [warm[step] for step in after] == [cold[step] for step in after]


@pytest.mark.parametrize("schedule", [Linear(), Cosine()])
def test_linear_and_cosine_begin_at_the_top_after_the_warm_up(schedule):
    recipe = plain(schedule, warmup=0.2)
    assert recipe.lr_at(2, 9) == pytest.approx(1.0)  # step 2 of 9 stands at 0.2
    assert recipe.lr_at(1, 9) == pytest.approx(0.5)
    assert recipe.lr_at(9, 9) < 0.13


@given(SCHEDULES)
def test_the_rate_scales_with_the_recipe(schedule):
    recipe = plain(schedule, 5, warmup=0.1)
    doubled = replace(recipe, lr=2.0)
    assert rates(doubled, 30) == [2 * rate for rate in rates(recipe, 30)]


# Bad settings


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Steps(at=(2.0, 1.0)), "Steps.at must be in ascending order"),
        (lambda: Steps(at=(1.0, 1.0)), "Steps.at must be in ascending order"),
        (lambda: Steps(at=(0.0,)), "Steps.at must be positive numbers, got 0.0"),
        (lambda: Steps(at=(math.inf,)), "Steps.at must be positive numbers"),
        (lambda: Steps(at=(1.0,), factor=1.0), "Steps.factor must be above 0 and below 1"),
        (lambda: Steps(at=(1.0,), factor=(0.1, 0.1)), "one for each of the 1 moments; got 2"),
        (lambda: Decay(0.0), "Decay.factor must be above 0 and below 1, got 0.0"),
        (lambda: Decay(0.9, every=0), "Decay.every must be a positive number of epochs, got 0"),
        (lambda: Plateau(factor=2.0), "Plateau.factor must be above 0 and below 1"),
        (lambda: Plateau(patience=0), "Plateau.patience must be at least 1, got 0"),
        (lambda: Plateau(times=-1), "Plateau.times must be at least 1"),
        (lambda: Plateau(measure="accuracy"), "must be one of train_loss, .* got 'accuracy'"),
    ],
)
def test_a_setting_out_of_range_says_which_and_what_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Steps(at=[1.0]), r"Steps.at must be a tuple of epochs, got \[1.0\]"),
        (lambda: Steps(at=("1",)), "Steps.at must be a number, got '1'"),
        (lambda: Decay("0.9"), "Decay.factor must be a number, got '0.9'"),
        (lambda: Plateau(patience=1.5), "Plateau.patience must be a whole number, got 1.5"),
    ],
)
def test_a_setting_of_the_wrong_kind_says_what_it_needs(make, message):
    with pytest.raises(TypeError, match=message):
        make()
