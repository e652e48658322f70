"""Fetching, against a server on this computer that misbehaves on demand."""

import errno
import gzip
import hashlib
import io
import logging
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlib import fetch

CONTENT = random.Random(0).randbytes(200_000)
FILE = fetch.File("digits.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
WAIT = 20.0  # seconds after which a test that waits has failed


class Server(ThreadingHTTPServer):
    """Answers /NAME as ``answers[NAME]`` does, and counts the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = Counter()
        self.asked = threading.Event()
        self.release = threading.Event()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        name = self.path[1:]
        self.server.requests[name] += 1
        self.server.asked.set()
        getattr(self, name)()

    def send(self, content: bytes, length: int | None = None):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        try:
            self.wfile.write(content)
        except ConnectionError:
            pass  # the client has read enough

    def good(self):
        self.send(CONTENT)

    def missing(self):
        self.send_error(404)

    def busy(self):
        self.send_error(503)

    def busy_once(self):
        self.send_error(503) if self.server.requests["busy_once"] == 1 else self.good()

    def wrong(self):
        self.send(bytes(len(CONTENT)))

    def endless(self):
        self.send(CONTENT * 50)

    def unending(self):
        """Does not say how much there is."""
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(CONTENT)
        except ConnectionError:
            pass  # the client has read enough

    def cut(self):
        self.send(CONTENT[:1000], length=len(CONTENT))

    def cut_once(self):
        self.cut() if self.server.requests["cut_once"] == 1 else self.good()

    def slow(self):
        """Half of the file, and the rest when the test says so."""
        half = len(CONTENT) // 2
        self.send(CONTENT[:half], length=len(CONTENT))
        self.wfile.flush()
        self.server.release.wait(WAIT)
        try:
            self.wfile.write(CONTENT[half:])
        except ConnectionError:
            pass  # the client was killed meanwhile

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join(WAIT)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def get(server, tmp_path):
    """Fetches FILE into tmp_path from the named answers of the server."""

    def get(*names: str, folder: Path = tmp_path, copies=()) -> bytes:
        mirrors = [server.url(name) for name in names]
        return fetch.fetch(FILE, folder, copies=copies, mirrors=lambda: mirrors)

    return get


def names(folder: Path) -> set[str]:
    """What lies in a cache folder, apart from the locks."""
    return {path.name for path in folder.iterdir()} - {"digits.bin.lock", "set.lock"}


def refuse() -> list[str]:
    pytest.fail("the mirrors were asked although there was no need")


# Files of which less is published

PARTLY = fetch.File(FILE.name, size=0, sha256=FILE.sha256[:8])


def fetch_partly_known(server, folder, name: str) -> bytes:
    return fetch.fetch(PARTLY, folder, mirrors=lambda: [server.url(name)])


def test_the_first_digits_of_a_checksum_suffice_and_so_does_an_unknown_size(server, tmp_path):
    assert fetch_partly_known(server, tmp_path, "good") == CONTENT
    assert names(tmp_path) == {FILE.name}


@pytest.mark.parametrize(
    ("answer", "why"),
    [("wrong", "wrong checksum"), ("cut", "truncated: 1,000 of 200,000 bytes")],
)
def test_a_damaged_file_of_unknown_size_is_not_kept(server, tmp_path, answer, why):
    with pytest.raises(OSError, match=why):
        fetch_partly_known(server, tmp_path, answer)
    assert not names(tmp_path)


def test_a_file_of_unknown_size_does_not_go_on_for_ever(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "LARGEST", 300_000)
    with pytest.raises(OSError, match="wrong checksum"):
        fetch_partly_known(server, tmp_path, "unending")
    assert not names(tmp_path)


# Writing


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "file"
    fetch.write(b"old", path)

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, full)
            with pytest.raises(OSError, match="No space left on device: .*file"):
                fetch.write(b"new", path)
        assert path.read_bytes() == b"old" and names(tmp_path) == {"file"}
    with pytest.raises(FileNotFoundError, match="the folder .* does not exist"):
        fetch.write(b"new", tmp_path / "missing" / "file")


def test_a_file_may_come_in_pieces(tmp_path):
    fetch.write((bytes([number]) * 3 for number in range(3)), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"\0\0\0\1\1\1\2\2\2"
    fetch.write([memoryview(b"ab"), b"c"], tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"abc"

    def broken():
        yield b"half"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        fetch.write(broken(), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"abc" and names(tmp_path) == {"file"}


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be synced")
def test_a_file_is_on_disk_before_it_gets_its_name_and_the_name_before_the_end(
    tmp_path, monkeypatch
):
    steps, sync, replace = [], os.fsync, os.replace

    def fsync(descriptor):
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: steps.append("name") or replace(*paths))
    fetch.write(b"data", tmp_path / "file")
    assert steps == ["file", "name", "folder"]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be synced")
@pytest.mark.parametrize(
    ("number", "goes_on"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)]
)
def test_a_folder_that_cannot_be_synced_counts_only_if_the_disk_is_to_blame(
    tmp_path, monkeypatch, number, goes_on
):
    sync = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with nullcontext() if goes_on else pytest.raises(OSError, match="error: .*file"):
        fetch.write(b"data", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"data" and names(tmp_path) == {"file"}


# Sources, in their order


def test_a_good_file_in_the_cache_is_used_and_no_mirror_is_asked(tmp_path):
    (tmp_path / FILE.name).write_bytes(CONTENT)
    assert fetch.fetch(FILE, tmp_path, mirrors=refuse) == CONTENT


def test_a_copy_on_this_computer_is_used_in_place_and_the_cache_is_not_touched(tmp_path):
    copy = tmp_path / "system" / FILE.name
    copy.parent.mkdir()
    copy.write_bytes(CONTENT)
    cache = tmp_path / "cache"
    assert fetch.fetch(FILE, cache, copies=[copy], mirrors=refuse) == CONTENT
    assert not cache.exists()


def test_a_download_is_kept_and_serves_the_second_call(get, server, tmp_path):
    folder = tmp_path / "made" / "on" / "demand"
    assert get("good", folder=folder) == CONTENT
    assert (folder / FILE.name).read_bytes() == CONTENT
    assert names(folder) == {FILE.name}
    assert get("good", folder=folder) == CONTENT
    assert server.requests["good"] == 1


def test_a_copy_that_was_packed_again_is_known_by_its_contents(tmp_path):
    published = gzip.compress(CONTENT, mtime=1)
    packed_again = gzip.compress(CONTENT, mtime=2)
    checksum, contents = (hashlib.sha256(b).hexdigest() for b in (published, CONTENT))
    (tmp_path / "images.gz").write_bytes(packed_again)
    file = fetch.File("images.gz", len(published), checksum, contents)
    assert fetch.fetch(file, tmp_path) == packed_again
    with pytest.raises(OSError, match="wrong checksum"):
        fetch.fetch(fetch.File("images.gz", len(published), checksum), tmp_path)


# Mirrors that fail


@pytest.mark.parametrize(
    ("name", "requests"),
    [("missing", 1), ("wrong", 1), ("endless", 1), ("busy", 2), ("cut", 2)],
)
def test_the_next_mirror_takes_over_and_only_passing_faults_are_tried_twice(
    get, server, name, requests
):
    assert get(name, "good") == CONTENT
    assert server.requests == {name: requests, "good": 1}


@pytest.mark.parametrize("name", ["busy_once", "cut_once"])
def test_a_fault_of_the_moment_is_survived_by_a_second_try(get, server, tmp_path, name):
    assert get(name) == CONTENT
    assert server.requests[name] == 2
    assert names(tmp_path) == {FILE.name}


def test_a_mirror_that_falls_silent_is_given_up(get, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    started = time.monotonic()
    assert get("slow", "good") == CONTENT
    assert time.monotonic() - started < 5


def test_the_error_names_every_source_with_its_reason_and_what_helps(get, server, tmp_path):
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}/digits.bin"
        urls = [*map(server.url, ("missing", "busy", "wrong", "cut")), dead]
        copy = tmp_path / "system" / FILE.name
        with pytest.raises(OSError) as caught:
            fetch.fetch(
                FILE, tmp_path, copies=[copy], mirrors=lambda: urls, advice="Or use mnist_5k."
            )
    reasons = [
        f"{tmp_path / FILE.name}: not there",
        f"{copy}: not there",
        f"{urls[0]}: HTTP 404 Not Found",
        f"{urls[1]}: HTTP 503 Service Unavailable",
        f"{urls[2]}: wrong checksum",
        f"{urls[3]}: truncated: 1,000 of 200,000 bytes",
        f"{dead}: [Errno {errno.ECONNREFUSED}]",
    ]
    lines = str(caught.value).splitlines()
    assert lines[0] == "no source has digits.bin. Tried:"
    for line, reason in zip(lines[1:], reasons, strict=False):
        assert line.startswith(f"  - {reason}")
    assert f"put the file at {tmp_path / FILE.name}" in lines[-1]
    assert "CNNLIB_DATA" in lines[-1] and lines[-1].endswith("Or use mnist_5k.")
    assert names(tmp_path) == set()


def test_a_reason_for_having_no_mirrors_is_part_of_the_error(tmp_path):
    def mirrors():
        raise OSError("torchvision is not installed")

    with pytest.raises(OSError, match="mirrors: torchvision is not installed"):
        fetch.fetch(FILE, tmp_path / "cache", mirrors=mirrors)
    assert not (tmp_path / "cache").exists()


# Damage in the cache


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (CONTENT[:-1], "truncated: 199,999 of 200,000 bytes"),
        (b"", "truncated: 0 of 200,000 bytes"),
        (bytes(len(CONTENT)), "wrong checksum"),
        (CONTENT + b"x", "wrong checksum"),
    ],
)
def test_a_damaged_file_is_reported_set_aside_and_fetched_again(
    get, tmp_path, caplog, damaged, reason
):
    (tmp_path / FILE.name).write_bytes(damaged)
    assert get("good") == CONTENT
    assert (tmp_path / FILE.name).read_bytes() == CONTENT
    assert (tmp_path / "digits.bin.bad").read_bytes() == damaged
    assert reason in caplog.text and "set aside as digits.bin.bad" in caplog.text


def test_a_damaged_file_is_never_used_even_if_nothing_else_is_there(tmp_path):
    (tmp_path / FILE.name).write_bytes(CONTENT[:-1])
    with pytest.raises(OSError, match="truncated: 199,999 of 200,000 bytes"):
        fetch.fetch(FILE, tmp_path)
    assert names(tmp_path) == {FILE.name}


def test_a_damaged_file_that_a_good_copy_replaces_is_reported(tmp_path, caplog):
    (tmp_path / FILE.name).write_bytes(CONTENT[:-1])
    copy = tmp_path / "copy.bin"
    copy.write_bytes(CONTENT)
    assert fetch.fetch(FILE, tmp_path, copies=[copy], mirrors=refuse) == CONTENT
    assert f"not used: {tmp_path / FILE.name}: truncated" in caplog.text


@given(data=st.data())
def test_every_change_of_the_bytes_is_noticed(data):
    content = data.draw(st.binary(min_size=1, max_size=50), "content")
    other = data.draw(st.binary(max_size=60).filter(lambda b: b != content), "other")
    file = fetch.File("x", len(content), hashlib.sha256(content).hexdigest())
    assert fetch.check(content, file) == content
    with pytest.raises(fetch.BadFile):
        fetch.check(other, file)


# A cache that cannot be written


def test_a_cache_that_is_no_folder_is_reported_and_the_download_used(get, tmp_path, caplog):
    (tmp_path / "file").write_text("not a folder")
    assert get("good", folder=tmp_path / "file" / "mnist") == CONTENT
    assert "no use of the cache" in caplog.text
    assert (tmp_path / "file").read_text() == "not a folder"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system nobody may write")
def test_a_cache_nobody_may_write_is_reported_and_the_download_used(get, caplog):
    assert get("good", folder=Path("/proc/self/cnnlib")) == CONTENT
    assert "no use of the cache" in caplog.text


def test_a_cache_without_locks_is_not_written(get, tmp_path, caplog, monkeypatch):
    def no_locks(descriptor):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fetch, "_wait_for_lock", no_locks)
    assert get("good") == CONTENT
    assert names(tmp_path) == set()
    assert "cannot be locked" in caplog.text


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing_behind_and_the_download_is_used(
    get, tmp_path, caplog, monkeypatch, call
):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    assert get("good") == CONTENT
    assert names(tmp_path) == set()
    assert f"used but not kept: {tmp_path / FILE.name}: No space left on device" in caplog.text


def test_a_damaged_file_that_cannot_be_moved_does_not_stop_the_reader(
    get, tmp_path, caplog, monkeypatch
):
    def read_only(*args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / FILE.name).write_bytes(b"damaged")
    monkeypatch.setattr(os, "replace", read_only)
    assert get("good") == CONTENT
    assert (tmp_path / FILE.name).read_bytes() == b"damaged"
    assert names(tmp_path) == {FILE.name}
    assert "cannot be set aside: Read-only file system" in caplog.text


# Several processes, and processes that end early

CHILD = """
import signal
import sys
from pathlib import Path
from cnnlib import fetch
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where pytest is a background job
name, size, sha256, folder, url = sys.argv[1:]
data = fetch.fetch(fetch.File(name, int(size), sha256), Path(folder), mirrors=lambda: [url])
print(len(data))
"""


@pytest.fixture
def start(server, tmp_path):
    """Starts processes that fetch FILE from the slow answer; none of them outlives the test."""
    started = []

    def start() -> subprocess.Popen:
        args = [FILE.name, str(FILE.size), FILE.sha256, str(tmp_path), server.url("slow")]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def wait_for_lock_queue(folder: Path, child: subprocess.Popen) -> None:
    """Waits until a process has opened the lock that another one holds."""
    lock = str(folder / "digits.bin.lock")
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        if not Path("/proc/self/fd").exists():
            return time.sleep(2.0)  # no way to look; long enough for a process to start
        links = (os.readlink(fd) for fd in Path(f"/proc/{child.pid}/fd").iterdir())
        try:
            if lock in links:
                return time.sleep(0.1)
        except FileNotFoundError:
            pass  # it closed one of its files between the two calls
        time.sleep(0.02)
    pytest.fail("the second process never came to the lock")


def test_of_two_processes_one_fetches_and_the_other_waits_for_it(server, start, tmp_path):
    first = start()
    assert server.asked.wait(WAIT)
    second = start()
    wait_for_lock_queue(tmp_path, second)
    assert first.poll() is None and second.poll() is None
    server.release.set()
    for child in (first, second):
        output, errors = child.communicate(timeout=WAIT)
        assert (child.returncode, output) == (0, "200000\n"), errors
    assert server.requests["slow"] == 1
    assert names(tmp_path) == {FILE.name}


def test_a_killed_process_leaves_neither_a_lock_nor_half_a_file(server, start, get, tmp_path):
    child = start()
    assert server.asked.wait(WAIT)
    child.kill()
    child.wait(WAIT)
    assert names(tmp_path) == set()
    assert (tmp_path / "digits.bin.lock").exists()
    started = time.monotonic()
    assert get("good") == CONTENT
    assert time.monotonic() - started < 5


def test_what_a_process_left_that_died_while_writing_is_overwritten(get, tmp_path):
    (tmp_path / "digits.bin.lock").touch()
    (tmp_path / "digits.bin.part").write_bytes(b"half")
    assert get("good") == CONTENT
    assert names(tmp_path) == {FILE.name}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT between processes")
def test_ctrl_c_while_fetching_leaves_nothing_behind(server, start, get, tmp_path):
    child = start()
    assert server.asked.wait(WAIT)
    time.sleep(0.2)  # some of the bytes have arrived
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=WAIT)
    assert child.returncode != 0 and "KeyboardInterrupt" in errors
    assert names(tmp_path) == set()
    assert get("good") == CONTENT


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT between processes")
def test_ctrl_c_ends_the_wait_for_another_process(server, start, tmp_path):
    first = start()
    assert server.asked.wait(WAIT)
    second = start()
    wait_for_lock_queue(tmp_path, second)
    second.send_signal(signal.SIGINT)
    _, errors = second.communicate(timeout=WAIT)
    assert second.returncode != 0 and "KeyboardInterrupt" in errors
    server.release.set()
    output, errors = first.communicate(timeout=WAIT)
    assert (first.returncode, output) == (0, "200000\n"), errors


def test_ctrl_c_while_writing_removes_the_temporary_file_and_is_not_swallowed(
    get, tmp_path, monkeypatch
):
    def interrupt(descriptor):
        assert (tmp_path / "digits.bin.part").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        get("good")
    assert names(tmp_path) == set()


# The cache folder


@pytest.mark.parametrize(
    ("platform", "variable", "below_home"),
    [
        ("linux", "XDG_CACHE_HOME", ".cache/cnnlib"),
        ("darwin", None, "Library/Caches/cnnlib"),
        ("win32", "LOCALAPPDATA", "AppData/Local/cnnlib"),
    ],
)
def test_the_cache_folder_is_that_of_the_platform(
    monkeypatch, tmp_path, platform, variable, below_home
):
    monkeypatch.delenv("CNNLIB_DATA", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if variable:
        monkeypatch.delenv(variable, raising=False)
    assert fetch.cache_folder() == tmp_path / below_home
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
        assert fetch.cache_folder() == tmp_path / "elsewhere" / "cnnlib"


def test_cnnlib_data_decides_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNLIB_DATA", str(tmp_path))
    assert fetch.cache_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CNNLIB_DATA", "~/data")
    assert fetch.cache_folder() == Path("~/data").expanduser() != Path("~/data")


def test_a_quiet_fetch_logs_nothing(get, caplog):
    with caplog.at_level(logging.DEBUG):
        get("good")
    assert caplog.records == []


# Folders that are complete or not there, and archives


def tar_gz(members: dict[str, bytes], **special: str) -> bytes:
    """A packed archive; `special` are links: name -> target."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in special.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return data.getvalue()


def put_archive(folder: Path, data: bytes) -> fetch.File:
    (folder / "set.tgz").write_bytes(data)
    return fetch.File("set.tgz", len(data), hashlib.sha256(data).hexdigest())


def test_a_folder_appears_when_it_is_complete_or_not_at_all(tmp_path):
    with fetch.complete_folder(tmp_path / "new") as part:
        (part / "file").write_bytes(b"x")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "file").read_bytes() == b"x"
    for fault in (KeyboardInterrupt, OSError):
        with pytest.raises(fault):
            with fetch.complete_folder(tmp_path / "other") as part:
                (part / "file").write_bytes(b"x")
                raise fault
    assert names(tmp_path) == {"new"}
    with pytest.raises(FileExistsError, match="is there already; remove it or choose another"):
        with fetch.complete_folder(tmp_path / "new"):
            pytest.fail("it was there")
    with pytest.raises(FileNotFoundError, match="the folder does not exist: .*missing"):
        with fetch.complete_folder(tmp_path / "missing" / "new"):
            pytest.fail("it has no place")


