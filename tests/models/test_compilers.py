"""One small network of every family through torch.compile, in one piece: equal numbers."""

import copy
import shutil

import pytest
import torch

from tests.models.families import FAMILIES, networks, without_chance
from tests.models.invariants import outputs, settle, total_loss

# Inductor, the default backend, writes C++ and has it compiled: 40 seconds for each of these small
# networks, more for most others. These two have what its code generator is asked for: LeNet-5
# weights put in place by a table and a trainable pooling, ResNet normalisation by the batch,
# strides, padded shortcuts and additions. Convolutions are PyTorch's own either way. The other
# families are captured and differentiated just the same, but then run by PyTorch.
INDUCTOR = ("lenet", "resnet")


def backend(family: str) -> str:
    has_compiler = any(shutil.which(name) for name in ("g++", "clang++", "c++"))
    return "inductor" if family in INDUCTOR and has_compiler else "aot_eager"


@pytest.fixture(autouse=True)
def clean_compiler(monkeypatch, tmp_path):
    """Nothing compiled before counts, nothing stays behind, and no pool of processes is started."""
    inductor = pytest.importorskip("torch._inductor.config")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    with inductor.patch(compile_threads=1):
        yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_network_gives_equal_scores_and_gradients(family):
    tiny = next(iter(networks(family).values()))
    model = without_chance(settle(tiny.build().double()))
    images, labels = tiny.images(4, torch.float64), torch.arange(4)
    compiled = torch.compile(model, fullgraph=True, backend=backend(family))
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), model(images))

    eager = copy.deepcopy(model).train()
    compiled.train()
    scores, expected = outputs(compiled(images)), outputs(eager(images))
    assert len(scores) == len(expected)
    for head, wanted in zip(scores, expected, strict=True):
        torch.testing.assert_close(head, wanted)
    total_loss(scores, labels).backward()
    total_loss(expected, labels).backward()
    largest = max(p.grad.abs().max().item() for p in eager.parameters())
    assert largest > 0
    for (name, p), wanted in zip(model.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(
            p.grad, wanted.grad, rtol=1e-6, atol=1e-9 * largest, msg=lambda m, n=name: f"{n}: {m}"
        )
    for (name, buffer), wanted in zip(model.named_buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(buffer, wanted, msg=lambda m, n=name: f"{n}: {m}")
