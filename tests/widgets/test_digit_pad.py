import base64
import math

import numpy as np
import pytest
import torch
from torch import nn

from cnnlib.models.lenet import MODERN, LeNet5
from cnnlib.program import to_program
from cnnlib.widgets import DigitPad


def stage_outputs(program, image):
    """What PyTorch gets for every stage of a program, with its rounded weights."""
    outputs = []
    for end, op in enumerate(program.ops, start=1):
        if "stage" in op:
            part = type(program)(program.ops[:end], program.weights, program.input_shape)
            result = part(image)[0]
            outputs.append(
                {
                    "name": op["stage"],
                    "shape": list(result.shape),
                    "values": result.flatten().tolist(),
                }
            )
    return outputs


def case(name, model, shape):
    torch.manual_seed(2)
    program = to_program(model.eval(), input_shape=shape)
    image = torch.rand(1, *shape) * 1.275 - 0.1
    return {
        "name": name,
        "ops": program.ops,
        "weights": base64.b64encode(program.weights).decode(),
        "shape": list(shape),
        "image": image.flatten().tolist(),
        "stages": stage_outputs(program, image.double()),
    }


def test_the_engine_computes_what_torch_computes(node_tests):
    torch.manual_seed(0)
    mixed = nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), groups=2, bias=False),
        nn.BatchNorm2d(4),
        nn.MaxPool2d(3, stride=2),
        nn.Conv2d(4, 8, 1, groups=4),
        nn.ReLU(),
        nn.AvgPool2d((1, 2), stride=1),
        nn.Sequential(nn.Flatten(), nn.LazyLinear(7, bias=False)),
    )
    mixed(torch.randn(5, 2, 13, 11))  # sizes the last layer and moves the batch statistics
    networks = {
        "LeNet-5": (LeNet5(), (1, 32, 32)),
        "the modern LeNet": (LeNet5(**MODERN, batch_norm=True), (1, 32, 32)),
        "average pooling": (LeNet5(subsampling="average"), (1, 32, 32)),
        "a mixture": (mixed, (2, 13, 11)),
    }
    bits = np.arange(65536, dtype="<u2")
    halves = [
        value if math.isfinite(value) else str(value) for value in bits.view("<f2").astype(float)
    ]
    node_tests(
        "network.test.mjs",
        script=DigitPad._esm,
        cases={
            "halves": {"bytes": base64.b64encode(bits.tobytes()).decode(), "values": halves},
            "programs": [case(name, *network) for name, network in networks.items()],
        },
    )


def test_a_drawing_is_prepared_as_mnist_was(node_tests):
    node_tests("digit_pad.test.mjs", script=DigitPad._esm)


def test_the_pad_carries_the_models_program():
    torch.manual_seed(0)
    model = LeNet5()
    program = to_program(model)
    pad = DigitPad(model)
    assert (pad.ops, pad.weights) == (program.ops, program.weights)
    assert (pad.low, pad.high, pad.size) == (-0.1, 1.175, 32)
    again = DigitPad(program)
    assert (again.ops, again.weights) == (program.ops, program.weights)
    assert (pad.prediction, pad.scores) == (-1, [])


def test_a_program_brings_its_own_scale():
    pad = DigitPad(to_program(LeNet5(), low=0.0, high=1.0))
    assert (pad.low, pad.high) == (0.0, 1.0)


def test_the_repr_names_the_network_and_nothing_that_changes():
    assert repr(DigitPad(LeNet5())) == "DigitPad(LeNet5)"


def test_the_fallback_does_not_depend_on_the_weights_and_shows_the_examples():
    images = torch.arange(2 * 784).reshape(2, 28, 28).to(torch.uint8)
    html = DigitPad(LeNet5(), examples=images).fallback_html()
    assert html == DigitPad(LeNet5(), examples=images[:, None].numpy()).fallback_html()
    assert html.count("<img") == 2 and 'alt="Example 2"' in html
    assert "<img" not in DigitPad(LeNet5()).fallback_html()


def test_the_pictures_of_the_fallback_are_the_examples(tmp_path):
    from matplotlib import image as matplotlib_image

    pixels = np.random.default_rng(0).integers(0, 256, (1, 28, 28), dtype=np.uint8)
    html = DigitPad(LeNet5(), examples=pixels).fallback_html()
    data = html.split("base64,")[1].split('"')[0]
    file = tmp_path / "example.png"
    file.write_bytes(base64.b64decode(data))
    read = matplotlib_image.imread(file)
    np.testing.assert_array_equal((read * 255).round().astype(np.uint8), pixels[0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": nn.Sequential(nn.GELU())}, TypeError, "GELU"),
        ({"model": LeNet5(), "size": 20}, ValueError, "at least 28.*got 20"),
        ({"model": to_program(LeNet5()), "size": 28}, ValueError, r"\(1, 32, 32\).*\(1, 28, 28\)"),
        ({"model": LeNet5(), "examples": np.zeros((2, 28, 28))}, ValueError, "uint8.*float64"),
        (
            {"model": LeNet5(), "examples": np.zeros((2, 32, 32), np.uint8)},
            ValueError,
            r"\(N, 28, 28\), got uint8 \(2, 32, 32\)",
        ),
    ],
)
def test_bad_input_is_explained(arguments, error, message):
    with pytest.raises(error, match=message):
        DigitPad(**arguments)


def test_an_image_to_classify_must_have_a_known_size():
    pad = DigitPad(LeNet5())
    pad.input = [0.0] * 784
    pad.input = [0.0] * 1024
    with pytest.raises(ValueError, match="784 values.*1024.*got 3"):
        pad.input = [1.0, 2.0, 3.0]
