import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from cnnlib.models.lenet import MODERN, LeNet5
from cnnlib.program import OPERATIONS, Builder, Program, convert, to_program

OPTIONS = [
    {},
    MODERN,
    {**MODERN, "batch_norm": True},
    {"subsampling": "average"},
    {"connections": "full", "activation": "relu"},
    {"output": "linear"},
]


def trained(model):
    """A model whose batch statistics and subsampling coefficients are not the trivial ones."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if value.is_floating_point() and "codes" not in name:
                value.mul_(1 + 0.5 * torch.rand_like(value)).add_(0.01 * torch.rand_like(value))
    return model.eval()


def rounded(model):
    """The same model with every weight rounded to half precision."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(value.half())
    return model


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_program_computes_what_the_model_computes(options):
    model = trained(LeNet5(**options))
    images = torch.rand(8, 1, 32, 32) * 1.275 - 0.1
    program = to_program(model)
    scores = model(images)
    # Batch norm is folded before rounding, so there the rounding differs a little.
    tolerance = 2e-3 if options.get("batch_norm") else 1e-4
    torch.testing.assert_close(
        program(images),
        rounded(model)(images),
        rtol=tolerance,
        atol=tolerance * scores.abs().max().item(),
    )
    assert (program(images).argmax(1) == scores.argmax(1)).float().mean() >= 7 / 8


def test_the_stages_are_the_parts_of_the_paper():
    assert to_program(LeNet5()).stages == ["c1", "s2", "c3", "s4", "c5", "f6", "output"]


def test_the_operations_survive_json_and_the_weights_are_counted():
    program = to_program(LeNet5())
    assert json.loads(json.dumps(program.ops)) == program.ops
    tensors = [v for op in program.ops for v in op.values() if isinstance(v, dict)]
    sizes = [int(np.prod(tensor["shape"])) for tensor in tensors]
    assert [t["at"] for t in tensors] == [sum(sizes[:i]) for i in range(len(sizes))]
    # 60,000 trainable ones, 900 for the links that Table I leaves out, 840 of the bitmaps
    assert len(program.weights) == 2 * sum(sizes) == 2 * (60_000 + 900 + 840)


def test_the_weights_are_little_endian_halves_in_order():
    layer = nn.Linear(3, 2)
    program = to_program(nn.Sequential(layer))
    numbers = np.frombuffer(program.weights, "<f2")
    expected = torch.cat([layer.weight.flatten(), layer.bias]).detach().half().numpy()
    assert (numbers == expected).all()


def test_nested_chains_dropout_and_groups_are_exported():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(4)),
        nn.Dropout(0.5),
        nn.Sequential(nn.AvgPool2d((2, 1)), nn.Conv2d(4, 6, (1, 3), stride=(1, 2)), nn.ReLU()),
        nn.Identity(),
        nn.MaxPool2d(3, stride=1),
        nn.Flatten(),
        nn.LazyLinear(5),
    )
    images = torch.randn(3, 2, 8, 9)
    model(images)  # gives the linear layer its size
    model = trained(model)
    program = to_program(model, input_shape=(2, 8, 9))
    assert program.stages == ["0", "2", "4", "5", "6"]
    torch.testing.assert_close(program(images), model(images), rtol=5e-3, atol=5e-3)


def test_exporting_does_not_change_the_model():
    model = LeNet5(**MODERN, batch_norm=True).train()
    before = copy.deepcopy(model.state_dict())
    to_program(model)
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_two_exports_of_a_model_are_equal():
    model = LeNet5()
    assert to_program(model) == to_program(model)


def test_scores_have_the_dtype_of_the_images():
    program = to_program(LeNet5())
    assert program(torch.zeros(1, 1, 32, 32, dtype=torch.float64)).dtype == torch.float64


def test_an_unknown_layer_is_named_with_its_place():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.GELU()))
    with pytest.raises(TypeError, match=r"'1' of Sequential.*GELU.*convert\.register"):
        to_program(model)


def test_a_model_that_is_no_chain_is_refused():
    class Residual(nn.Sequential):
        def forward(self, x):
            return x + super().forward(x)

    for model in (Residual(nn.Conv2d(1, 1, 1)), nn.Sequential(Residual(nn.Conv2d(1, 1, 1)))):
        with pytest.raises(TypeError, match="Residual has a forward of its own"):
            to_program(model)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(1, 1, 3, dilation=2), "dilation"),
        (nn.Conv2d(1, 1, 3, padding="same"), "padding='same'"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding_mode"),
        (nn.MaxPool2d(3, padding=1), "padding"),
        (nn.AvgPool2d(2, ceil_mode=True), "ceil_mode"),
        (nn.Flatten(2), "start_dim"),
        (nn.BatchNorm2d(3, track_running_stats=False), "running statistics"),
    ],
    ids=str,
)
def test_settings_without_an_operation_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        to_program(nn.Sequential(layer))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_do_not_fit_into_half_precision_are_refused(value):
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.weight, value)
    with pytest.raises(ValueError, match="weight of linear.*float16.*diverged"):
        to_program(nn.Sequential(layer))


def test_a_new_layer_is_taught_by_registering_it():
    class Half(nn.Module):
        def forward(self, x):
            return x * 0.5

    @convert.register
    def _(layer: Half, builder: Builder) -> None:
        builder.add("affine", scale=torch.full((1,), 0.5), shift=torch.zeros(1))

    images = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(to_program(Half())(images), images / 2)


def test_a_builder_refuses_an_operation_that_nobody_runs():
    with pytest.raises(ValueError, match="wishful.*conv2d"):
        Builder().add("wishful")


def test_the_page_knows_every_operation_that_can_be_exported():
    from cnnlib.widgets.base import bundle
    from cnnlib.widgets.digit_pad import DigitPad

    script = bundle(DigitPad._source.with_name("network.js"))
    table = script.split("export const OPERATIONS = {")[1].split("\n};")[0]
    named = {line.split(":")[0].strip(" ,") for line in table.splitlines() if line[:3].strip()}
    assert set(OPERATIONS) <= {name for name in named if name.isidentifier()}


def test_a_program_remembers_how_its_images_look():
    program = to_program(LeNet5(), low=0.0, high=1.0)
    assert isinstance(program, Program)
    assert (program.input_shape, program.low, program.high) == ((1, 32, 32), 0.0, 1.0)
