"""A self-contained notebook carries a small, valid wheel, and no link or picture that is lost."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from tools import notebooks, selfcontained, setup_cell

METADATA = "Metadata-Version: 2.4\nName: cnnlib\nVersion: 0.1.0\nRequires-Dist: torch>=2.6\n"
WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
FILES = {
    "cnnlib/__init__.py": '__version__ = "0.1.0"\n',
    "cnnlib/assets/mnist_5k.npz": "digits",
    "cnnlib/assets/fashion_6k.npz": "clothes",
    "cnnlib/assets/measurements.json": "{}",
    "cnnlib/assets/runs/long.json": "{}",
    "cnnlib/assets/runs/longer.json": "{}",
    "cnnlib/assets/photographs/cat.jpg": "a cat",
    "cnnlib/assets/photographs/predictions.json": "{}",
    "cnnlib-0.1.0.dist-info/METADATA": METADATA,
    "cnnlib-0.1.0.dist-info/WHEEL": WHEEL,
    "cnnlib-0.1.0.dist-info/RECORD": "wrong",
}


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "cnnlib-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return path


def contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# -- the wheel --------------------------------------------------------------------------------


def test_a_slim_wheel_has_the_named_data_only(wheel):
    _, data = selfcontained.slim(wheel, ["mnist_5k"])
    names = set(contents(data))
    assert "cnnlib/assets/mnist_5k.npz" in names
    assert "cnnlib/assets/measurements.json" in names
    assert "cnnlib/assets/fashion_6k.npz" not in names


def test_a_slim_wheel_has_the_runs_and_photographs_that_are_named(wheel):
    _, data = selfcontained.slim(wheel, ["longer", "photographs"])
    extra = {name for name in contents(data) if "runs/" in name or "photographs/" in name}
    folder = "cnnlib/assets/photographs"
    assert extra == {
        "cnnlib/assets/runs/longer.json", f"{folder}/cat.jpg", f"{folder}/predictions.json"
    }  # fmt: skip


def test_the_record_of_a_slim_wheel_is_right(wheel):
    name, data = selfcontained.slim(wheel, ["mnist_5k"])
    files = contents(data)
    [record] = [n for n in files if n.endswith("RECORD")]
    listed = {}
    for line in files[record].decode().splitlines():
        file, digest, size = line.split(",")
        listed[file] = (digest, size)
    assert set(listed) == set(files)
    for file, content in files.items():
        if file != record:
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            assert listed[file] == (f"sha256={digest.decode()}", str(len(content)))
    label = re.fullmatch(r"cnnlib-(0\.1\.0\+n[0-9a-f]{8})-py3-none-any.whl", name)[1]
    assert record == f"cnnlib-{label}.dist-info/RECORD"
    assert f"Version: {label}\n" in files[f"cnnlib-{label}.dist-info/METADATA"].decode()


def test_slim_wheels_are_the_same_bytes_each_time_and_differ_by_their_data(wheel):
    one, same = (selfcontained.slim(wheel, ["mnist_5k"]) for _ in range(2))
    other = selfcontained.slim(wheel, ["fashion_6k"])
    assert one == same
    assert one[0] != other[0]


def test_pip_accepts_a_slim_wheel_and_replaces_one_by_another(wheel, tmp_path):
    for data in (["mnist_5k"], ["fashion_6k"]):
        name, content = selfcontained.slim(wheel, data)
        (tmp_path / name).write_bytes(content)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        target = ["--target", str(tmp_path / "site"), str(tmp_path / name)]
        done = subprocess.run([*pip, *target], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "site" / "cnnlib" / "assets" / f"{data[0]}.npz").is_file()


def test_unknown_data_are_named_with_the_known_ones(wheel):
    with pytest.raises(ValueError, match=r"no data \['mnist'\].*'fashion_6k', .*'mnist_5k'"):
        selfcontained.slim(wheel, ["mnist"])


def test_a_wheel_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a wheel cnnlib-VERSION"):
        selfcontained.slim(tmp_path / "numpy-2.0-py3-none-any.whl", [])


# -- the notebook -----------------------------------------------------------------------------


@pytest.fixture
def chapter(small_chapter, stored) -> Path:
    notebook = small_chapter("print(1)")
    notebook.metadata["cnnlib"] = {"data": ["mnist_5k"]}
    notebook.cells[0].source += "\n\nSee [AlexNet](02_alexnet.ipynb) and {cite}`lecun1998`."
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text="1\n")]
    return stored(notebook, "01_lenet.ipynb")


def test_the_copy_keeps_outputs_and_carries_the_wheel(chapter, wheel, tmp_path):
    target = tmp_path / "out" / "01_lenet.ipynb"
    selfcontained.write(chapter, target, wheel)
    copy = notebooks.read(target)
    name, data = selfcontained.slim(wheel, ["mnist_5k"])
    setup = notebooks.code_cells(copy)[0]
    assert setup.source == setup_cell.carrying(name, base64.b64encode(data).decode())
    assert setup.metadata["cellView"] == "form"
    assert notebooks.code_cells(copy)[1].outputs[0].text == "1\n"
    assert copy.cells[0].source.endswith("See AlexNet and [lecun1998].")


def test_the_copy_is_the_same_each_time(chapter, wheel, tmp_path):
    for name in ("a", "b"):
        selfcontained.write(chapter, tmp_path / name, wheel)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_with_an_address_links_lead_to_the_site(chapter, wheel, tmp_path):
    selfcontained.write(chapter, tmp_path / "a", wheel, site="https://example.org/book/")
    text = notebooks.read(tmp_path / "a").cells[0].source
    assert "[AlexNet](https://example.org/book/chapters/02_alexnet.html)" in text


def test_a_picture_beside_the_chapter_is_refused(chapter, wheel, tmp_path):
    content = json.loads(chapter.read_text())
    content["cells"][0]["source"].append("\n![The network](figures/lenet.png)")
    chapter.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="figures/lenet.png would be missing"):
        selfcontained.write(chapter, tmp_path / "a", wheel)
    assert not (tmp_path / "a").exists()


def test_a_chapter_without_a_setup_cell_is_refused(chapter, wheel, tmp_path):
    content = json.loads(chapter.read_text())
    del content["cells"][1]
    chapter.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="0 setup cells"):
        selfcontained.write(chapter, tmp_path / "a", wheel)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("[glossary](../glossary.md#stride)", "glossary"),
        ("[`Conv2d`](02_alexnet.ipynb)", "`Conv2d`"),
        ('<a href="../index.md">home</a>', "home"),
        ("[paper](https://example.org/x.pdf)", "[paper](https://example.org/x.pdf)"),
        ("[below](#quiz)", "[below](#quiz)"),
        ("(sec-c3)=\n## C3", "## C3"),
        ("{ref}`layer C3 <sec-c3>` and {term}`stride`", "layer C3 and stride"),
        ("`[a](b.md)` and $[0, 1](x)$", "`[a](b.md)` and $[0, 1](x)$"),
        ("```\n[a](b.md)\n```", "```\n[a](b.md)\n```"),
    ],
)
def test_links_into_the_book_become_plain_text(text, plain):
    assert selfcontained.detached(text, page="chapters/01_lenet.ipynb") == plain


@pytest.mark.parametrize(
    ("text", "absolute"),
    [
        ("[g](../glossary.md#stride)", "[g](https://x.org/b/glossary.html#stride)"),
        ('<a href="../index.md">home</a>', '<a href="https://x.org/b/index.html">home</a>'),
    ],
)
def test_links_into_the_book_become_addresses(text, absolute):
    page = "chapters/01_lenet.ipynb"
    assert selfcontained.detached(text, page=page, site="https://x.org/b") == absolute
