"""Which files of the work folder a call has made or changed, whatever lies there.

Nothing is opened but regular files, beneath the folder, through no link, without waiting: a folder in the
hands of untrusted code may hold links to elsewhere, FIFOs that nobody writes and files that change while
they are read. Takes the folder's file descriptor.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat

OPENAT2 = 437
BENEATH = 0x01 | 0x02 | 0x04 | 0x08
"""RESOLVE_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS and _BENEATH."""
CHUNK = 1 << 20
MAX_PATH = 512
MOST_PATH = 4096
"""Bytes of a path that a kernel takes."""
STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

_libc = ctypes.CDLL(None, use_errno=True)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class TooMany(Exception):  # noqa: N818  (a limit of the folder, no fault of this code)
    """The folder holds more files than may be."""


def open_beneath(folder: int, path: str, flags: int) -> int:
    """A file descriptor of ``path``, which lies beneath ``folder`` and is reached through no link.

    Raises:
        OSError: there is no such file, or the way to it leads through a link or out of the folder.
    """
    how = _How(flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0, BENEATH)
    name = os.fsencode(path)
    made = _libc.syscall(OPENAT2, folder, ctypes.c_char_p(name), ctypes.byref(how), ctypes.sizeof(how))
    if made >= 0:
        return int(made)
    number = ctypes.get_errno()
    if number != errno.ENOSYS:
        raise OSError(number, os.strerror(number), path)
    return _step_by_step(folder, name, how.flags)


def _step_by_step(folder: int, name: bytes, flags: int) -> int:
    """The same where the kernel, as gVisor's, has no call for it.

    Raises:
        OSError: as there.
    """
    *way, last = name.split(b"/")
    if len(name) >= MOST_PATH or b".." in (*way, last):
        raise OSError(
            errno.ENAMETOOLONG if len(name) >= MOST_PATH else errno.EXDEV, "no way", os.fsdecode(name)
        )
    at, device = os.dup(folder), os.fstat(folder).st_dev
    try:
        for one in way:
            step = os.open(one, STEP, dir_fd=at)
            os.close(at)
            at = step
        found = os.open(last, flags, dir_fd=at)
    finally:
        os.close(at)
    if os.fstat(found).st_dev != device:
        os.close(found)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(name))
    return found


def look(folder: int, most: int) -> dict[str, tuple[int, ...]]:
    """Of everything in the folder but folders: kind, size, times and number, by path.

    Raises:
        TooMany: there are more than ``most``.
    """
    found: dict[str, tuple[int, ...]] = {}
    waiting, folders = [""], 0
    while waiting:
        within = waiting.pop()
        try:
            opened = open_beneath(folder, within or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # gone, closed to us, or too deep to be named
        try:
            with os.scandir(opened) as entries:
                for entry in entries:
                    path = f"{within}/{entry.name}" if within else entry.name
                    try:
                        seen = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISDIR(seen.st_mode):
                        waiting.append(path)
                        folders += 1
                    else:
                        kind = stat.S_IFMT(seen.st_mode)
                        found[path] = (kind, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino)
                    if len(found) + folders > most:
                        raise TooMany(f"more than {most} files")
        finally:
            os.close(opened)
    return found


def digest(folder: int, path: str, most: int) -> tuple[int, str]:
    """Size and SHA-256 of a regular file.

    Raises:
        OSError: it is none, it cannot be read, or it holds more than ``most`` bytes.
    """
    opened = open_beneath(folder, path, os.O_RDONLY)
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        sha, size = hashlib.sha256(), 0
        while piece := os.read(opened, CHUNK):
            sha.update(piece)
            size += len(piece)
            if size > most:
                raise OSError(errno.EFBIG, "too large", path)
        return size, sha.hexdigest()
    finally:
        os.close(opened)


def changes(
    folder: int,
    before: dict[str, tuple[int, ...]],
    after: dict[str, tuple[int, ...]],
    most: int,
    most_bytes: int,
) -> tuple[list[tuple[str, int, str]], list[str]]:
    """What is new, changed or gone, at most ``most`` (path, size, SHA-256), and what is wrong, in words.

    Of what is gone the digest is empty. Wrong is whatever is no regular file or cannot be read.
    """
    changed, wrong = [], []
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if len(names) > most:
        wrong.append(f"{len(names)} files changed, of which {most} are listed")
    for path in names[:most]:
        shown = path.encode("utf-8", "backslashreplace").decode()
        if len(shown) > MAX_PATH:
            wrong.append(f"{shown[:40]}…: a path of more than {MAX_PATH} characters")
        elif path not in after:
            changed.append((shown, 0, ""))
        elif after[path][0] != stat.S_IFREG:
            kind = KINDS.get(after[path][0], "something unknown")
            wrong.append(f"{shown} is {kind}; only regular files can be results")
        else:
            try:
                changed.append((shown, *digest(folder, path, most_bytes)))
            except OSError as error:
                wrong.append(f"{shown} cannot be read: {error.strerror}")
    return changed, wrong
