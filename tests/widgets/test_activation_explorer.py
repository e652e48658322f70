import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnlib.models.lenet import ScaledTanh
from cnnlib.widgets import ActivationExplorer
from cnnlib.widgets.activation_explorer import COMPARED, INPUTS, RANGES, UNITS, WIDTH, _normals

IN_TORCH = {
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "scaled_tanh": ScaledTanh(),
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
}


def torch_chain(unit, depth, scale, seed):
    """Sizes of the gradient by torch's own backpropagation, on the widget's random numbers."""
    draw = _normals(seed)

    def matrix(rows):
        numbers = [next(draw) for _ in range(rows * WIDTH)]
        return torch.tensor(numbers, dtype=torch.float64).view(rows, WIDTH)

    signals = [matrix(INPUTS).requires_grad_()]
    top = matrix(INPUTS)
    for _ in range(depth):
        layer = nn.Linear(WIDTH, WIDTH, bias=False, dtype=torch.float64)
        layer.weight.data = matrix(WIDTH) * scale / WIDTH**0.5
        signals.append(IN_TORCH[unit](layer(signals[-1])))
    found = torch.autograd.grad((signals[-1] * top).sum(), signals)
    sizes = [gradient.square().mean().sqrt().item() for gradient in reversed(found)]
    return [size / sizes[0] for size in sizes]


@pytest.mark.parametrize("unit", UNITS)
def test_value_and_slope_are_those_of_torch(unit):
    x = torch.linspace(-6, 6, 120, dtype=torch.float64, requires_grad=True)  # without 0
    y = IN_TORCH[unit](x)
    [slope] = torch.autograd.grad(y.sum(), x)
    points = x.detach().numpy()
    np.testing.assert_allclose(UNITS[unit].value(points), y.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(UNITS[unit].slope(points), slope.numpy(), atol=1e-12)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(("depth", "scale", "seed"), [(1, 1.0, 0), (8, 1.4, 3), (20, 0.7, 9999)])
def test_the_chain_is_torchs_backpropagation(unit, depth, scale, seed):
    chain = ActivationExplorer(unit, depth=depth, scale=scale, seed=seed).chain()
    np.testing.assert_allclose(chain.gradients, torch_chain(unit, depth, scale, seed), rtol=1e-9)
    assert len(chain.slopes) == depth


def test_the_script_computes_what_torch_computes(node_tests):
    x = np.linspace(-6, 6, 120)
    cases = {
        "x": x.tolist(),
        "units": {
            name: [unit.value(x).tolist(), unit.slope(x).tolist()] for name, unit in UNITS.items()
        },
        "chains": [
            dict(unit=unit, depth=depth, scale=scale, seed=seed, gradients=gradients, slopes=slopes)
            for unit in UNITS
            for depth, scale, seed in [(1, 1.0, 0), (8, 1.4, 3), (30, 0.7, 42), (30, 4.0, 9999)]
            for gradients, slopes in [ActivationExplorer(unit, 1.0, depth, scale, seed).chain()]
        ],
        "ranges": RANGES,
    }
    node_tests("activation_explorer.test.mjs", script=ActivationExplorer._esm, cases=cases)


def test_saturating_slopes_multiply_to_almost_nothing_and_those_of_relu_do_not():
    deep = ActivationExplorer(depth=8, scale=2**0.5)
    logistic, tanh, relu = (deep.chain(unit) for unit in COMPARED)
    assert max(logistic.slopes) <= 0.25 and max(tanh.slopes) <= 1
    assert logistic.gradients[-1] < 1e-3 < 0.1 < relu.gradients[-1]


def test_seeds_draw_other_numbers_and_the_same_again():
    one, again, other = (ActivationExplorer(seed=seed).chain().gradients for seed in (1, 1, 2))
    assert one == again != other


def test_the_random_numbers_are_normal():
    draw = _normals(7)
    numbers = np.array([next(draw) for _ in range(20_000)])
    assert abs(numbers.mean()) < 0.03 and abs(numbers.std() - 1) < 0.03
    assert abs((np.abs(numbers) < 1).mean() - 0.6827) < 0.02


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "sigmoid"}, "no unit is called 'sigmoid'; there are logistic, tanh"),
        ({"x": 7}, "x must be -6 to 6, got 7"),
        ({"x": float("nan")}, "x must be -6 to 6, got nan"),
        ({"depth": 0}, "depth must be 1 to 30, got 0"),
        ({"depth": 31}, "depth must be 1 to 30, got 31"),
        ({"scale": 0.0}, "scale must be 0.1 to 4, got 0"),
        ({"seed": -1}, "seed must be 0 to 9999, got -1"),
    ],
)
def test_bad_input_is_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        ActivationExplorer(**arguments)


def test_the_fallback_shows_both_charts_and_the_numbers():
    explorer = ActivationExplorer("gelu", x=0.0, depth=5)
    html = explorer.fallback_html()
    assert html.count("<svg") == 2 and "At 0 the value is 0 and the slope 0.5." in html
    for unit in (*COMPARED, "gelu"):
        assert f"{explorer.chain(unit).gradients[-1]:.2g}" in html
    assert html == ActivationExplorer("gelu", x=0.0, depth=5).fallback_html()


def test_the_repr_tells_the_settings():
    expected = "ActivationExplorer(tanh at -1.5; 12 layers, weights of scale 1.4, seed 3)"
    assert repr(ActivationExplorer("tanh", -1.5, 12, 1.4, 3)) == expected
