"""One bubblewrap sandbox: its command line, its start, and its certain end.

What is seen to here, each because it went wrong once: bubblewrap never runs as root; it is spawned with an
empty environment, since its first process's can be read inside; its arguments travel by a file descriptor,
since that process's command line can be read, too; the seccomp filter is a file descriptor of its own for
every start, since an offset is shared; it is never killed itself but its child, by a file descriptor that
cannot come to mean another process; a start that is given up is waited for until that child is known.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from services.sandbox_exec import seccomp, slots
from services.sandbox_exec.cgroups import Group
from services.sandbox_exec.jail import MAX_SAID, START_S, JailFailed, Seen
from services.sandbox_exec.limits import MIB, Limits
from services.sandbox_exec.view import LINKS, View

END_S: Final = 5.0
INSIDE: Final = 65534
"""User and group as the jail sees them: nobody."""


def arguments(view: View, limits: Limits, seccomp_fd: int, info_fd: int) -> list[str]:
    """What bubblewrap is told, but for the program."""
    temporary = str(max(limits.work_bytes // 4, MIB))
    made = [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        *("--clearenv", "--hostname", "sandbox", "--uid", str(INSIDE), "--gid", str(INSIDE)),
    ]
    for name, value in view.environment:
        made += ["--setenv", name, value]
    for here, there in view.binds:
        made += ["--ro-bind", here, there]
    for target, name in LINKS:
        made += ["--symlink", target, name]
    for folder in view.hidden:
        made += ["--tmpfs", folder, "--remount-ro", folder]
    made += ["--proc", "/proc", "--dev", "/dev"]
    made += ["--size", temporary, "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
    made += ["--size", temporary, "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    made += ["--size", str(limits.work_bytes), "--perms", "0755", "--tmpfs", "/work"]
    made += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work", "--cap-drop", "ALL"]
    return [*made, "--seccomp", str(seccomp_fd), "--info-fd", str(info_fd)]


def command(user: int | None, arguments_fd: int, program: Sequence[str]) -> list[str]:
    """The whole command line; with ``user``, that one is become first, for good."""
    bwrap, setpriv = shutil.which("bwrap") or "bwrap", shutil.which("setpriv") or "setpriv"
    dropped = []
    if user is not None:
        dropped = [setpriv, "--reuid", str(user), "--regid", str(user), "--clear-groups"]
        dropped += ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"]
    elif os.geteuid() == 0:
        raise JailFailed("bubblewrap is never run as root")
    return [*dropped, bwrap, "--args", str(arguments_fd), "--", *program]


@dataclass(slots=True)
class BwrapJail:
    """A sandbox that runs ``program``, whose input and output are pipes."""

    native: ClassVar[bool] = True

    user: int | None
    process: asyncio.subprocess.Process
    first: int
    """The sandbox's first process, as this side knows it."""
    handle: int
    """A file descriptor that stands for it."""
    group: Group | None = None
    at_end: Callable[[], None] | None = None
    """Called when nothing of it is left."""
    ended: bool = field(default=False)

    @classmethod
    async def start(
        cls, view: View, limits: Limits, program: Sequence[str], *, user: int | None, group: Group | None
    ) -> BwrapJail:
        """Start ``program``; as root, ``user`` says who is to be become. Called on the main thread.

        Raises:
            JailFailed: it did not start; the text says what bubblewrap said.
        """
        with contextlib.ExitStack() as stack:
            info_r, info_w = os.pipe()
            stack.callback(os.close, info_r)
            closed_early = contextlib.ExitStack()
            closed_early.callback(os.close, info_w)
            stack.push(closed_early)
            filter_fd = holding("filter", seccomp.program(), closed_early)
            words = arguments(view, limits, filter_fd, info_w)
            words_fd = holding("words", packed(words), closed_early)
            spawned = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *command(user, words_fd, program),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    pass_fds=(filter_fd, info_w, words_fd),
                    env={},
                    cwd="/",
                    limit=1 << 18,
                )
            )
            opening = asyncio.ensure_future(cls._known(spawned, info_r, closed_early, user))
            try:
                jail = await asyncio.shield(opening)
            except asyncio.CancelledError:
                jail = await opening
                jail.group = group
                await jail.end()
                raise
            jail.group = group
            return jail

    @classmethod
    async def _known(
        cls,
        spawned: asyncio.Future[asyncio.subprocess.Process],
        info: int,
        given: contextlib.ExitStack,
        user: int | None,
    ) -> BwrapJail:
        """Wait until bubblewrap has said which process is the sandbox's first: before, nothing of it runs."""
        try:
            process = await spawned
        except OSError as error:
            raise JailFailed(f"bubblewrap cannot be started: {error}") from None
        finally:
            given.close()
        try:
            said = await asyncio.wait_for(_read(info), START_S)
            first = int(json.loads(said)["child-pid"])
            handle = os.pidfd_open(first)
        except (TimeoutError, ValueError, KeyError, OSError):
            words = await _last_words(process)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            if user is not None:
                slots.reap(range(user, user + 1))
            raise JailFailed(f"bubblewrap did not start a sandbox: {words or 'it said nothing'}") from None
        return cls(user, process, first, handle)

    def send(self, data: bytes) -> None:
        """Write to its standard input."""
        pipe = self.process.stdin
        assert pipe is not None, "it was started with pipes"
        pipe.write(data)

    async def receive(self, count: int) -> bytes:
        """So many bytes of its standard output.

        Raises:
            EOFError: it ends before.
        """
        pipe = self.process.stdout
        assert pipe is not None, "it was started with pipes"
        return await pipe.readexactly(count)

    def alive(self) -> bool:
        """Whether bubblewrap runs."""
        return self.process.returncode is None

    async def seen(self) -> Seen:
        """What its group has counted."""
        group = self.group
        return Seen() if group is None else Seen(group.killed(), group.refused(), group.peak())

    def enclose(self) -> None:
        """Put all that runs in it into its group. Before any code of a call: what it starts later is in, too.

        Raises:
            OSError: a process is gone.
        """
        if self.group is not None:
            for one in (self.first, *_children(self.first)):
                self.group.add(one)

    async def end(self) -> None:
        """Kill everything in it, and return when nothing of it is left. May be called twice."""
        if self.ended:
            return
        self.ended = True
        ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            await ending
            raise

    async def _end(self) -> None:
        self.kill()
        if self.process.stdin is not None:
            self.process.stdin.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                with contextlib.suppress(Exception):
                    pipe._transport.close()  # type: ignore[attr-defined] # noqa: SLF001
        try:
            await asyncio.wait_for(self.process.wait(), END_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        loop, until = asyncio.get_running_loop(), asyncio.get_running_loop().time() + END_S
        while not _over(self.handle) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        os.close(self.handle)
        if self.group is not None:
            self.group.remove()
        if self.at_end is not None:
            self.at_end()

    def kill(self) -> None:
        """Kill the sandbox's first process, and with it, by the kernel, all others. Waits for nothing."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    async def last_words(self) -> str:
        """What it said on its standard error."""
        return await _last_words(self.process)


def packed(words: Sequence[str]) -> bytes:
    """Arguments as bubblewrap reads them from a file descriptor."""
    return b"".join(os.fsencode(one) + b"\0" for one in words)


def holding(name: str, data: bytes, stack: contextlib.ExitStack) -> int:
    """A file descriptor from which ``data`` is read."""
    made = os.memfd_create(name)
    stack.callback(os.close, made)
    os.write(made, data)
    os.lseek(made, 0, os.SEEK_SET)
    return made


async def _read(source: int) -> bytes:
    """All that a pipe holds until it ends, or a whole JSON object if that comes first."""
    loop = asyncio.get_running_loop()
    os.set_blocking(source, False)
    said = b""
    while True:
        arrived: asyncio.Future[None] = loop.create_future()
        loop.add_reader(source, lambda future=arrived: future.done() or future.set_result(None))  # type: ignore[misc]
        try:
            await arrived
        finally:
            loop.remove_reader(source)
        piece = os.read(source, 4096)
        said += piece
        if not piece or said.rstrip().endswith(b"}"):
            return said


def _children(process: int) -> list[int]:
    with (
        contextlib.suppress(OSError),
        open(f"/proc/{process}/task/{process}/children", encoding="ascii") as told,
    ):
        return [int(one) for one in told.read().split()]
    return []


def _over(handle: int) -> bool:
    """Whether the process has died, be it reaped or not; a sandbox's first is the last of it to do so."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


async def _last_words(process: Any) -> str:
    with contextlib.suppress(TimeoutError, OSError):
        said: bytes = await asyncio.wait_for(process.stderr.read(MAX_SAID), 1.0)
        return said.decode("utf-8", "replace").strip()[:500]
    return ""
