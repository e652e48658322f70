"""Plots: right marks on the paper, clear errors, the same file twice."""

import io

import matplotlib

matplotlib.use("Agg")

import pytest
import torch

from cnnlib import plots
from cnnlib.inspection import summarize
from cnnlib.models import lenet
from cnnlib.papers import by_chapter, ilsvrc


def test_images_draws_each_image_once_and_hides_the_rest():
    figure = plots.images(torch.rand(7, 1, 5, 4), [str(i) for i in range(7)], columns=4)
    shown = [a for a in figure.axes if a.images]
    assert [a.get_title() for a in shown] == [str(i) for i in range(7)]
    assert len(figure.axes) == 8


def test_signed_images_share_one_scale_with_zero_in_the_middle():
    figure = plots.images(torch.tensor([[[0.5]], [[-2.0]]]), signed=True)
    assert {a.images[0].get_clim() for a in figure.axes} == {(-2.0, 2.0)}


def test_photographs_keep_their_colours():
    pictures = torch.rand(2, 3, 6, 4) / 2  # a grey picture would be stretched to white
    figure = plots.images(pictures, ["one", "two"])
    for axis, picture in zip(figure.axes, pictures, strict=True):
        shown = torch.as_tensor(axis.images[0].get_array())
        assert torch.allclose(shown.float(), picture.permute(1, 2, 0).float())
    for bad in (pictures * 3, pictures - 1):
        with pytest.raises(ValueError, match="colours are numbers from 0 to 1"):
            plots.images(bad)
    with pytest.raises(ValueError, match="signed=True"):
        plots.images(pictures, signed=True)


def test_images_refuses_other_shapes_and_other_numbers_of_titles():
    with pytest.raises(ValueError, match=r"\(N, H, W\)"):
        plots.images(torch.rand(2, 2, 4, 4))
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        plots.images(torch.rand(2, 4, 4), ["one"])


def test_curves_draws_every_seed_and_their_mean():
    runs = [
        [{"epoch": 1, "test_error": a}, {"epoch": 2, "test_error": b}] for a, b in ((4, 2), (2, 0))
    ]
    (axis,) = plots.curves({"net": runs}).axes
    assert [list(line.get_ydata()) for line in axis.lines] == [[4, 2], [2, 0], [3, 1]]


def test_curves_differ_without_colour():
    runs = [[{"epoch": 1, "test_error": 1.0}]]
    (axis,) = plots.curves({"a": runs, "b": runs}).axes
    looks = {(str(line.get_linestyle()), line.get_marker()) for line in axis.lines[1::2]}
    assert len(looks) == 2


def test_curves_explains_uneven_histories():
    row = {"epoch": 1, "test_error": 1.0}
    with pytest.raises(ValueError, match="differ in length"):
        plots.curves({"net": [[row], [row, row]]})
    with pytest.raises(ValueError, match="at least one arm"):
        plots.curves({})


def test_learning_draws_loss_and_error_of_both_splits_as_far_as_there_are():
    row = {"train_loss": 2.0, "train_error": 0.5, "test_loss": 3.0, "test_error": 0.6}
    rows = [row | {"epoch": epoch, "lr": 0.1} for epoch in range(1, 41)]
    loss, error = plots.learning(rows, title="net on data").axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2.0] * 40, [3.0] * 40]
    assert [list(line.get_ydata()) for line in error.lines] == [[0.5] * 40, [0.6] * 40]
    assert loss.lines[0].get_markevery() == 2  # of 40 epochs not all have a marker
    training = [{key: row[key] for key in row if not key.startswith("test")} for row in rows]
    assert [len(axis.lines) for axis in plots.learning(training).axes] == [1, 1]
    with pytest.raises(ValueError, match="at least one finished epoch"):
        plots.learning([])


def test_the_style_of_the_book_can_be_had_for_a_while():
    before = matplotlib.rcParams["svg.hashsalt"]
    with plots.book_style():
        assert matplotlib.rcParams["svg.hashsalt"] == "cnnlib"
    assert matplotlib.rcParams["svg.hashsalt"] == before


def test_the_architecture_names_every_stage_with_its_size():
    (axis,) = plots.architecture(summarize(lenet.lenet5(), (1, 32, 32))).axes
    words = {t.get_text() for t in axis.texts}
    assert {"C1", "6@28×28", "S4", "16@5×5", "C5", "120", "F6", "84"} <= words


def test_links_has_a_dot_per_link():
    (axis,) = plots.links(lenet.TABLE_1, 6, labels=("in", "out")).axes
    assert sum(len(c.get_offsets()) for c in axis.collections) == 60


def test_the_running_plot_fills_the_networks_up_to_the_chapter():
    dots = [dot for axis in plots.networks("alexnet").axes for dot in axis.collections]
    filled = [dot.get_facecolor()[0][:3].tolist() != [1, 1, 1] for dot in dots]
    assert filled == [i < 2 for i in range(len(by_chapter()))]
    with pytest.raises(ValueError, match="unknown paper"):
        plots.networks("perceptron")
    with pytest.raises(ValueError, match="'mobilenet_v2' has no dot .* about 'mobilenet'"):
        plots.networks("mobilenet_v2")


def test_the_contest_has_a_bar_as_high_as_the_error_of_each_winner():
    (axis,) = plots.ilsvrc().axes
    winners = ilsvrc.winners()
    bars = axis.patches
    assert [bar.get_height() for bar in bars] == [winner.error for winner in winners.values()]
    assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx(list(winners))
    assert axis.get_ylim()[0] == 0  # else the heights would lie about the ratios


def test_the_contest_shows_without_colour_which_entries_are_networks():
    (axis,) = plots.ilsvrc().axes
    hatched = [bar.get_hatch() is not None for bar in axis.patches]
    assert hatched == [not winner.convolutional for winner in ilsvrc.winners().values()]


def test_the_contest_tells_extra_data_and_the_person_apart_from_the_bars():
    (axis,) = plots.ilsvrc().axes
    heights = sorted({float(line.get_ydata()[0]) for line in axis.lines})
    extra = [e.error for e in ilsvrc.winners(extra_data=True).values() if e.extra_data]
    assert heights == sorted([ilsvrc.ANNOTATORS["A1"].error, *extra])
    words = " ".join(text.get_text() for text in axis.texts)
    assert "one trained person, 1,500 images: 5.1" in words
    assert words.count("with more") == 2


def test_the_same_drawing_is_the_same_file():
    plots.use_book_style()

    def svg():
        buffer = io.BytesIO()
        plots.networks().savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()

    assert svg() == svg()
