"""What must hold for every network, whatever its paper: a test class to inherit from.

A test file lists its small networks in ``TINY`` and gets all tests below for each of them:

    TINY = {"resnet18": Tiny("resnet18", {"widths": (8, 16, 16, 32)}, (1, 28, 28))}


    class TestInvariants(Invariants):
        networks = TINY
"""

import copy
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from cnnlib.models import create_model


@dataclass(frozen=True)
class Tiny:
    """A network that is small enough to be trained in a test.

    Attributes:
        name: in the registry.
        options: of ``create_model``; ``num_classes=10`` and the channels of ``shape`` are added.
        shape: (C, H, W) of one image.
        lr: of Adam, to learn 32 images by heart in at most ``steps`` steps.
        may_be_zero: pattern of parameters whose gradient may be zero, as of biases before batch
            normalisation; it is None for none.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, int, int] = (1, 28, 28)
    lr: float = 2e-3
    steps: int = 100
    may_be_zero: str | None = None

    def build(self, seed: int = 0, **options) -> nn.Module:
        torch.manual_seed(seed)
        given = {"num_classes": 10, "in_channels": self.shape[0]} | self.options | options
        return create_model(self.name, **given)

    def images(self, count: int, dtype: torch.dtype | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(count, *self.shape, generator=generator, dtype=dtype)


def outputs(scores: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a network returns, as a tuple: while training there may be auxiliary heads."""
    return scores if isinstance(scores, tuple) else (scores,)


def total_loss(scores: Tensor | tuple[Tensor, ...], labels: Tensor) -> Tensor:
    """Cross-entropy, summed over the heads."""
    return torch.stack([F.cross_entropy(head, labels) for head in outputs(scores)]).sum()


def settle(model: nn.Module) -> nn.Module:
    """The network in ``eval`` mode, its running statistics no longer those of a fresh one."""
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            mean, variance = module.running_mean, module.running_var
            mean.copy_(0.2 * torch.randn(mean.shape, generator=generator, dtype=mean.dtype))
            variance.copy_(
                torch.rand(variance.shape, generator=generator, dtype=variance.dtype) + 0.5
            )
    return model.eval()


class _OnlyMeta(TorchDispatchMode):
    """Fails as soon as an operation makes a tensor that holds numbers."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(result):
            assert not isinstance(tensor, Tensor) or tensor.is_meta, f"{func} made numbers"
        return result


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for ``tiny`` is run for each network of its class."""
    if "tiny" in metafunc.fixturenames:
        networks = getattr(metafunc.cls, "networks", {})
        metafunc.parametrize("tiny", networks.values(), ids=list(networks))


