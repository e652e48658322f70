"""What the README promises: its code runs, its commands and files exist."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_python_of_the_readme_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "60,000" in done.stdout


def test_the_commands_of_the_readme_are_targets_of_make():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in ("README.md", "CONTRIBUTING.md", "index.md"):
        named = re.findall(
            r"\bmake (book|serve|test|lint|execute|bench|clean|help|lock|\w+)\b`",
            (ROOT / page).read_text(),
        )
        assert set(named) <= targets, page


def test_the_files_of_the_readme_exist():
    named = re.findall(
        r"`((?:cnnlib|tests|chapters|tools|_ext|benchmarks|experiments|\.github)/[\w./]*)`", README
    )
    assert named
    for name in named:
        if "NAME" not in name and "NN_" not in name:
            assert (ROOT / name).exists(), name
