import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from cnnlib.widgets import ConvStepper
from cnnlib.widgets.conv_stepper import PRESETS


def torch_output(image, kernel, stride, padding):
    image, kernel = (torch.tensor(m, dtype=torch.float64)[None, None] for m in (image, kernel))
    return F.conv2d(image, kernel, stride=stride, padding=padding)[0, 0]


def matrices(low, high):
    sides = st.tuples(st.integers(low, high), st.integers(low, high))
    numbers = st.floats(-100, 100, width=32) | st.integers(-9, 9)
    return sides.flatmap(
        lambda s: st.lists(
            st.lists(numbers, min_size=s[1], max_size=s[1]), min_size=s[0], max_size=s[0]
        )
    )


@given(matrices(3, 10), matrices(1, 5), st.integers(1, 3), st.integers(0, 2))
def test_the_output_equals_torch_for_any_input(image, kernel, stride, padding):
    stepper = ConvStepper(image, kernel, stride, padding)
    try:
        ours = stepper.output()
    except ValueError as error:
        assert "does not fit" in str(error)
        with pytest.raises(RuntimeError):
            torch_output(image, kernel, stride, padding)
    else:
        theirs = torch_output(image, kernel, stride, padding).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    assert stepper.fallback_html()


def test_the_script_computes_what_torch_computes(node_tests):
    rng = np.random.default_rng(0)
    cases = []
    for _ in range(300):
        image = rng.integers(-9, 10, rng.integers(3, 11, 2)).tolist()
        kernel = rng.normal(size=rng.integers(1, 6, 2)).round(3).tolist()
        stride, padding = int(rng.integers(1, 4)), int(rng.integers(0, 3))
        try:
            output = torch_output(image, kernel, stride, padding).tolist()
        except RuntimeError:  # the kernel does not fit
            output = None
        cases.append(
            dict(image=image, kernel=kernel, stride=stride, padding=padding, output=output)
        )
    assert any(case["output"] is None for case in cases)
    node_tests("conv_stepper.test.mjs", script=ConvStepper._esm, cases=cases)


def test_the_default_is_a_vertical_edge_that_the_kernel_finds():
    output = ConvStepper().output()
    assert output.shape == (4, 4)
    assert (output[:, 1:3] >= 20).all() and (np.abs(output[:, [0, 3]]) <= 3).all()


def test_a_stride_that_does_not_divide_evenly_is_rounded_down():
    assert ConvStepper(stride=2).output().shape == (2, 2)  # (6 - 3) / 2 = 1.5


@pytest.mark.parametrize("name", PRESETS)
def test_a_kernel_may_be_given_by_name(name):
    assert ConvStepper(kernel=name).kernel == PRESETS[name]


def test_the_identity_returns_the_inside_of_the_image():
    stepper = ConvStepper(kernel="identity")
    assert (stepper.output() == np.array(stepper.image)[1:-1, 1:-1]).all()


def test_the_presets_are_not_shared_between_widgets():
    one = ConvStepper()
    one.kernel[0][0] = 99
    assert ConvStepper().kernel[0][0] == -1


def test_arrays_and_tensors_are_welcome():
    expected = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    for image in (np.array(expected), torch.tensor(expected), tuple(map(tuple, expected))):
        assert ConvStepper(image).image == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": [[1, 2, 3], [4, 5], [6, 7, 8]]}, r"image must be rectangular.*\[3, 2, 3\]"),
        ({"image": [[1, 2], [3, 4]]}, "image must have 3 to 10 rows and columns, got 2 × 2"),
        ({"image": np.zeros((11, 4))}, "got 11 × 4"),
        ({"image": 5}, r"image must be rows of numbers such as"),
        ({"image": [1, 2, 3]}, r"image must be rows of numbers such as"),
        ({"image": np.zeros((1, 4, 4))}, r"image must hold numbers|3 to 10"),
        ({"image": [["a"] * 3] * 3}, "image must hold numbers, got 'a'"),
        ({"image": [[True] * 3] * 3}, "image must hold numbers, got True"),
        ({"image": [[float("nan")] * 3] * 3}, "image must hold finite numbers"),
        ({"kernel": []}, "kernel must have 1 to 5 rows and columns, got 0 × 0"),
        ({"kernel": np.ones((6, 6))}, "kernel must have 1 to 5"),
        ({"kernel": "edge"}, "no kernel is called 'edge'; there are vertical, horizontal"),
        ({"stride": 0}, "stride must be 1 to 3, got 0"),
        ({"stride": 4}, "stride must be 1 to 3, got 4"),
        ({"padding": -1}, "padding must be 0 to 2, got -1"),
        ({"padding": 3}, "padding must be 0 to 2, got 3"),
    ],
)
def test_bad_input_is_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvStepper(**arguments)


def test_a_change_is_checked_like_the_start():
    stepper = ConvStepper()
    stepper.kernel = np.array(PRESETS["vertical"])
    with pytest.raises(ValueError, match="kernel must be rectangular"):
        stepper.kernel = [[1, 2], [3]]
    with pytest.raises(ValueError, match="step must be 0 or more, got -1"):
        stepper.step = -1
    assert stepper.kernel == PRESETS["vertical"] and stepper.step == 0


def test_a_kernel_that_does_not_fit_is_explained_without_an_exception_on_display():
    stepper = ConvStepper(np.ones((3, 3)), np.ones((5, 5)))
    with pytest.raises(ValueError, match="5 × 5 kernel does not fit into a 3 × 3 image"):
        stepper.output()
    assert "5 × 5 kernel does not fit into a 3 × 3 image" in stepper.fallback_html()
    stepper.padding = 1
    assert stepper.output().tolist() == [[9.0]]


def test_the_fallback_shows_the_computed_numbers():
    html = ConvStepper(
        image=[[1, 2, 3], [4, 5, 6], [7, 8, 9.5]], kernel=[[1, -0.5]]
    ).fallback_html()
    cells = [cell.split("</td>")[0] for cell in html.split("<td")[1:]]
    values = [cell.split(">")[1] for cell in cells]
    expected = ["1", "2", "3", "4", "5", "6", "7", "8", "9.5", "1", "−0.5"]
    assert values == [*expected, "0", "0.5", "1.5", "2", "3", "3.25"]
    assert html.count("<caption") == 3 and "Output, 3 × 2" in html


def test_the_repr_tells_the_settings():
    stepper = ConvStepper(image=np.ones((3, 5)), kernel=[[1, 2]], stride=2, padding=1)
    assert repr(stepper) == "ConvStepper(image 3 x 5, kernel 1 x 2, stride 2, padding 1)"