class Invariants:
    """Tests that a class inherits which sets ``networks``."""

    networks: dict[str, Tiny]

    # Gradients and training

    def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(self, tiny: Tiny):
        model = tiny.build()
        total_loss(model(tiny.images(8)), torch.arange(8) % 10).backward()
        for name, p in model.named_parameters():
            assert p.grad is not None, f"{name} has no part in the output"
            assert torch.isfinite(p.grad).all(), name
            if not (tiny.may_be_zero and re.search(tiny.may_be_zero, name)):
                assert p.grad.abs().max() > 0, f"the gradient of {name} is zero"

    def test_it_learns_32_random_images_by_heart(self, tiny: Tiny):
        model, images, labels = tiny.build(), tiny.images(32), torch.arange(32) % 10
        optimizer = torch.optim.Adam(model.parameters(), tiny.lr)
        for _ in range(tiny.steps):
            optimizer.zero_grad()
            scores = model(images)
            if (outputs(scores)[0].argmax(1) == labels).all():
                return
            total_loss(scores, labels).backward()
            optimizer.step()
        right = (outputs(model(images))[0].argmax(1) == labels).sum().item()
        pytest.fail(f"{right} of 32 images after {tiny.steps} steps")

    # Inference

    def test_batch_mates_do_not_matter_in_eval(self, tiny: Tiny):
        model, images = settle(tiny.build().double()), tiny.images(3, torch.float64)
        torch.testing.assert_close(model(images)[1:2], model(images[1:2]))

    def test_scores_are_one_number_per_class(self, tiny: Tiny):
        for classes in (1, 7):
            model = settle(tiny.build(num_classes=classes))
            assert model(tiny.images(2)).shape == (2, classes)

    def test_grey_and_colour_images_are_an_argument(self, tiny: Tiny):
        for channels in (1, 2, 3):
            model = settle(tiny.build(in_channels=channels))
            images = torch.randn(1, channels, *tiny.shape[1:])
            assert model(images).shape == (1, 10)

    def test_saved_weights_come_back(self, tiny: Tiny):
        model, file = settle(tiny.build(seed=0)), io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = tiny.build(seed=1)
        other.load_state_dict(torch.load(file, weights_only=True))
        images = tiny.images(2)
        assert torch.equal(model(images), other.eval()(images))

    def test_the_same_seed_gives_the_same_network(self, tiny: Tiny):
        first, second = tiny.build(seed=7), tiny.build(seed=7)
        assert all(map(torch.equal, first.parameters(), second.parameters()))

    # Precision, memory layout, devices

    def test_double_precision_agrees_with_single(self, tiny: Tiny):
        model, images = settle(tiny.build()), tiny.images(2)
        double = copy.deepcopy(model).double()(images.double())
        assert double.dtype == torch.float64
        torch.testing.assert_close(model(images).double(), double, rtol=1e-3, atol=1e-3)

    def test_it_trains_under_bf16_autocast(self, tiny: Tiny):
        model, images = settle(tiny.build()), tiny.images(4)
        expected = model(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            quick = model(images)
        # bfloat16 keeps 8 bits, and many layers add up: the direction of the scores must stay
        agreement = F.cosine_similarity(quick.float().flatten(), expected.flatten(), dim=0)
        assert agreement > 0.98, agreement
        model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = total_loss(model(images), torch.arange(4))
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())

    def test_channels_last_gives_the_same_scores(self, tiny: Tiny):
        model, images = settle(tiny.build().double()), tiny.images(2, torch.float64)
        expected = model(images)
        model.to(memory_format=torch.channels_last)
        scores = model(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(scores, expected)

    def test_it_is_built_and_runs_on_meta_without_any_number(self, tiny: Tiny):
        with torch.device("meta"), _OnlyMeta():
            model = tiny.build()
            for mode in (model.eval(), model.train()):
                for scores in outputs(mode(torch.empty(2, *tiny.shape))):
                    assert scores.shape == (2, 10)
        assert all(t.is_meta for t in [*model.parameters(), *model.buffers()])

    @pytest.mark.gpu
    def test_it_agrees_with_the_cpu_on_a_gpu(self, tiny: Tiny):
        model, images = settle(tiny.build().double()), tiny.images(4, torch.float64)
        expected = model(images)
        model, images = model.to("cuda"), images.to("cuda")
        torch.testing.assert_close(model(images).cpu(), expected)
        model = model.float().to(memory_format=torch.channels_last).train()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = total_loss(model(images.float()), torch.arange(4, device="cuda"))
        loss.backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())

    # Compilers

    def test_exported_program_agrees_for_any_batch(self, tiny: Tiny):
        model = settle(tiny.build())
        batch = torch.export.Dim("batch", min=1, max=64)
        program = torch.export.export(model, (tiny.images(3),), dynamic_shapes=({0: batch},))
        images = tiny.images(5)
        torch.testing.assert_close(program.module()(images), model(images))

    def test_it_can_be_traced(self, tiny: Tiny):
        model, images = settle(tiny.build()), tiny.images(2)
        torch.testing.assert_close(torch.fx.symbolic_trace(model)(images), model(images))

    # Bad input

    def test_the_smallest_size_named_in_an_error_works_and_one_less_does_not(self, tiny: Tiny):
        model, channels = settle(tiny.build()), tiny.shape[0]
        smallest = 1
        try:
            model(torch.randn(1, channels, 1, 1))
        except ValueError as error:
            named = re.search(r"must be (?:at least )?(\d+) x \1 pixels; got 1 x 1", str(error))
            assert named, f"the error names no size: {error}"
            smallest = int(named[1])
        assert model(torch.randn(1, channels, smallest, smallest)).shape == (1, 10)
        for size in _too_small(smallest):
            with pytest.raises(ValueError, match=f"{smallest} x {smallest} pixels; got {size[0]}"):
                model(torch.randn(1, channels, *size))

    def test_images_of_another_shape_are_refused_with_advice(self, tiny: Tiny):
        model, (channels, *size) = settle(tiny.build()), tiny.shape
        with pytest.raises(ValueError, match=r"image\[None\]"):
            model(torch.randn(channels, *size))
        with pytest.raises(ValueError, match=rf"\(N, {channels}, .*got.*in_channels"):
            model(torch.randn(1, channels + 1, *size))

    def test_pixels_that_are_not_scaled_are_refused(self, tiny: Tiny):
        with pytest.raises(TypeError, match=r"got torch\.uint8"):
            settle(tiny.build())(torch.zeros(1, *tiny.shape, dtype=torch.uint8))

    @pytest.mark.parametrize("argument", ["num_classes", "in_channels"])
    def test_numbers_below_one_are_refused(self, tiny: Tiny, argument: str):
        with pytest.raises(ValueError, match=f"{argument} must be .*at least 1; got 0"):
            tiny.build(**{argument: 0})


def _too_small(smallest: int) -> Iterator[tuple[int, int]]:
    if smallest > 1:
        yield smallest - 1, smallest - 1
        yield smallest - 1, smallest
