"""What counting costs: `count_macs` and `summarize` against PyTorch's own operation counter.

    python benchmarks/summaries.py [--passes 5] [PATTERN ...]

Every network is built on the ``meta`` device, counted by us and by PyTorch, in turns; the median
over the turns is reported, since other work on the machine disturbs single ones. PyTorch counts
operations, no shapes, fields or parameters; both find the same number. Importing what a first run
needs is not measured. Time is CPU time of the process, one thread.
"""

import argparse
import fnmatch
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnlib.inspection import count_macs, summarize
from cnnlib.models import create_model
from cnnlib.published import Published, networks

OUTPUT = Path(__file__).with_name("results") / "summaries.json"
DEEPEST = ("resnet50", "densenet264", "nasnet_a_large", "efficientnet_b7",
           "preact_resnet1001_cifar", "resnet1202_cifar")  # fmt: skip


def build(record: Published) -> nn.Module:
    """The network, without numbers."""
    with torch.device("meta"):
        return create_model(record.name)


def by_pytorch(model: nn.Module, record: Published) -> int:
    """Multiply-adds by PyTorch's counter of operations."""
    model.train(record.training)
    images = torch.empty(2 if record.training else 1, *record.input, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    return counter.get_total_flops() // (2 * len(images))


WAYS: dict[str, Callable[[nn.Module, Published], int]] = {
    "count_macs": lambda model, r: count_macs(model, r.input, training=r.training),
    "summarize": lambda model, r: summarize(model, r.input, training=r.training).macs,
    "pytorch": by_pytorch,
}


def main() -> None:
    """Measures, prints a table and writes it with the versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=DEEPEST, help="names, as in 'vgg*'")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    names = [n for n in networks() if any(fnmatch.fnmatch(n, p) for p in arguments.patterns)]
    rows = []
    print(f"{'seconds':26}{'build':>8}" + "".join(f"{way:>12}" for way in WAYS))
    for name in names:
        record = networks()[name]
        spent: dict[str, list[float]] = {"build": [], **{way: [] for way in WAYS}}
        for turn in range(arguments.passes + 1):
            start = time.process_time()
            model = build(record)
            seconds = {"build": time.process_time() - start}
            for way, count in WAYS.items():
                start = time.process_time()
                macs = count(model, record)
                seconds[way] = time.process_time() - start
                if (
                    turn == 0
                    and name != "lenet5"
                    and macs != count_macs(model, record.input, training=record.training)
                ):
                    raise SystemExit(f"{name}: {way} counts {macs:,}")
            if turn > 0:  # the first imports what is needed
                for way, value in seconds.items():
                    spent[way].append(value)
        row = {way: round(statistics.median(values), 3) for way, values in spent.items()}
        rows.append({"network": name, "seconds": row})
        print(f"{name:26}{row['build']:>8.3f}" + "".join(f"{row[way]:>12.3f}" for way in WAYS))

    record = {
        "about": "CPU seconds on the meta device, one thread; medians over interleaved passes",
        "passes": arguments.passes,
        "versions": {n: version(n) for n in ("torch", "cnnlib")}
        | {"python": platform.python_version()},
        "rows": rows,
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
