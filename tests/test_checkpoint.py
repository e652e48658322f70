"""The checkpoint file: comes back exactly, or is refused, or the old one is still there."""

import contextlib
import errno
import json
import math
import os
import pickle
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cnnlib import checkpoint, fetch, weights
from cnnlib.checkpoint import DTYPES, CheckpointError, Unpacked, describe, pack, read, write

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="rights and limits of POSIX")


def same(one: object, other: object) -> bool:
    """Equal in every bit and type, layouts in memory included."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return (
            (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.is_contiguous(memory_format=torch.preserve_format)
            == other.is_contiguous(memory_format=torch.preserve_format)
            and raw(one) == raw(other)
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()  # -0.0 is not 0.0, nan is nan
    return one == other


def raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def noise(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """Random bits, so NaN of every kind and denormal numbers are among them."""
    generator = torch.Generator().manual_seed(seed)
    count = math.prod(shape) * dtype.itemsize
    bits = torch.randint(0, 256, (count,), dtype=torch.uint8, generator=generator)
    if dtype == torch.bool:
        bits %= 2
    return bits.view(dtype).reshape(shape)


STATE = {
    "model": {
        "conv.weight": noise((2, 3, 3, 3), torch.float32),
        "bias": noise((2,), torch.float16),
    },
    "steps": torch.tensor(17),
    "rows": [{"epoch": 1, "loss": 0.25}, {"epoch": 2, "loss": math.nan}],
    "name": "ResNet",
    "done": False,
    "scaler": None,
}


@pytest.fixture
def path(tmp_path) -> Path:
    """A good checkpoint."""
    write(tmp_path / "good.ckpt", STATE)
    return tmp_path / "good.ckpt"


def is_as_before(path: Path, state: dict = STATE) -> bool:
    """The good file is there and nothing beside it."""
    return same(read(path), state) and os.listdir(path.parent) == [path.name]


# What comes back


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (2, 3, 4, 5)], ids=str)
def test_tensors_of_every_type_and_shape_come_back_bit_for_bit(tmp_path, dtype, shape):
    state = {"odd": noise((3,), torch.uint8), "tensor": noise(shape, dtype)}
    write(tmp_path / "file", state)
    assert same(read(tmp_path / "file"), state)


def test_tensors_come_back_whatever_their_place_in_memory(tmp_path):
    base = noise((6, 4, 8, 8), torch.float64)
    images = base.to(memory_format=torch.channels_last)
    state = {
        "transposed": base.T if base.ndim == 2 else base[0, 0].T,
        "every second": base[::2, :, 1::3],
        "expanded": base[:1, :1, :1, :1].expand(2, 2, 2, 2),
        "part": base[3],
        "same memory": base[3],
        "channels last": images,
        "pixels": base[:, :, :1, :1].to(memory_format=torch.channels_last),
    }
    write(tmp_path / "file", state)
    again = read(tmp_path / "file")
    assert all(raw(again[name]) == raw(state[name]) for name in state)
    assert again["channels last"].stride() == images.stride()
    assert all(again[name].is_contiguous() for name in state if name != "channels last")
    again["part"].zero_()  # each has memory of its own, also apart from the file
    assert raw(again["same memory"]) == raw(base[3])


def test_parameters_come_back_as_plain_tensors(tmp_path):
    model = nn.Linear(3, 2)
    write(tmp_path / "file", {"model": model.state_dict(), "parameter": model.weight})
    again = read(tmp_path / "file")
    assert type(again["model"]) is dict and list(again["model"]) == ["weight", "bias"]
    assert type(again["parameter"]) is Tensor and not again["parameter"].requires_grad
    assert same(again["parameter"], model.weight.detach())


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True), 2),
        (lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.9, centered=True), 2),
        (lambda p: torch.optim.AdamW(p, 0.1, amsgrad=True), 2),
        (lambda p: torch.optim.Adam(p, 0.1), 0),
    ],
)
def test_optimisers_and_generators_go_on_as_if_nothing_had_been(tmp_path, make, steps):
    model = nn.Linear(3, 2)
    optimizer, generator = make(model.parameters()), torch.Generator().manual_seed(5)
    for _ in range(steps):
        model(torch.ones(4, 3)).sum().backward()
        optimizer.step()
    torch.rand(3, generator=generator)
    saved = optimizer.state_dict()
    moments = {str(index): value for index, value in saved["state"].items()}
    groups = saved["param_groups"]
    state = {"state": moments, "param_groups": groups, "chance": generator.get_state()}
    write(tmp_path / "file", state)
    assert same(read(tmp_path / "file"), state)  # the pair of betas, too, is a tuple again


KEYS = ["!tensor", "!tuple", "!!tensor", "!channels_last", "/", "a/b", "", "__metadata__"]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)  # of disks one does not know
@given(state=st.dictionaries(st.text() | st.sampled_from(KEYS), PLAIN))
def test_plain_data_come_back_equal_in_type_and_value(state):
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/file", state)
        assert same(read(f"{folder}/file"), state)
        assert same(describe(f"{folder}/file"), state)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, -0.0, 5e-324, 2**53 + 1, -(2**200), "\ud800", "ü\0\n", [], {}],
)
def test_awkward_plain_values_come_back(tmp_path, value):
    write(tmp_path / "file", {"value": value})
    assert same(read(tmp_path / "file"), {"value": value})


def test_tensors_with_awkward_names_are_not_mixed_up(tmp_path):
    names = ["a/b", "a", "", "/", "__metadata__", *checkpoint.SEALS, "!tensor", "ü\0", "\ud800"]
    state = {name: torch.tensor(number) for number, name in enumerate(names)}
    state["a"] = {"b": torch.tensor(100), "b'": [torch.tensor(101)], "b'/0": torch.tensor(102)}
    write(tmp_path / "file", state)
    assert same(read(tmp_path / "file"), state)


def test_subclasses_come_back_as_what_they_are_subclasses_of(tmp_path):
    state = {"a": OrderedDict(x=np.float64(0.1)), "b": torch.Size([3]), "c": torch.__version__}
    write(tmp_path / "file", state)
    assert same(read(tmp_path / "file"), {"a": {"x": 0.1}, "b": (3,), "c": str(torch.__version__)})


@pytest.mark.gpu
def test_tensors_of_a_gpu_come_back_on_the_cpu(tmp_path):
    tensor = noise((3, 4, 5, 5), torch.float32)
    state = {"a": tensor.cuda(), "b": tensor.cuda().to(memory_format=torch.channels_last)}
    write(tmp_path / "file", state)
    again = read(tmp_path / "file")
    assert same(again["a"], tensor) and raw(again["b"]) == raw(tensor)
    assert again["b"].is_contiguous(memory_format=torch.channels_last)


# What it looks like from outside


def test_it_is_described_without_its_tensors_being_read(path, monkeypatch):
    monkeypatch.setattr(Unpacked, "tensors", None)
    assert describe(path) | {"rows": []} == STATE | {
        "model": {"conv.weight": "float32 (2, 3, 3, 3)", "bias": "float16 (2,)"},
        "steps": "int64 ()",
        "rows": [],
    }


def test_other_programs_can_look_into_it(tmp_path):
    state = {"odd": torch.ones(3, dtype=torch.uint8), "half": noise((5,), torch.bfloat16)}
    state |= {"flags": torch.tensor([True]), "long": torch.tensor(3), "nothing": torch.zeros(0, 3)}
    write(tmp_path / "file", state)
    theirs = safetensors.torch.load_file(tmp_path / "file")
    assert all(same(theirs[f"/{name}"], tensor) for name, tensor in state.items())
    with safetensors.safe_open(tmp_path / "file", "pt") as file:
        assert file.metadata()["format"] == "cnnlib checkpoint"
        assert all(same(file.get_tensor(f"/{name}"), tensor) for name, tensor in state.items())


def test_files_of_the_original_implementation_are_understood(tmp_path):
    tensors = {
        f"{index}": noise((index, 2), dtype, index) for index, dtype in enumerate(DTYPES.values())
    }
    safetensors.torch.save_file(tensors, tmp_path / "theirs", {"who": "they"})
    with open(tmp_path / "theirs", "rb") as stream:
        file = Unpacked(stream)
        ours = dict(file.tensors())
    assert file.metadata == {"who": "they"}
    assert ours.keys() == tensors.keys() and all(same(ours[name], tensors[name]) for name in ours)


# What is refused


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros(3), "/a/1 of the state is a numpy.ndarray; a state holds tensors, numbers"),
        (np.float32(1), "/a/1 of the state is a numpy.float32"),
        ({1, 2}, "/a/1 of the state is a builtins.set"),
        (b"bytes", "/a/1 of the state is a builtins.bytes"),
        (nn.ReLU(), "/a/1 of the state is a torch.nn.modules.activation.ReLU"),
        ({3: 1}, "/a/1 of the state has the key 3, not a string"),
        (torch.zeros(2, dtype=torch.complex64), "/a/1 .* cannot be kept: torch.complex64"),
        (torch.zeros(2).to_sparse(), "/a/1 .* cannot be kept: torch.float32, torch.sparse_coo"),
        (torch.zeros(2, device="meta"), "/a/1 .* cannot be kept: .* on the device meta"),
    ],
)
def test_what_cannot_be_kept_is_named_with_its_place(path, value, words):
    with pytest.raises(TypeError, match=words):
        write(path, {"a": [0, value]})
    assert is_as_before(path)


def test_a_state_is_a_dict_with_strings_as_keys(path):
    with pytest.raises(TypeError, match="a state is a dict, got list"):
        write(path, [1])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="/ of the state has the key None, not a string"):
        write(path, {None: 1})  # type: ignore[dict-item]
    assert is_as_before(path)


def test_every_changed_byte_is_noticed(path):
    """All of them, one after the other, each with one bit or all of them flipped."""
    good = path.read_bytes()
    for place in range(len(good)):
        for flip in (1 << place % 8, 0xFF):
            path.write_bytes(good[:place] + bytes([good[place] ^ flip]) + good[place + 1 :])
            with pytest.raises(CheckpointError, match="good.ckpt"):
                read(path)
    in_the_header = 8 + int.from_bytes(good[:8], "little") + 32
    for place in range(in_the_header):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(CheckpointError, match="good.ckpt"):
            describe(path)


def test_every_truncation_is_noticed(path):
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        for reader in (read, describe):
            with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
                reader(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(CheckpointError, match=rf"it has {len(good) + 1:,} bytes, by its header"):
        read(path)


@settings(deadline=None)  # of disks one does not know
@given(data=st.data())
def test_every_other_damage_is_noticed(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path, STATE)
        good = path.read_bytes()
        places = st.integers(0, len(good))
        begin, end = sorted([data.draw(places), data.draw(places)])
        wrong = good[:begin] + data.draw(st.binary(max_size=40)) + good[end:]
        path.write_bytes(wrong)
        with contextlib.nullcontext() if wrong == good else pytest.raises(CheckpointError):
            read(path)


@settings(max_examples=300, deadline=None)
@given(header=st.binary(max_size=60) | PLAIN.map(lambda data: json.dumps(data).encode()))
def test_headers_of_any_kind_are_refused_in_an_orderly_way(header):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        for reader in (read, describe):
            with pytest.raises(CheckpointError):
                reader(path)


ENTRY = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"a": ENTRY | {"dtype": "C64"}}, "cannot be understood: KeyError"),
        ({"a": ENTRY | {"shape": [-1, -2]}}, "has the shape"),
        ({"a": ENTRY | {"shape": [2.0]}}, "has the shape"),
        ({"a": ENTRY | {"shape": [3]}}, "takes 2 bytes, not the 3 of its shape"),
        ({"a": ENTRY | {"shape": [2**70]}}, "takes 2 bytes, not the"),
        ({"a": ENTRY | {"data_offsets": [1, 3]}}, "a gap or an overlap before 'a'"),
        ({"a": ENTRY | {"data_offsets": [-2, 0]}}, "a gap or an overlap before 'a'"),
        ({"a": ENTRY, "b": ENTRY}, "a gap or an overlap before 'b'"),
        ({"a": {}}, "cannot be understood: KeyError"),
        ({"a": ENTRY | {"data_offsets": ["0", "2"]}}, "cannot be understood: TypeError"),
        ({"__metadata__": [1]}, "cannot be understood: AttributeError"),
        ([], "cannot be understood: TypeError|AttributeError"),
        (json.loads("[" * 500 + "]" * 500), "cannot be understood"),
    ],
)
def test_impossible_headers_are_refused(tmp_path, header, words):
    text = json.dumps(header).encode()
    (tmp_path / "file").write_bytes(len(text).to_bytes(8, "little") + text + b"12")
    with pytest.raises(CheckpointError, match=words):
        read(tmp_path / "file")


def sealed(path: Path, state: str, **metadata: str) -> None:
    """A file with the right seals around any content."""
    known = {"format": checkpoint.FORMAT, "version": "1", "state": state}
    blank = torch.zeros(32, dtype=torch.uint8)
    tensors = {checkpoint.SEALS[0]: blank, "/a": torch.zeros(3), checkpoint.SEALS[1]: blank}
    pieces = checkpoint._sealed(pack(tensors, known | metadata), list(tensors))
    fetch.write(pieces, path)


def test_sealed_nonsense_is_refused(path):
    sealed(path, '{"b": {"!tensor": "/a"}}')
    assert same(read(path), {"b": torch.zeros(3)})
    deep = "[" * 100_000 + "]" * 100_000
    for state in (
        '{"b": {"!tensor": "/b"}}',
        '{"b": {"!tuple": 3}}',
        '{"!tensor": [1]}',
        "{",
        deep,
    ):
        sealed(path, state)
        for reader in (read, describe):
            with pytest.raises(CheckpointError, match="is whole, but not as cnnlib writes it"):
                reader(path)
    sealed(path, '{"b": {"!tensor": "/a", "!channels_last": true}}')  # a vector has no channels
    with pytest.raises(CheckpointError, match="is whole, but not as cnnlib writes it"):
        read(path)


def test_files_of_a_later_version_say_so(path):
    sealed(path, "{}", version="2")
    for reader in (read, describe):
        with pytest.raises(CheckpointError, match="version 2 .* knows 1: it is of a later cnnlib"):
            reader(path)


def test_other_files_are_refused_and_named(tmp_path):
    path = tmp_path / "file"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is no checkpoint: .* is of other origin"):
        read(path)
    weights.save(weights.create_model("lenet5"), path, name="lenet5")
    with pytest.raises(CheckpointError, match="is no checkpoint: .* holds the weights of a net"):
        read(path)
    metadata = {"format": checkpoint.FORMAT, "version": "1", "state": "{}"}
    safetensors.torch.save_file({"weight": torch.zeros(3)}, path, metadata)  # without seals
    with pytest.raises(CheckpointError, match="is damaged"):
        read(path)
    for content, words in [(b"", "it is empty"), (b"some text, not very long", "no safetensors")]:
        path.write_bytes(content)
        for reader in (read, describe):
            with pytest.raises(CheckpointError, match=words):
                reader(path)


class Malicious:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("dump", [torch.save, lambda value, path: path.write_bytes(dumps(value))])
def test_nothing_in_a_file_is_executed(tmp_path, dump):
    victim, path = tmp_path / "victim", tmp_path / "file"
    dump({"model": Malicious(victim)}, path)
    for reader in (read, describe):
        with pytest.raises(CheckpointError, match="looks like a pickle.* never opened here"):
            reader(path)
    assert not victim.exists()
    pickle.loads(pickle.dumps(Malicious(victim)))  # it would have done it
    assert victim.exists()


dumps = pickle.dumps


def test_a_file_that_shrinks_while_it_is_read_is_noticed(path, monkeypatch):
    write(path, {"large": torch.zeros(1_000_000)})
    tensors = Unpacked.tensors

    def shrink(self):
        os.truncate(path, 2_000_000)
        return tensors(self)

    monkeypatch.setattr(Unpacked, "tensors", shrink)
    with pytest.raises(CheckpointError, match="good.ckpt .* became shorter while it was read"):
        read(path)


# What can go wrong with disks


def test_missing_files_and_folders_are_named(tmp_path):
    for reader in (read, describe):
        with pytest.raises(FileNotFoundError, match="No such file.*missing"):
            reader(tmp_path / "missing")
        with pytest.raises(IsADirectoryError if os.name == "posix" else OSError, match="tmp|test"):
            reader(tmp_path)
    with pytest.raises(FileNotFoundError, match="the folder .*no does not exist: .*no/file"):
        write(tmp_path / "no" / "file", STATE)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder'$"):
        write(tmp_path / "folder", STATE)
    assert os.listdir(tmp_path) == ["folder"] and not os.listdir(tmp_path / "folder")


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses whatever would make a file of this process longer, as a full disk."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@POSIX
@settings(deadline=None)  # of disks one does not know
@given(data=st.data())
def test_a_disk_that_is_full_after_any_number_of_bytes_leaves_the_old_file(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        larger = STATE | {"more": noise((300,), torch.float64)}
        write(path, larger)
        room = data.draw(st.integers(0, path.stat().st_size - 1))
        write(path, STATE)
        with largest_file(room), pytest.raises(OSError, match=r"File too large: .*/file"):
            write(path, larger)
        assert is_as_before(path)
        write(path, larger)
        assert is_as_before(path, larger)


@POSIX
def test_a_really_full_disk_leaves_the_old_file(tmp_path):
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], capture_output=True
    ).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        path = tmp_path / "file"
        write(path, STATE)
        with pytest.raises(OSError, match="No space left on device: .*file") as fault:
            write(path, {"a": torch.zeros(100_000)})
        assert fault.value.errno == errno.ENOSPC and is_as_before(path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_error_at_the_last_moment_leaves_the_old_file(path, monkeypatch, call):
    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="Input/output error: .*good.ckpt"):
            write(path, {"a": torch.zeros(3)})
    assert is_as_before(path)


def test_ctrl_c_while_writing_leaves_the_old_file(path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(path, {"a": torch.zeros(3)})
    assert is_as_before(path)


@contextlib.contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder that this process may read but not change, even if it is root's."""
    above = Path(tempfile.mkdtemp())  # those of pytest are closed to others
    folder = above / "folder"
    folder.mkdir()
    write(folder / "file", STATE)
    for path, rights in [(above, 0o755), (folder / "file", 0o644), (folder, 0o555)]:
        path.chmod(rights)
    root = os.geteuid() == 0
    try:
        if root:  # who may do everything
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(above)


