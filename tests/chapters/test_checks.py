"""Each rule for chapters finds the fault that it is there for, and spares a sound notebook."""

import base64
import re
from types import SimpleNamespace

import nbformat
import pytest

from tools import checks, notebooks, setup_cell


def picture(size: int = 100) -> nbformat.NotebookNode:
    data = {
        "image/png": base64.b64encode(b"\0" * size).decode(),
        "text/plain": "<Figure size 100x100>",
    }
    return nbformat.v4.new_output("display_data", data)


def stream(text: str, name: str = "stdout") -> nbformat.NotebookNode:
    return nbformat.v4.new_output("stream", name=name, text=text)


@pytest.fixture
def book(small_chapter) -> SimpleNamespace:
    """A sound notebook, and its cells by name: setup, first, second, and the Markdown ones."""
    notebook = small_chapter("a = 1", "b = 2")
    title, setup, first, second, quiz = notebook.cells
    return SimpleNamespace(
        notebook=notebook, title=title, setup=setup, first=first, second=second, quiz=quiz
    )


def faults(book: SimpleNamespace) -> list[str]:
    return [fault for check in checks.CHECKS for fault in check(book.notebook)]


def the_fault(book: SimpleNamespace) -> str:
    found = faults(book)
    assert len(found) == 1, found
    return found[0]


def test_a_sound_notebook_has_no_fault(book):
    assert faults(book) == []


def test_a_cell_that_was_never_run_is_found(book):
    book.second.execution_count = None
    assert "cell 3, nbval's Cell 2 (b = 2) has execution count None" in the_fault(book)


def test_cells_run_out_of_order_are_found(book):
    book.first.execution_count, book.second.execution_count = 3, 2
    assert len(checks.every_cell_was_run_in_order(book.notebook)) == 2


def test_a_stored_traceback_is_found(book):
    book.first.outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no")]
    assert "stores an error: ValueError" in the_fault(book)


def test_a_stored_warning_is_found(book):
    book.first.outputs = [stream("UserWarning: old", "stderr")]
    assert "stores stderr" in the_fault(book)


@pytest.mark.parametrize("how", ["tag", "comment"])
def test_a_cell_that_is_not_compared_needs_a_reason(small_chapter, how):
    notebook = small_chapter(*["x = 1"] * 10)
    cell = notebook.cells[5]
    if how == "tag":
        cell.metadata["tags"] = ["nbval-ignore-output"]
    else:
        cell.source = "# NBVAL_IGNORE_OUTPUT\n" + cell.source
    assert len(checks.every_exempt_cell_says_why(notebook)) == 1
    cell.metadata["cnnlib"] = {"reason": "prints the time"}
    assert checks.every_exempt_cell_says_why(notebook) == []


@pytest.mark.parametrize(("exempt", "sound"), [(3, True), (4, False)])
def test_at_least_85_of_100_cells_are_compared(small_chapter, exempt, sound):
    notebook = small_chapter(*["x = 1"] * 19)  # 20 with the setup cell
    for cell in notebook.cells[2 : 2 + exempt]:
        cell.metadata["tags"] = ["nbval-skip"]
    assert (checks.enough_cells_are_compared(notebook) == []) == sound


def test_a_changed_setup_cell_is_found(book):
    book.setup.source += "\n!pip install something"
    assert "run `python -m tools.setup_cell`" in the_fault(book)


def test_a_setup_cell_that_is_not_the_first_code_cell_is_found(book):
    cells = book.notebook.cells
    cells[1], cells[2] = cells[2], cells[1]
    assert checks.the_setup_cell_is_the_generated_one(book.notebook)


def test_a_large_output_is_found(book):
    book.first.outputs = [stream("x" * 200_001)]
    assert "its outputs take" in the_fault(book)


def test_a_large_picture_is_found(book):
    book.first.outputs = [picture(150_001)]
    book.first.metadata["mystnb"] = {"image": {"alt": "Nothing."}}
    assert any("a PNG take" in fault for fault in faults(book))


def test_much_widget_state_is_found(book):
    book.notebook.metadata["widgets"] = {notebooks.WIDGET_STATE: {"state": {"a": "x" * 500_000}}}
    assert "its widget state" in the_fault(book)


def test_a_long_cell_is_found_unless_it_is_folded(book):
    book.first.source = "\n".join(["a = 1"] * 16)
    assert "16 lines, at most 15" in the_fault(book)
    book.first.metadata["tags"] = ["hide-cell"]
    assert faults(book) == []


def test_a_figure_without_alt_text_is_found(book):
    book.first.outputs = [picture()]
    assert "mystnb.image.alt" in the_fault(book)
    book.first.metadata["mystnb"] = {"image": {"alt": "A line that falls."}}
    assert faults(book) == []


def test_two_figures_cannot_share_one_alt_text(book):
    book.first.outputs = [picture(), picture()]
    book.first.metadata["mystnb"] = {"image": {"alt": "A line that falls."}}
    assert "draws 2 pictures" in the_fault(book)


