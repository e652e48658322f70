import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnnlib import widgets
from cnnlib.widgets import ConvStepper, ResidualPaths, RunCurves, Widget
from cnnlib.widgets.base import bundle
from tests.widgets.samples import WIDGETS

FOLDER = Path(bundle.__code__.co_filename).parent


@pytest.fixture(params=WIDGETS.values(), ids=WIDGETS)
def make(request):
    return request.param


def test_a_bundle_holds_each_imported_file_once_and_before_its_use(tmp_path):
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport const b = a;\n')
    (tmp_path / "c.js").write_text(
        'import {\n  a,\n} from "./a.js";\nimport { b } from "./b.js";\nexport default a + b;\n'
    )
    text = bundle(tmp_path / "c.js")
    assert [line for line in text.splitlines() if not line.startswith("//")] == [
        "export const a = 1;",
        "export const b = a;",
        "export default a + b;",
    ]


def test_scripts_import_nothing_and_styles_fetch_nothing(make):
    widget = make()
    assert not re.search(r"^\s*import\b|\bimport\s*\(", widget._esm, re.MULTILINE)
    addresses = re.findall(r"https?://[^\"'\s)]+", widget._esm + widget._css)
    assert set(addresses) <= {"http://www.w3.org/2000/svg"}  # a name, nothing is fetched
    assert "url(" not in widget._css and "@import" not in widget._css


def test_styles_of_imported_scripts_come_along_once_and_before_those_of_the_widget():
    assert ".cnn-plot" not in ConvStepper._css
    for widget in (RunCurves, ResidualPaths):
        places = [widget._css.index(rule) for rule in (".cnn-field {", ".cnn-plot {")]
        assert places == sorted(places)
        assert widget._css.count(".cnn-plot {") == 1
    assert ResidualPaths._css.index(".cnn-plot {") < ResidualPaths._css.index(".cnn-networks {")


def test_no_word_that_a_reader_sees_stands_in_a_script():
    scripts = sorted(FOLDER.glob("*.js"))
    assert len(scripts) > 5
    for script in scripts:
        code = re.sub(r"//[^\n]*|/\*[\s\S]*?\*/", "", script.read_text())
        assert "export" in code  # the comments are gone, not the rest
        literals = re.findall(r'"([^"\n]*)"', code)
        assert not [text for text in literals if re.match(r"[A-Z][a-z]+ [a-z]", text)]


def test_every_label_is_used_and_every_used_label_exists(make):
    widget = make()
    code = widget._esm + Path(type(widget)._source).read_text()
    families = re.findall(r"`(\w+_)\$\{", widget._esm)  # such as text(`view_${name}`)
    for key in widget.LABELS:
        dynamic = key.startswith(("preset_", "stage_", *families))
        rest = code.replace(f'"{key}": ', "", 1)
        assert dynamic or f'"{key}"' in rest or f"['{key}']" in rest, key
    for key in re.findall(r'\btext\("(\w+)"', widget._esm):
        assert key in widget.LABELS, key


def test_labels_are_english_unless_given(make):
    assert make().labels == make().LABELS
    widget = make(labels={"name": "Zeichnen"})
    assert widget.labels == {**widget.LABELS, "name": "Zeichnen"}
    widget.labels = {"name": "again"}
    assert widget.labels == {**widget.LABELS, "name": "again"}


def test_unknown_labels_are_named(make):
    with pytest.raises(ValueError, match="'caption'.*its labels are.*name"):
        make(labels={"caption": "x"})


def test_a_placeholder_that_nothing_fills_in_is_refused():
    with pytest.raises(ValueError, match=r"'step'.*\{seite\}.*Step \{step\}"):
        ConvStepper(labels={"step": "Schritt {seite}"})
    with pytest.raises(ValueError, match="'step'.*must be a text, got 3"):
        ConvStepper(labels={"step": 3})


def test_a_widget_looks_the_same_each_time(make):
    one, other = make(), make()
    assert repr(one) == repr(other)
    assert "0x" not in repr(one)
    assert one.fallback_html() == other.fallback_html()


def test_a_display_offers_widget_html_and_text(make):
    widget = make()
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget)
    assert data["text/html"] == widget.fallback_html()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id


def test_colab_gets_no_second_copy(make, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    data, _ = make()._repr_mimebundle_()
    assert "text/html" not in data


def test_ipython_takes_the_bundle_whatever_the_version_of_ipywidgets(make):
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(make())
    assert {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"} <= set(data)


def test_closed_braces_in_labels_are_harmless_in_fallbacks():
    html = ConvStepper(labels={"name": "<b>&"}).fallback_html()
    assert "&lt;b&gt;&amp;" in html and "<b>&" not in html


def test_an_interactive_is_light(make):
    """What is its own: its data are a chapter's choice, and the page is weighed as a whole."""
    widget = make()
    code = len(widget._esm.encode()) + len(widget._css.encode()) + len(str(widget.labels).encode())
    assert code < 60_000


def test_every_interactive_of_the_library_has_a_sample():
    assert {type(make()).__name__ for make in WIDGETS.values()} == {*widgets.__all__} - {"Widget"}


def test_a_subclass_needs_nothing_but_its_files():
    assert issubclass(ConvStepper, Widget)
    with pytest.raises(NotImplementedError):
        Widget.fallback_html(ConvStepper())


def test_importing_cnnlib_imports_no_widget():
    code = "import sys, cnnlib; print([m for m in ('anywidget', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_small_helpers_do_what_they_say(node_tests):
    node_tests("common.test.mjs", script=bundle(FOLDER / "common.js"))


def test_without_anywidget_the_fallback_is_shown():
    code = """
import importlib.util
find_spec = importlib.util.find_spec  # as if it were not installed
importlib.util.find_spec = lambda name, *a: None if name == "anywidget" else find_spec(name, *a)
from cnnlib.widgets import ConvStepper
data, _ = ConvStepper(stride=2)._repr_mimebundle_()
print(sorted(data), "<table" in data["text/html"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['text/html', 'text/plain'] True"