@POSIX
def test_a_read_only_folder_is_named_and_the_old_file_stays():
    with as_nobody() as folder:
        with pytest.raises(PermissionError, match="Permission denied: .*/folder/file"):
            write(folder / "file", {"a": 1})
        assert is_as_before(folder / "file")


@POSIX
def test_a_file_that_may_not_be_read_is_named(path):
    path.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    with pytest.raises(PermissionError, match="Permission denied: .*good.ckpt"):
        read(path)


def test_a_new_file_has_the_rights_of_any_new_file(path):
    (path.parent / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((path.parent / "other").stat().st_mode)


# Killed while writing

KILLED = """if True:  # a fork for each death, so that torch is imported once
    import os, random, signal, sys, time, torch
    from cnnlib import checkpoint

    folder, path = sys.argv[1:]
    tensor = torch.full((100_000,), 1.0)
    chance = random.Random(0)

    deaths = ["write", "fsync", "replace", "close", *[chance.uniform(0, 0.02) for _ in range(30)]]
    for death in deaths:
        before = checkpoint.read(path)["number"]
        child = os.fork()
        if child == 0:
            if death == "write":
                whole = checkpoint.pack
                def half(*arguments):
                    for index, piece in enumerate(whole(*arguments)):
                        yield piece if index < 2 else os.kill(os.getpid(), signal.SIGKILL)
                checkpoint.pack = half
            elif isinstance(death, str):
                setattr(os, death, lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
            for number in range(before + 1, before + 1000):
                checkpoint.write(path, {"number": number, "tensor": tensor * number})
            os._exit(1)
        if not isinstance(death, str):
            time.sleep(death)
            os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        state = checkpoint.read(path)
        assert torch.equal(state["tensor"], tensor * state["number"])
        print(death, state["number"] - before, len(os.listdir(folder)) - 1)
"""


@POSIX
def test_a_killed_process_leaves_a_good_file_and_the_next_one_cleans_up(tmp_path):
    path = tmp_path / "file"
    write(path, {"number": 0, "tensor": torch.zeros(100_000)})
    run = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, path], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    deaths = {}  # where each died, how many files it had finished, what it left beside the file
    for line in run.stdout.splitlines():
        death, *counts = line.split()
        deaths[death] = list(map(int, counts))
    assert deaths.pop("write") == deaths.pop("fsync") == deaths.pop("replace") == [0, 1]
    assert deaths.pop("close") == [1, 0]
    assert len(deaths) == 30 and all(parts <= 1 for _, parts in deaths.values())
    write(path, STATE)
    assert is_as_before(path)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_only_what_the_dead_left_is_removed(tmp_path):
    path, token = tmp_path / "file", secrets.token_hex(4)
    dead = tmp_path / f".file.{token}.part"
    others = [f".other.{token}.part", f"file.{token}.part", ".file.part", ".file.12345678.part.x"]
    for name in [dead.name, *others]:
        (tmp_path / name).write_bytes(b"half")

    def pieces():
        assert not dead.exists()
        yield b"first"
        (alive,) = (p for p in tmp_path.glob(".file.*.part"))
        fetch.write(b"of another process", path)  # its own part is still growing
        assert alive.exists()
        yield b" second"

    fetch.write(pieces(), path)
    assert path.read_bytes() == b"first second"
    assert sorted(os.listdir(tmp_path)) == sorted(["file", *others])


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_without_locks_files_are_written_all_the_same(path, monkeypatch):
    import fcntl

    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    write(path, {"a": 1})
    assert is_as_before(path, {"a": 1})


# Size


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory, as Linux tells it")
def test_writing_and_reading_need_no_copy_of_the_state(tmp_path):
    code = """if True:
        import pathlib, re, sys, torch
        from cnnlib import checkpoint

        def peak():
            status = pathlib.Path("/proc/self/status").read_text()
            return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])

        state = {"model": {f"{index}": torch.full((2_500_000,), 1.0) for index in range(10)}}
        checkpoint.write(sys.argv[1], {"warm": state["model"]["0"][:10].clone()})
        before = peak()
        checkpoint.write(sys.argv[1], state)
        written = peak() - before
        assert torch.equal(checkpoint.read(sys.argv[1])["model"]["9"], state["model"]["9"])
        print(written, peak() - before)
    """
    command = [sys.executable, "-c", code, tmp_path / "file"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    written, read_too = map(int, run.stdout.split())
    assert written < 5e6 and 95e6 < read_too < 115e6  # bytes; the state has 100 MB
