"""Two processes train as one does: the same curve, nothing counted, said or fetched twice.

Starting two processes takes seconds, so that one start serves many tests: this file is also the
program that `torchrun` runs, `python -m tests.train.test_processes FOLDER ADDRESS`. It trains every
network of `CASES` and a few more, and each process leaves what it got in the folder.
"""

import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cnnlib import fetch
from cnnlib.augment import Crops
from cnnlib.data import Augmentation, ImageSet, batches
from cnnlib.streams import image_folder
from cnnlib.train import History, Recipe, fit
from cnnlib.train.optimizers import Adam, RMSprop

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
CONTENT = bytes(range(256)) * 400  # of a file to fetch
FILE = fetch.File("bytes.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def stripes(n: int, seed: int = 0) -> ImageSet:
    """Noisy images of class 0 (bright upper half), 1 (left) or 2 (neither), in float64."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    images = torch.randn(n, 1, 8, 8, generator=generator, dtype=torch.float64)
    images[labels == 0, :, :4] += 1
    images[labels == 1, :, :, :4] += 1
    return ImageSet("stripes", images, labels, ("upper", "left", "neither"))


class Net(nn.Module):
    """A small network in float64, the same ones from call to call.

    Args:
        norm: with batch normalisation.
        dropout: share of the features that is dropped.
        heads: gives a second head's scores, too, while it trains.
        channels: of the images.
    """

    def __init__(
        self, *, norm: bool = False, dropout: float = 0.0, heads: bool = False, channels: int = 1
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * 6 * 6, 3)
        self.side = nn.Linear(4 * 6 * 6, 3) if heads else None
        self.double()

    def forward(self, images):
        features = self.dropout(F.relu(self.norm(self.conv(images))).flatten(1))
        if self.side is not None and self.training:
            return self.head(features), self.side(features)
        return self.head(features)


def make_pictures(folder: Path) -> None:
    """Files of noise, dark or bright, of 9 to 13 pixels: 51 to train, 21 to test."""
    generator = torch.Generator().manual_seed(0)
    for split, n in (("train", 51), ("val", 21)):
        for number in range(n):
            kind, shape = number % 3, (9 + number % 4, 9 + number % 5, 3)
            pixels = torch.randint(30 + 100 * kind, (*shape,), generator=generator)
            path = folder / split / f"kind{kind}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels.byte().numpy()).save(path)


def run_stream(folder: Path, workers: int) -> tuple[Net, History]:
    """Trains on the files of a folder, decoded with chance of their own."""
    train, test = (
        image_folder(folder, split, crops=crops, workers=workers).to(dtype=torch.float64)
        for split, crops in (
            ("train", Crops(size=8, area=(0.3, 1.0), colour="jitter")),
            ("test", Crops.central(8, 9)),
        )
    )
    model = Net(channels=3)
    return model, fit(model, train, test, recipe=replace(PLAIN, augment=Augmentation(mixup=0.4)))


def both_heads(scores, labels):
    if isinstance(scores, tuple):
        return sum(F.cross_entropy(head, labels) for head in scores)
    return F.cross_entropy(scores, labels)


@dataclass
class Case:
    recipe: Recipe
    net: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, **more) -> tuple[Net, History]:
        """Trains the network of the case, in one process or, under torchrun, in several."""
        model = Net(**self.net)
        history = fit(model, TRAIN, TEST, recipe=self.recipe, **(self.options | more))
        return model, history


# Of 51 images in batches of 16 the last batch has 3: two processes get 2 and 1 of them. The test
# set is measured in batches of 500: its last image is alone, and one process gets nothing.
TRAIN, TEST = stripes(51), stripes(501, seed=1)
PLAIN = Recipe(epochs=3, lr=0.05, batch_size=16)
ALL = Augmentation(shift=1, flip=True, cutout=3, mixup=0.4)
STILL = replace(PLAIN, lr=1e-300, weight_decay=0.0)  # so small a step changes no weight
CASES = {
    "plain": Case(PLAIN),
    "augmented": Case(replace(PLAIN, augment=ALL)),
    "smoothed": Case(replace(PLAIN, label_smoothing=0.1)),
    "clipped": Case(replace(PLAIN, clip=0.3)),
    "averaged": Case(replace(PLAIN, ema=0.9)),
    "Adam": Case(replace(PLAIN, optimizer=Adam(), lr=3e-3)),
    "RMSprop": Case(replace(PLAIN, optimizer=RMSprop())),
    # a share of 8 images in parts of 3, 3 and 2; of the last batch, 2 images in one part, and 1
    "in small parts": Case(PLAIN, options={"micro_batch": 3}),
    "two heads": Case(PLAIN, {"heads": True}, {"loss": both_heads}),
    "everything": Case(
        replace(PLAIN, augment=ALL, label_smoothing=0.1, clip=0.5, ema=0.8),
        {"heads": True},
        {"loss": both_heads, "micro_batch": 5, "channels_last": True},
    ),
    "still": Case(STILL),
}
NORMED = Case(PLAIN, {"norm": True})
# 3 epochs of 4 steps. Processes agree every 10 steps whether to save: here in the third epoch.
LONG = Case(
    replace(PLAIN, augment=ALL, ema=0.9),
    {"norm": True, "dropout": 0.3},
    {"checkpoint_every": 0.0},
)
# without what differs from process to process
EVEN = Case(replace(PLAIN, augment=ALL, ema=0.9), options={"checkpoint_every": 0.0})


class Breaking:
    """Cross-entropy that fails in a step, in all processes at once."""

    __name__ = "cross_entropy"

    def __init__(self, step: int) -> None:
        self.left = step

    def __call__(self, scores, labels):
        self.left -= torch.is_grad_enabled()  # measuring does not count
        if self.left == 0:
            raise InterruptedError("broken off")
        return F.cross_entropy(scores, labels)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def result(model: Net, history: History) -> dict[str, Any]:
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return {"weights": weights(model), "buffers": buffers, "history": history.to_dict()}


# What each of the processes does


def main(folder: Path, address: str) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    results: dict[str, Any] = {
        name: result(*case.run(progress=name == "plain")) for name, case in CASES.items()
    }
    results["normed"] = result(*NORMED.run())

    results["uninterrupted"] = result(*LONG.run())
    kept = folder / "kept.safetensors"
    try:
        LONG.run(checkpoint=kept, loss=Breaking(12))
    except InterruptedError as error:
        results["notes"] = error.__notes__
    results["resumed"] = result(*LONG.run(checkpoint=kept, resume=True))
    with contextlib.suppress(InterruptedError):
        EVEN.run(checkpoint=folder / "by two.safetensors", loss=Breaking(12))
    results["taken over"] = result(*EVEN.run(checkpoint=folder / "by one.safetensors", resume=True))

    results["stream"] = result(*run_stream(folder / "pictures", workers=1))

    called: list[int] = []
    CASES["plain"].run(after_epoch=lambda history: called.append(len(history.rows)))
    results["called"] = called

    for name, n, folder_of_rank in (("few", 49, None), ("apart", 51, folder / f"rank{rank}")):
        path = None
        if folder_of_rank is not None:
            folder_of_rank.mkdir()
            path = folder_of_rank / "kept.safetensors"
            if rank == 0:
                path.write_bytes(kept.read_bytes())
        try:
            fit(Net(), stripes(n), recipe=PLAIN, checkpoint=path, resume=path is not None)
        except (ValueError, OSError) as error:
            results[name] = f"{type(error).__name__}: {error}"

    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(Net(norm=True))
    try:
        fit(synchronised, stripes(48), recipe=PLAIN)
    except ValueError as error:
        results["synchronised"] = str(error)

    torch.distributed.barrier()  # both ask at the same time
    data = fetch.fetch(FILE, folder / "cache", mirrors=lambda: [address])
    results["fetched"] = hashlib.sha256(data).hexdigest()
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


# Starting them


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return os.environ | own


class Server(ThreadingHTTPServer):
    """Serves one file slowly, and counts how often it is asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        time.sleep(0.5)  # long enough for the others to ask as well
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args) -> None:
        pass


