"""What every check of every chapter does: says yes to right answers, no to wrong ones, and why.

The answers stand in the other files of this folder, one for each module of ``cnnlib.exercises``:
``RIGHT``, pairs of a check and an answer, and ``WRONG``, triples with what the verdict must say.
"""

import importlib
import inspect
import pkgutil

import pytest
import torch

from cnnlib import exercises

MODULES = [module.name for module in pkgutil.iter_modules(exercises.__path__)]


def _answers(name, kind):
    return getattr(importlib.import_module(f"tests.exercises.test_{name}"), kind)


def _named(kind):
    return [
        pytest.param(*case, id=f"{name}-{case[0].__name__}-{number}")
        for name in MODULES
        for number, case in enumerate(_answers(name, kind))
    ]


CHECKS = [
    pytest.param(check, id=f"{name}-{title}")
    for name in MODULES
    for title, check in inspect.getmembers(
        importlib.import_module(f"cnnlib.exercises.{name}"), inspect.isfunction
    )
    if title.startswith("check_")
]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(7)


@pytest.mark.parametrize("name", MODULES)
def test_every_check_has_a_right_answer_and_wrong_ones(name):
    module = importlib.import_module(f"cnnlib.exercises.{name}")
    checks = {title for title in vars(module) if title.startswith("check_")}
    assert {check.__name__ for check, _ in _answers(name, "RIGHT")} == checks
    wrong = [check.__name__ for check, _, _ in _answers(name, "WRONG")]
    assert {title for title in checks if wrong.count(title) >= 2} == checks


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("check, answer", _named("RIGHT"))
def test_a_right_answer_is_right_in_both_precisions(check, answer, dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        verdict = check(answer)
    finally:
        torch.set_default_dtype(before)
    assert verdict.right, verdict
    assert repr(verdict).startswith("Right.")


@pytest.mark.parametrize("check, answer, why", _named("WRONG"))
def test_a_wrong_answer_is_wrong_and_told_why(check, answer, why):
    verdict = check(answer)
    assert not verdict.right
    assert why and why in verdict.message


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("stub", [lambda *a: ..., lambda *a: None])
def test_a_stub_is_not_yet_written(check, stub):
    assert "still to be written" in check(stub).message


@pytest.mark.parametrize("check", CHECKS)
def test_an_answer_that_fails_is_reported_not_raised(check):
    verdict = check(lambda *a: 1 // 0)
    assert not verdict.right
    assert "ZeroDivisionError" in verdict.message


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("value", [torch.zeros(2, 2), 0.5])
def test_a_value_instead_of_a_function_is_explained(check, value):
    verdict = check(value)
    assert not verdict.right
    assert "function is expected" in verdict.message