def test_an_archive_is_unpacked_once_and_what_a_killed_process_left_is_cleared(tmp_path):
    file = put_archive(tmp_path, tar_gz({"set/a/1": b"one", "set/b/2": b"two"}))
    (tmp_path / ".set.part" / "half").mkdir(parents=True)
    folder = fetch.fetch_unpacked(file, tmp_path)
    assert folder == tmp_path / "set"
    assert (folder / "set" / "a" / "1").read_bytes() == b"one"
    (folder / "mine").write_bytes(b"still there the second time")
    assert fetch.fetch_unpacked(file, tmp_path, mirrors=refuse) == folder
    assert (folder / "mine").exists() and not (tmp_path / ".set.part").exists()


def test_of_several_that_want_an_archive_one_unpacks_it(tmp_path, monkeypatch):
    file = put_archive(tmp_path, tar_gz({"set/1": b"one"}))
    unpacked = []
    original = tarfile.TarFile.extractall

    def slowly(self, *args, **options):
        unpacked.append(1)
        time.sleep(0.2)
        return original(self, *args, **options)

    monkeypatch.setattr(tarfile.TarFile, "extractall", slowly)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch.fetch_unpacked(file, tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert found == [tmp_path / "set"] * 4 and len(unpacked) == 1


@pytest.mark.parametrize(
    "data",
    [
        tar_gz({"../escaped": b"x"}),
        tar_gz({"set/../../escaped": b"x"}),
        tar_gz({}, link="../escaped"),
        tar_gz({}, link="/etc/passwd"),
        tar_gz({"set/1": random.Random(0).randbytes(10_000)})[:-5000],
        b"no archive",
    ],
    ids=["up", "up later", "link", "absolute link", "cut off", "no archive"],
)
def test_an_archive_that_reaches_outside_or_is_damaged_is_not_unpacked(tmp_path, data):
    cache = tmp_path / "cache"
    cache.mkdir()
    file = put_archive(cache, data)
    with pytest.raises(OSError, match="set.tgz is not unpacked"):
        fetch.fetch_unpacked(file, cache)
    assert names(cache) == {"set.tgz"} and names(tmp_path) == {"cache"}


def test_a_full_disk_while_unpacking_is_reported_and_leaves_nothing(tmp_path, monkeypatch):
    file = put_archive(tmp_path, tar_gz({"set/1": b"one"}))

    def full(*args, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(OSError, match="set.tgz is not unpacked: No space left on device"):
        fetch.fetch_unpacked(file, tmp_path)
    assert names(tmp_path) == {"set.tgz"}


def test_without_a_cache_to_write_to_an_archive_cannot_be_unpacked(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    file = fetch.File("set.tgz", 1, "00")
    with pytest.raises(OSError, match="must be unpacked, but .* Set CNNLIB_DATA"):
        fetch.fetch_unpacked(file, tmp_path / "file" / "cache", advice="Or do without.")