@pytest.mark.parametrize("html", ["<img src='data:x'>", '<img alt="" src="data:x">', "<svg></svg>"])
def test_html_pictures_without_alt_text_are_found(book, html):
    book.first.outputs = [nbformat.v4.new_output("display_data", {"text/html": html})]
    assert "without a" in the_fault(book)


def test_a_markdown_image_without_alt_text_is_found(book):
    book.title.source += "\n\n![](attachment:a.png)"
    assert "an image without alt text" in the_fault(book)


@pytest.mark.parametrize("target", ["figures/lenet.svg", "https://example.org/a.png"])
def test_a_picture_from_elsewhere_is_found(book, target):
    book.title.source += f"\n\n![The network]({target})"
    assert f"shows {target}" in the_fault(book)


@pytest.mark.parametrize("fence", ["```{note}\nHi\n```", ":::{tip}\nHi\n:::"])
def test_a_directive_is_found(book, fence):
    book.title.source += f"\n\n{fence}"
    assert "a directive" in the_fault(book)


def test_a_second_title_is_found_but_not_a_comment_in_code(book):
    book.title.source += "\n\n```python\n# a comment\n```"
    assert faults(book) == []
    book.title.source += "\n\n# Again"
    assert "2 titles" in the_fault(book)


@pytest.mark.parametrize(
    "code",
    [
        "interact(f, x=3)",
        "@interact\ndef f(x): ...",
        "interactive_output(f, {})",
        "out = widgets.Output()",
        "clear_output(wait=True)",
        "display(x, display_id=True)",
    ],
)
def test_what_needs_a_kernel_to_show_is_found(book, code):
    book.first.source = code
    assert "neither nbval nor the site" in the_fault(book)


@pytest.mark.parametrize("path", ["/home/ada/book", "/tmp/x.pt", r"C:\Users"])
def test_a_path_of_a_machine_is_found_in_outputs(book, path):
    book.first.outputs = [stream(f"saved to {path}")]
    assert "names a folder of a computer" in the_fault(book)


def test_an_address_or_a_fraction_is_no_path_of_a_machine(book):
    book.first.outputs = [stream("see https://example.org/home/ada and 3/opt")]
    assert faults(book) == []


def test_a_version_in_the_metadata_is_found(book):
    book.notebook.metadata["language_info"] = {"name": "python", "version": "3.12.1"}
    assert "metadata language_info" in the_fault(book)


def test_data_that_are_loaded_but_not_declared_are_found(book):
    book.first.source = 'digits = data.load("mnist_5k")'
    assert "loads mnist_5k" in the_fault(book)
    book.notebook.metadata["cnnlib"] = {"data": ["mnist_5k"]}
    assert faults(book) == []


def test_declared_data_that_do_not_exist_are_found(book):
    book.notebook.metadata["cnnlib"] = {"data": ["mnist_5000"]}
    assert "'mnist_5000'" in the_fault(book)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("**How many", "How many", "one bold question before its choices, found 0"),
        ("2. 25 for each pixel\n", "", "at least two choices, found 1"),
        ("2. **No.** That would be a locally connected layer.\n", "", "1 items of feedback"),
        ("**No.**", "No.", "begins with **Yes.** or **No.**"),
        ("**No.**", "**Yes.**", "exactly one choice is right, found 2"),
        ("**Yes.**", "**No.**", "exactly one choice is right, found 0"),
        ("</div>", "", "not closed by </div>"),
        ("<details>", "", "exactly one <details>"),
        ("</summary>\n\n", "</summary>\n", "a blank line after it"),
        ('<div class="quiz">\n\n', '<div class="quiz">\n', "a blank line must follow"),
    ],
)
def test_a_malformed_quiz_is_found(book, before, after, told):
    assert before in book.quiz.source
    book.quiz.source = book.quiz.source.replace(before, after)
    assert any(told in fault for fault in faults(book)), faults(book)


def test_the_report_counts_cells_and_lists_the_exempt_ones(small_chapter, stored):
    notebook = small_chapter("a = 1", "b = 2", "import time")
    notebook.cells[4].metadata = {
        "tags": ["nbval-ignore-output"],
        "cnnlib": {"reason": "prints the time"},
    }
    lines = checks.report([stored(notebook)])
    assert lines[0] == "chapter.ipynb: 3 of 4 cells compared (75%)"
    assert re.search(r"not compared: cell 4.*\(import time\): prints the time", lines[1])


def test_every_rule_is_in_the_list():
    rules = [
        value
        for name, value in vars(checks).items()
        if getattr(value, "__annotations__", {})
        == {"notebook": "NotebookNode", "return": "list[str]"}
        and not name.startswith("_")
    ]
    listed = [*checks.CHECKS, checks.data_needed]
    assert {rule.__name__ for rule in rules} == {rule.__name__ for rule in listed}


def test_the_setup_cell_is_put_first_and_only_once(small_chapter):
    notebook = small_chapter("a = 1")
    setup_cell.put_into(notebook)
    del notebook.cells[1]
    assert setup_cell.put_into(notebook)
    assert not setup_cell.put_into(notebook)
    assert [setup_cell.is_setup(cell) for cell in notebook.cells] == [False, True, False, False]
