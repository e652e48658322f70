"""Draw the figures of the Markdown pages: ``python -m tools.draw_figures``.

Chapters draw their own figures in cells; ``index.md`` has no cells. The drawing is the same file
each time, and a test compares it with what ``cnnlib.papers`` says today.
"""

from __future__ import annotations

from pathlib import Path

from cnnlib import plots

FIGURES = Path(__file__).parents[1] / "figures"


def draw(folder: Path = FIGURES) -> list[Path]:
    """Write every figure into ``folder`` and return the paths."""
    plots.use_book_style()
    folder.mkdir(exist_ok=True)
    path = folder / "networks.svg"
    plots.networks().savefig(path, metadata={"Date": None})
    return [path]


if __name__ == "__main__":
    for path in draw():
        print(path)
