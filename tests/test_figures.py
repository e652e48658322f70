"""The figures of the Markdown pages are what the records say today."""

from tools.draw_figures import FIGURES, draw


def test_the_figures_are_up_to_date(tmp_path):
    for path in draw(tmp_path):
        stored = FIGURES / path.name
        assert stored.read_bytes() == path.read_bytes(), (
            f"run: python -m tools.draw_figures ({stored.name})"
        )
