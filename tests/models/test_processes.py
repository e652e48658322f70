"""Every family on two processes: gradients of two halves of a batch are those of the whole."""

import contextlib
import time

import pytest
import torch
from torch import multiprocessing

from tests.models.families import FAMILIES, compare_gradients, networks, trains_all_in_eval


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch built without it")
def test_two_processes_with_half_a_batch_each_have_the_gradients_of_one_with_all(tmp_path):
    # in eval, where neither batch statistics nor dropout make the halves differ from the whole
    chosen = {}
    for family in FAMILIES:
        whole = (tiny for tiny in networks(family).values() if trains_all_in_eval(tiny))
        chosen[family] = next(whole, None)
        assert chosen[family], f"every small network of {family} has parts for training only"
    wrong = _run_on_two_processes(tmp_path, chosen, seconds=180)
    assert not wrong, "\n".join(f"{family}: {what}" for family, what in wrong.items())


def _run_on_two_processes(folder, chosen, *, seconds: float) -> dict[str, str]:
    """What is wrong, by family; fails if the processes do, or are not done in time."""
    processes = multiprocessing.spawn(
        compare_gradients, (str(folder), chosen), nprocs=2, join=False, daemon=True
    )
    end = time.monotonic() + seconds
    try:
        while not processes.join(timeout=1):  # raises what a process raised
            if time.monotonic() > end:
                pytest.fail(f"two processes were not done after {seconds} seconds")
    finally:
        for process in processes.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.join(10)
    wrong = {}
    for rank in (0, 1):
        lines = (folder / f"{rank}.txt").read_text(encoding="utf-8").splitlines()
        results = dict(line.split("\t") for line in lines)
        assert list(results) == list(chosen)
        wrong |= {family: what for family, what in results.items() if what}
    return wrong
