"""Small notebooks for the tests of the machinery."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tools import notebooks, setup_cell

QUIZ = """\
<div class="quiz">

**How many weights has a 5×5 kernel on one channel?**

1. 25
2. 25 for each pixel

<details><summary>Answer</summary>

1. **Yes.** All positions share them.
2. **No.** That would be a locally connected layer.

</details>
</div>
"""


def healthy(*sources: str) -> NotebookNode:
    """A notebook that keeps every rule: as stored, each code cell printed nothing."""
    cells = [nbformat.v4.new_markdown_cell("# A small chapter", id="title"), setup_cell.cell()]
    cells += [nbformat.v4.new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(sources)]
    cells.append(nbformat.v4.new_markdown_cell(QUIZ, id="quiz"))
    notebook = nbformat.v4.new_notebook(cells=cells)
    for count, cell in enumerate(notebooks.code_cells(notebook), 1):
        cell.execution_count = count
    return notebooks.normalised(notebook)


@pytest.fixture(scope="session")
def small_chapter() -> Callable[..., NotebookNode]:
    """Makes notebooks that keep every rule, from the sources of their code cells."""
    return healthy


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Writes a notebook to a file of its own folder."""

    def store(notebook: NotebookNode, name: str = "chapter.ipynb") -> Path:
        path = tmp_path / "chapters" / name
        notebooks.write_atomically(path, notebooks.dumps(notebook))
        return path

    return store
