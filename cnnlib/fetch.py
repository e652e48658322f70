"""Getting a published file: from the cache, from this computer, or from a mirror.

Three promises hold whatever goes wrong:

* **Nothing unchecked is used.** A file counts only if its SHA-256 checksum is the published one.
* **Nothing is half-written.** A file is written beside its place and moved there when it is
  complete and on disk; until then the place keeps what it had.
* **Nobody waits for the dead.** Of several processes that want the same file one fetches it and the
  others wait, on a lock that the operating system drops when its holder ends, however it ends.

The files are small enough for memory (574 MB is the largest) and are wanted there anyway. So a
download goes to memory, is checked there, and only then touches the disk. Where the cache cannot be
written (read-only, full, no folder) the data are used all the same, and the log says so.
"""

import errno
import gzip
import hashlib
import http.client
import io
import logging
import os
import re
import secrets
import shutil
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ATTEMPTS = 2  # per mirror; a second try helps after a dropped connection, not after a "not found"
PAUSE = 1.0  # seconds before the second try
TIMEOUT = 30.0  # seconds without a byte before a mirror is given up
CHUNK = 1 << 20  # bytes between two movements of the progress bar
LARGEST = 1 << 30  # bytes at which a download of unknown size is given up

Piece = bytes | memoryview  # of what a file holds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class File:
    """A file as its authors published it.

    Args:
        name: Its name at the source and in the cache.
        size: Bytes; 0 if it is not known.
        sha256: Checksum of the file, in hexadecimal; or its first digits, where only those are
            published.
        contents: Checksum of what the gzip file holds, where known. Distributions pack such files
            again, without the time stamp in their header: other bytes, the same contents.
    """

    name: str
    size: int
    sha256: str
    contents: str = ""


class BadFile(Exception):
    """These bytes are not the published file; the message says in what they differ."""


