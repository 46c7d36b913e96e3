"""Frames and streams between the worker's processes, and to the service."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct

Json = dict[str, object]


def receive(source: int) -> Json | None:
    """The next frame; None at the end."""
    head = exactly(source, 4)
    if head is None:
        return None
    body = exactly(source, struct.unpack(">I", head)[0])
    return None if body is None else json.loads(body)


def exactly(source: int, count: int) -> bytes | None:
    """So many bytes; None where the pipe ends before."""
    parts = []
    while count:
        part = os.read(source, min(count, 1 << 16))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def send(target: int, frame: Json) -> None:
    """Write one frame."""
    body = json.dumps(frame).encode()
    data = memoryview(struct.pack(">I", len(body)) + body)
    while data:
        data = data[os.write(target, data) :]


class Hidden:
    """A file descriptor that is in no table but while it is used.

    It lies in a socket between, which nobody can open by its name in /proc: there gVisor shows the tables of
    processes to all of the same user.
    """

    def __init__(self, number: int) -> None:
        self._there, self._here = socket.socketpair()
        self._put(number)

    def _put(self, number: int) -> None:
        socket.send_fds(self._there, [b"-"], [number])
        os.close(number)

    def send(self, frame: Json) -> None:
        """Write one frame to it."""
        number = socket.recv_fds(self._here, 1, 1)[1][0]
        try:
            send(number, frame)
        finally:
            self._put(number)

    @property
    def numbers(self) -> tuple[int, int]:
        """The socket's ends, which a child has to close."""
        return self._there.fileno(), self._here.fileno()


class Output:
    """One stream of a call: the first bytes are kept, all are counted."""

    def __init__(self, source: int, kept: int) -> None:
        self.source = source
        self.kept = bytearray()
        self.size = 0
        self.open = True
        self._most = kept
        os.set_blocking(source, False)

    def read(self) -> bool:
        """Take what is there now; False where there is nothing."""
        try:
            piece = os.read(self.source, 1 << 16)
        except BlockingIOError:
            return False
        if not piece:
            self.open = False
            return False
        self.size += len(piece)
        if len(self.kept) < self._most:
            self.kept += piece[: self._most - len(self.kept)]
        return True

    def drain(self, most: int) -> None:
        """Take all that is there, unless it is more than ``most``."""
        while self.size <= most and self.read():
            pass

    @property
    def cut(self) -> bool:
        """Whether more was written than is kept."""
        return self.size > len(self.kept)

    @property
    def text(self) -> str:
        """What was kept; a character that was cut in half is left out."""
        text = bytes(self.kept).decode("utf-8", "replace")
        return text.removesuffix("\N{REPLACEMENT CHARACTER}") if self.cut else text


def discard(source: int) -> None:
    """Empty a pipe of what is there now, but no more than a pipe can hold."""
    os.set_blocking(source, False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(32):
            if not os.read(source, 1 << 16):
                return