@dataclass
class Two:
    """What two processes said and got."""

    folder: Path
    said: str
    first: dict[str, Any]
    second: dict[str, Any]
    requests: Counter[str]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Two:
    folder = tmp_path_factory.mktemp("two")
    make_pictures(folder / "pictures")
    with contextlib.suppress(InterruptedError):
        EVEN.run(checkpoint=folder / "by one.safetensors", loss=Breaking(11))
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}/bytes"
            program = ["-m", "tests.train.test_processes", str(folder), address]
            done = subprocess.run(
                [*TORCHRUN, *program],
                cwd=ROOT,
                env=environment(),
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        finally:
            server.shutdown()
            thread.join(10)
        assert done.returncode == 0, done.stderr
        first, second = (torch.load(folder / f"{rank}.pt") for rank in (0, 1))
        return Two(folder, done.stdout, first, second, server.requests)


def history_of(result: dict[str, Any]) -> History:
    return History.from_dict(result["history"])


def assert_same_curve(ours: History, theirs: History, tolerance: float = 1e-12) -> None:
    for mine, other in zip(ours.rows, theirs.rows, strict=True):
        assert mine == pytest.approx(other, rel=tolerance, abs=tolerance)


# The tests

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", CASES)
def test_two_processes_end_with_the_weights_and_the_curve_of_one(two, name):
    model, history = CASES[name].run()
    together = history_of(two.first[name])
    assert together.processes == 2 and history.processes == 1
    assert_same_curve(together, history)
    torch.testing.assert_close(two.first[name]["weights"], weights(model), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [*CASES, "normed", "uninterrupted", "resumed"])
def test_all_processes_end_with_the_same_bits(two, name):
    assert torch.equal(two.first[name]["weights"], two.second[name]["weights"])
    assert two.first[name]["history"]["rows"] == two.second[name]["history"]["rows"]
    for key, buffer in two.first[name]["buffers"].items():
        assert torch.equal(buffer, two.second[name]["buffers"][key]), key


def test_two_processes_read_the_files_of_a_folder_as_one_does(two):
    model, history = run_stream(two.folder / "pictures", workers=0)
    assert_same_curve(history_of(two.first["stream"]), history)
    found = two.first["stream"]["weights"]
    torch.testing.assert_close(found, weights(model), rtol=1e-12, atol=1e-12)
    assert torch.equal(found, two.second["stream"]["weights"])


def test_every_image_is_counted_once(two):
    """With weights that stand still, the numbers of an epoch can be counted image by image."""
    model = Net()
    with torch.no_grad():
        for key, data in (("train", TRAIN), ("test", TEST)):
            losses, wrong = [], 0
            for image, label in zip(data.images, data.labels, strict=True):
                scores = model(image[None])
                losses.append(F.cross_entropy(scores, label[None]).item())
                wrong += int(scores.argmax() != label)
            for row in history_of(two.first["still"]).rows:
                assert row[f"{key}_error"] == wrong / len(data)
                assert row[f"{key}_loss"] == pytest.approx(sum(losses) / len(data), rel=1e-13)


def test_batch_normalisation_sees_the_share_of_its_process_only(two):
    """The same by hand on one process, which passes the two shares one after the other."""
    model = Net(norm=True)
    # in the other process, statistics of its own; both start each step with those of the first
    twin = Net(norm=True)
    optimizer, steps = PLAIN.make_optimizer(model), 12
    chance = torch.Generator().manual_seed(0)
    step = 0
    for _ in range(PLAIN.epochs):
        for images, labels in batches(TRAIN, PLAIN.batch_size, generator=chance):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = PLAIN.lr_at(step, steps)
            optimizer.zero_grad()
            twin.load_state_dict(model.state_dict())
            twin.zero_grad()
            for net, share in ((model, slice(0, None, 2)), (twin, slice(1, None, 2))):
                part = F.cross_entropy(net(images[share]), labels[share])
                (part * len(labels[share]) / len(labels)).backward()
            for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
                ours.grad += theirs.grad
            optimizer.step()
    found = two.first["normed"]
    torch.testing.assert_close(found["weights"], weights(model), rtol=1e-12, atol=1e-12)
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(found["buffers"][name], buffer, rtol=1e-12, atol=1e-12)

    alone, history = NORMED.run()
    apart = (found["weights"] - weights(alone)).abs().max()
    assert 1e-4 < apart < 1e-1  # not one process's weights
    errors = [run.final["test_error"] for run in (history_of(found), history)]
    assert max(errors) < 0.1  # but as good ones


def test_torch_refuses_synchronised_batch_normalisation_on_a_cpu(two):
    assert two.first["synchronised"] == "SyncBatchNorm layers only work with GPU modules"


def test_a_last_batch_that_is_too_small_for_all_is_refused_in_all(two):
    message = "ValueError: 49 images in batches of 16 leave 1 for the last batch, too few for 2"
    assert two.first["few"].startswith(message) and two.second["few"] == two.first["few"]


def test_one_process_speaks_and_is_asked_after_each_epoch(two):
    assert two.said.splitlines() == str(history_of(two.first["plain"])).splitlines()
    assert two.first["called"] == [1, 2, 3] and two.second["called"] == []


def test_two_processes_resume_to_the_bits_of_an_uninterrupted_training(two):
    assert torch.equal(two.first["resumed"]["weights"], two.first["uninterrupted"]["weights"])
    assert two.first["resumed"]["history"]["rows"] == two.first["uninterrupted"]["history"]["rows"]
    for rank in (two.first, two.second):
        kept, went_on = (rank[name]["buffers"] for name in ("uninterrupted", "resumed"))
        assert kept.keys() == went_on.keys() and len(kept) == 3
        assert all(torch.equal(kept[key], went_on[key]) for key in kept)
        assert any("pass resume=True to go on from there" in note for note in rank["notes"])


def test_one_process_goes_on_where_two_were_stopped_and_two_where_one_was(two):
    model, history = EVEN.run()
    alone, taken_over = EVEN.run(checkpoint=two.folder / "by two.safetensors", resume=True)
    assert_same_curve(taken_over, history)
    torch.testing.assert_close(weights(alone), weights(model), rtol=1e-12, atol=1e-12)
    assert_same_curve(history_of(two.first["taken over"]), history)
    together = two.first["taken over"]["weights"]
    torch.testing.assert_close(together, weights(model), rtol=1e-12, atol=1e-12)


def test_a_checkpoint_that_only_some_processes_see_is_refused(two):
    """As on machines that do not share a folder: one would go on, the other begin anew."""
    for rank in (two.first, two.second):
        assert "(epoch 4, batch 0; none): it must be in a folder that all" in rank["apart"]


def test_what_all_want_at_once_is_fetched_by_one(two):
    assert two.requests == {"/bytes": 1}
    assert two.first["fetched"] == two.second["fetched"] == FILE.sha256


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