def cache_folder() -> Path:
    """The folder of fetched files: ``CNNLIB_DATA`` if set, else the platform's cache folder."""
    if chosen := os.environ.get("CNNLIB_DATA"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "cnnlib"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cnnlib"
    xdg = os.environ.get("XDG_CACHE_HOME")
    return (Path(xdg) if xdg else Path.home() / ".cache") / "cnnlib"


def fetch(
    file: File,
    folder: Path,
    *,
    copies: Sequence[Path] = (),
    mirrors: Callable[[], Sequence[str]] = tuple,
    advice: str = "",
) -> bytes:
    """The bytes of a published file, from the first source that has it unharmed.

    Sources in order: ``folder``, ``copies``, ``mirrors``. What a mirror sends is kept in
    ``folder``. A file there that is not the published one is renamed to ``NAME.bad`` before a
    new one is fetched: it may be somebody's only copy of something.

    Args:
        file: What is wanted, with its checksum.
        folder: The cache; made if missing, and only when something is to be kept in it.
        copies: Places on this computer where another package may have put the file.
        mirrors: Called only if no local copy serves; gives addresses of the file. It may raise
            ``OSError`` to say why there are none.
        advice: What else a reader could do; ends the error message.

    Raises:
        OSError: No source has the file; the message lists each one that was tried, and why it
            failed.
    """
    cached = folder / file.name
    tried: list[str] = []
    for path in (cached, *copies):
        try:
            return _read(path, file)
        except OSError as fault:
            tried.append(_failed(path, fault))
        except BadFile as fault:
            tried.append(_failed(path, fault))
            log.warning("not used: %s", tried[-1])

    try:
        urls = mirrors()
    except OSError as fault:
        urls = ()
        tried.append(f"mirrors: {fault}")
    if urls:
        with _alone(folder, file.name) as may_keep:
            try:
                return _read(cached, file)  # another process may have fetched it while we waited
            except BadFile as fault:
                _set_aside(cached, fault)
            except OSError:
                pass  # in the list already
            for url in urls:
                try:
                    data = _download(url, file)
                except (BadFile, OSError, http.client.HTTPException) as fault:
                    tried.append(_failed(url, fault))
                else:
                    if may_keep:
                        _keep(data, cached)
                    return data

    message = f"no source has {file.name}. Tried:\n" + "".join(f"  - {line}\n" for line in tried)
    message += (
        f"What helps: put the file at {cached}, or set CNNLIB_DATA to a folder that holds it as "
        f"{folder.name}/{file.name}."
    )
    raise OSError(f"{message} {advice}".rstrip())


def check(data: bytes, file: File) -> bytes:
    """Returns ``data`` if they are the published file, else raises ``BadFile``."""
    if hashlib.sha256(data).hexdigest().startswith(file.sha256):
        return data
    if file.contents:
        try:
            inside = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            pass
        else:
            if hashlib.sha256(inside).hexdigest() == file.contents:
                return data
    if len(data) < file.size:
        raise BadFile(f"truncated: {len(data):,} of {file.size:,} bytes")
    raise BadFile("wrong checksum: not the published file")


def _read(path: Path, file: File) -> bytes:
    return check(path.read_bytes(), file)


def _failed(source: Path | str, fault: Exception) -> str:
    """One line on why a source failed, in words for the common cases."""
    if isinstance(fault, FileNotFoundError):
        return f"{source}: not there"
    if isinstance(fault, urllib.error.HTTPError):
        return f"{source}: HTTP {fault.code} {fault.reason}"
    if isinstance(fault, urllib.error.URLError):
        return f"{source}: {fault.reason}"
    if isinstance(fault, OSError) and fault.strerror:
        return f"{source}: {fault.strerror}"
    return f"{source}: {fault or type(fault).__name__}"


def _download(url: str, file: File) -> bytes:
    """Downloads to memory and checks; tries again after faults of the moment, and only those."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return check(_get(url, file), file)
        except urllib.error.HTTPError as fault:
            fault.close()
            if fault.code < 500 or attempt == ATTEMPTS:
                raise
        except (OSError, http.client.HTTPException):
            if attempt == ATTEMPTS:
                raise
        time.sleep(PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _get(url: str, file: File) -> bytes:
    """What the mirror sends, unchecked except that it is long enough."""
    request = urllib.request.Request(url, headers={"User-Agent": "cnnlib"})
    data = io.BytesIO()
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        size = file.size or int(response.headers.get("Content-Length") or 0)
        # disable=None: no bar where nobody watches (a log, a notebook's stored output)
        with tqdm(total=size, desc=file.name, unit="B", unit_scale=True, disable=None) as bar:
            # One byte more than the published size is enough to know that this is another file.
            while chunk := response.read(min(CHUNK, (size or LARGEST) + 1 - data.tell())):
                bar.update(data.write(chunk))
    if data.tell() < size:
        raise ConnectionError(f"truncated: {data.tell():,} of {size:,} bytes")
    return data.getvalue()


def write(data: bytes | Iterable[Piece], path: Path, *, part: Path | None = None) -> None:
    """Writes a file, whole or not at all: until it is complete, ``path`` keeps what it had.

    That holds even if the process is killed or the power fails, because a file is on disk before it
    gets its name, and the name is on disk before the function returns. What a killed process left
    behind is removed by the next one that writes the same file.

    Args:
        data: What the file holds; or pieces of it in their order, for what need not be in memory
            at once.
        path: Where it belongs; the folder must exist.
        part: Where it grows, in the same folder; by default under a name that nobody else uses.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    part = part or path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with _folder_of(path) as sync:
            try:
                with open(part, "wb") as stream:
                    stream.writelines([data] if isinstance(data, bytes) else data)
                    stream.flush()
                    os.fsync(stream.fileno())
                os.replace(part, path)
            except BaseException:  # Ctrl-C and a full disk alike
                part.unlink(missing_ok=True)
                raise
            sync()
    except OSError as fault:
        reason = fault.strerror or str(fault)
        if not path.parent.is_dir():
            reason = f"the folder {path.parent} does not exist"
        # the number decides of which kind the error is, so it stays a PermissionError and so on
        raise OSError(fault.errno, reason, str(path)) from fault


@contextmanager
def _folder_of(path: Path) -> Iterator[Callable[[], None]]:
    """Clears a folder of what killed processes left of a file; yields how to bring it to disk.

    Who writes into the folder shares a lock on it, who clears it needs the lock alone: so nothing
    is removed under the hands of a process that still writes. On Windows folders can be neither
    locked nor synced; but there an open file cannot be removed either.
    """
    if sys.platform == "win32":
        _remove_parts(path)
        yield lambda: None
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY)
    except OSError:  # one may write into a folder that one may not look into
        yield lambda: None
        return
    try:
        with suppress(OSError):  # somebody writes here now, or the file system knows no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_parts(path)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield lambda: _sync_folder(descriptor)
    finally:
        os.close(descriptor)  # and with it the lock


def _remove_parts(path: Path) -> None:
    """Removes the parts of a file that `write` would have moved to its place."""
    mine = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for name in os.listdir(path.parent):
            if mine.fullmatch(name):
                path.with_name(name).unlink()


