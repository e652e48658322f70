"""A book of four pages with everything that the site has to cope with, for trying out the builder.

It has the configuration, extension and style of the real book, and pages of its own: text with
figures, formulas, a table that is too wide, a quiz and citations; a notebook whose widgets are all
anywidgets; a notebook with core ipywidgets.

``python tests/site/mini_book.py FOLDER`` writes it, to look at.
"""

from __future__ import annotations

import base64
import shutil
import sys
from pathlib import Path

import anywidget
import ipywidgets
import nbformat
import traitlets
import yaml
from ipywidgets.embed import dependency_state, embed_data

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # also as a script
from tools import setup_cell  # noqa: E402

COPIED = ("_config.yml", "_ext", "_static", "tools", "pyproject.toml", "README.md", "LICENSE")
LINKED = ("cnnlib", "node_modules")  # large, and only read

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p9V0cAAAAABJRU5ErkJggg=="
)
DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 80" width="200" height="80">
<rect width="200" height="80" fill="white"/><path d="M10 70L190 10" stroke="black"/></svg>
"""
QUIZ = """<div class="quiz">

**1. How many weights has a kernel of $3\\times3$?**

- three
- nine
- it depends on the image

<details><summary>Answers</summary>

- **No.** That is one side.
- **Yes.** Three by three.
- **No.** The same kernel slides over every image.

</details>

</div>
"""
WIDE = "| " + " | ".join(f"column {n}" for n in range(20)) + " |\n" + "|---" * 20 + "|\n"
WIDE += "| " + " | ".join(f"{n}" * 8 for n in range(20)) + " |\n"

INDEX = f"""# A small book

A book that is small enough to be read by a test, and has one of everything.

```{{figure}} drawing.svg
:name: drawing
:class: dark-invert
:alt: A line from the lower left to the upper right.

A line. Look at its slope.
```

{{numref}}`drawing` shows a line, and {{cite:t}}`someone1998` wrote about it. A convolution sums
products, see {{eq}}`sum`:

$$
y_{{ij}} = \\sum_{{u,v}} w_{{uv}}\\, x_{{i+u,\\,j+v}} + b
$$ (sum)

\\begin{{align}}
a &= b \\\\
c &= \\max(0, d)
\\end{{align}}

A formula that is too long for a phone:

$$
1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 + 13 + 14 + 15 + 16 + 17 + 18 + 19 + 20 + 21 + 22
= 253
$$

```{{note}}
The [words](words.md#kernel) are explained, the [notebook](chapters/live.ipynb) is alive.
```

```python
print("a line of code that is too long for the screen of a phone, so that it has to scroll", 2)
```

{WIDE}
{QUIZ}
<details><summary>A hint</summary>

Think of `nine`.

</details>
"""
WORDS = """# Words

## Kernel

A small array of weights that a convolution slides over its input.
"""
BIBLIOGRAPHY = """# References

```{bibliography}
```
"""
BIBTEX = """@article{someone1998,
  author = {Someone, Ann and Other, Ben}, title = {On Lines}, journal = {Journal of Lines},
  year = {1998}, volume = {1}, pages = {1--2}, doi = {10.1000/1}
}
"""


class Counter(anywidget.AnyWidget):
    """A button that counts; its first number comes as bytes."""

    _esm = """
    function render({ model, el }) {
      const button = document.createElement("button");
      const show = () => { button.textContent = `count ${model.get("count")}`; };
      model.on("change:count", show);
      button.addEventListener("click", () => {
        model.set("count", model.get("count") + 1);
        model.save_changes();
      });
      const first = document.createElement("output");
      first.textContent = `first byte ${model.get("bytes").getUint8(0)}`;
      el.append(button, first);
      show();
    }
    export default { render };
    """
    _css = "button { min-width: 6rem; }"
    count = traitlets.Int(2).tag(sync=True)
    bytes = traitlets.Bytes(b"\x07").tag(sync=True)


class Broken(anywidget.AnyWidget):
    """A widget whose script fails."""

    _esm = "export default { render() { throw new Error('broken on purpose'); } };"


def notebook(title: str, *views: ipywidgets.Widget) -> nbformat.NotebookNode:
    """A notebook that shows some widgets, each with a still picture; as if it had been run."""
    new = nbformat.v4
    cells = [
        new.new_markdown_cell(
            f"# {title}\n\nA notebook with widgets, and a *table* that pandas made."
        ),
        setup_cell.cell(),
    ]
    state = dependency_state(list(views), drop_defaults=False)
    data = embed_data(views=list(views), state=state)
    for number, spec in enumerate(data["view_specs"]):
        bundle = {
            "application/vnd.jupyter.widget-view+json": spec,
            "text/html": f"<p>The still picture of widget {number}.</p>",
            "text/plain": "Widget()",
        }
        output = new.new_output("display_data", data=bundle)
        cells.append(new.new_code_cell("widget", outputs=[output]))
    picture = {"image/png": base64.b64encode(DOT).decode(), "text/plain": "<Figure>"}
    alt = {"mystnb": {"image": {"alt": "A dot."}}, "tags": ["dark-invert"]}
    output = new.new_output("display_data", data=picture)
    cells.append(new.new_code_cell("figure", outputs=[output], metadata=alt))
    table = "<table border='1' class='dataframe'><thead><tr>" + "<th>a column</th>" * 15
    table += "</tr></thead><tbody><tr>" + "<td>12345678</td>" * 15 + "</tr></tbody></table>"
    output = new.new_output("execute_result", data={"text/html": table, "text/plain": "…"})
    output["execution_count"] = 1
    cells.append(new.new_code_cell("frame", outputs=[output]))
    output = new.new_output("stream", text="a long line of output " * 12 + "\n")
    cells.append(new.new_code_cell("print('a long line of output ' * 12)", outputs=[output]))
    count = 0
    for cell in cells:
        if cell.cell_type == "code":
            cell.execution_count = count = count + 1
    stored = {"application/vnd.jupyter.widget-state+json": data["manager_state"]}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    info = {"kernelspec": kernel, "language_info": {"name": "python"}, "widgets": stored}
    return new.new_notebook(cells=cells, metadata=info | {"cnnlib": {"data": []}})


def write(folder: Path) -> Path:
    """Write the book.

    Args:
        folder: Where to; must not exist.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True)
    for name in COPIED:
        source, target = ROOT / name, folder / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    pages = ["words", "references", "chapters/live", "chapters/managed"]
    toc = {"format": "jb-book", "root": "index", "chapters": [{"file": page} for page in pages]}
    texts = {
        "_toc.yml": yaml.safe_dump(toc, sort_keys=False),
        "index.md": INDEX,
        "words.md": WORDS,
        "references.md": BIBLIOGRAPHY,
        "references.bib": BIBTEX,
        "drawing.svg": DRAWING,
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "chapters").mkdir()
    slider = ipywidgets.IntSlider(3, 0, 9, description="side")
    live, managed = notebook("Alive", Counter(), Broken()), notebook("Managed", slider, Counter())
    nbformat.write(live, folder / "chapters/live.ipynb")
    nbformat.write(managed, folder / "chapters/managed.ipynb")
    return folder


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
