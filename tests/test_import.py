"""What importing costs, each in a fresh process."""

import subprocess
import sys

import pytest

import cnnlib

HEAVY = ["torch", "torchvision", "matplotlib", "ipywidgets", "anywidget", "IPython", "accelerate"]


def imported_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_the_package_alone_imports_nothing_heavy():
    assert imported_after("import cnnlib").isdisjoint(HEAVY)


def test_models_need_only_torch():
    modules = imported_after("import cnnlib.models")
    assert "torch" in modules
    assert modules.isdisjoint(set(HEAVY) - {"torch"})
    ours = {name for name in modules if name.startswith("cnnlib")}
    assert {name for name in ours if not name.startswith("cnnlib.models")} == {"cnnlib"}


def test_public_names_are_there():
    assert cnnlib.create_model is cnnlib.models.create_model
    assert cnnlib.list_models() == list(cnnlib.models.MODELS)
    assert cnnlib.inspection.summarize
    assert {"create_model", "list_models", "models", "inspection"} <= set(dir(cnnlib))
    assert cnnlib.__version__.count(".") == 2


def test_star_import_brings_the_functions():
    names: dict[str, object] = {}
    exec("from cnnlib import *", names)
    assert names["create_model"] is cnnlib.create_model


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="cnnlib has no 'create_modell'.*create_model"):
        cnnlib.create_modell  # noqa: B018