def _sync_folder(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as fault:
        if fault.errno not in (errno.EINVAL, errno.ENOTSUP):  # not to be had on this file system
            raise


@contextmanager
def complete_folder(path: Path, *, part: Path | None = None) -> Iterator[Path]:
    """A folder that appears when it is complete, or not at all.

    Args:
        path: Where it belongs; nothing may be there yet, and the folder above it must exist.
        part: Where it grows, beside ``path``; by default under a name that nobody else uses. What
            is there is removed first.

    Yields:
        The folder to fill. If the block ends by an exception, it is removed with all it holds.

    Raises:
        FileExistsError: Something is at ``path``.
        OSError: The folder cannot be made.
    """
    if path.exists():
        raise FileExistsError(
            errno.EEXIST, "is there already; remove it or choose another", str(path)
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "the folder does not exist", str(path.parent))
    part = part or path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        os.rename(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    with _folder_of(path) as sync:
        sync()


def fetch_unpacked(
    file: File,
    folder: Path,
    *,
    mirrors: Callable[[], Sequence[str]] = tuple,
    advice: str = "",
) -> Path:
    """The folder into which a published tar archive was unpacked, once, by one process.

    Args:
        file: The archive, fetched as by `fetch`, and kept beside the folder.
        folder: The cache. The archive goes into a folder there that is named after it.
        mirrors: See `fetch`.
        advice: See `fetch`.

    Raises:
        OSError: No source has the file, the cache cannot be written, or the archive holds what
            would end up outside of the folder.
    """
    target = folder / re.sub(r"\.(tgz|tar(\.\w+)?)$", "", file.name)
    if target.is_dir():
        return target
    with _alone(folder, target.name) as may_keep:
        if target.is_dir():  # another process was at it while we waited
            return target
        if not may_keep:
            raise OSError(
                f"{file.name} must be unpacked, but {folder} cannot be written or locked. Set "
                f"CNNLIB_DATA to a folder that can. {advice}".rstrip()
            )
        data = fetch(file, folder, mirrors=mirrors, advice=advice)
        part = target.with_name(f".{target.name}.part")  # one name, as we hold the lock
        try:
            with complete_folder(target, part=part) as inside:
                with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                    # no absolute paths, no way up, no links to the outside, no devices
                    archive.extractall(inside, filter="data")
                if hasattr(os, "sync"):
                    os.sync()  # thousands of files at once, before their folder gets its name
        except (tarfile.TarError, EOFError, zlib.error) as fault:
            raise OSError(f"{file.name} is not unpacked: {fault}") from fault
        except OSError as fault:
            reason = fault.strerror or str(fault)
            raise OSError(fault.errno, f"{file.name} is not unpacked: {reason}", str(target)) from (
                fault
            )
    return target


def _keep(data: bytes, path: Path) -> None:
    """Writes a checked file into the cache, whose lock we hold."""
    try:
        write(data, path, part=path.with_name(path.name + ".part"))
    except OSError as fault:
        log.warning("used but not kept: %s", _failed(path, fault))


def _set_aside(path: Path, fault: BadFile) -> None:
    bad = path.with_name(path.name + ".bad")
    try:
        os.replace(path, bad)
    except OSError as obstacle:
        log.warning("%s (%s) cannot be set aside: %s", path, fault, obstacle.strerror)
    else:
        log.warning("%s (%s) is set aside as %s", path, fault, bad.name)


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[bool]:
    """Holds the lock of one file in the cache; yields whether the cache can be written.

    The lock belongs to the open file, not to the file's existence, so the operating system frees it
    when its holder ends. The file itself stays: whoever deletes a lock file may delete it under the
    hands of a process that just opened it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = open(folder / f"{name}.lock", "a+b")
    except OSError as fault:
        log.warning("no use of the cache: %s", _failed(folder, fault))
        yield False
        return
    with stream:
        try:
            _wait_for_lock(stream.fileno())
        except OSError as fault:  # a file system without locks: do not write side by side
            log.warning("no use of the cache, it cannot be locked: %s", _failed(folder, fault))
            yield False
            return
        yield True  # closing the stream gives the lock back


if sys.platform == "win32":
    import msvcrt

    def _wait_for_lock(descriptor: int) -> None:
        while True:
            try:
                os.lseek(descriptor, 0, os.SEEK_SET)
                return msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except OSError as fault:
                if fault.errno not in (errno.EACCES, errno.EDEADLK):
                    raise
                time.sleep(0.1)

else:
    import fcntl

    def _wait_for_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
