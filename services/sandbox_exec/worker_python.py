"""What runs inside the jail: a supervisor, and the interpreter that it keeps.

The supervisor is started before any code of a call, alone speaks with the service (a length of four bytes
and a JSON object, each way), and is closed to the code's processes: they have none of its file descriptors
and cannot look into it. So what it reports cannot be forged by code, not by that of an earlier call either,
and outcomes, times and sizes are its own measurements. The interpreter is its child and keeps its variables
from call to call; between calls it is stopped, and whatever else a call has left running is killed.

Nothing of the project is imported but ``files``, which is sent along.
"""

from __future__ import annotations

import ast
import contextlib
import ctypes
import errno
import json
import linecache
import os
import resource
import select
import signal
import struct
import sys
import time
import traceback
import types

from services.sandbox_exec import files

TICK_S = 0.02
SWEEP_S = 1.0
DUMPABLE = 4
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
FOLDERS = ("/work", "/tmp", "/dev/shm")  # noqa: S108  (in the jail)
SHELL = "/bin/bash"

Json = dict[str, object]


def main() -> None:
    """Serve calls until the service closes the pipe."""
    orders, reports = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    keep = {orders, reports}
    for number in range(3, 256):
        if number not in keep:
            with contextlib.suppress(OSError):
                os.close(number)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as adjust:
        adjust.write("1000")
    limits = receive(orders)
    if limits is None:
        return
    restrict(limits)
    supervisor = Supervisor(orders, reports, limits)
    send(reports, {"ready": os.getpid()})
    while (order := receive(orders)) is not None:
        send(reports, supervisor.call(order))


def restrict(limits: Json) -> None:
    """Bound this process and all that come from it, for good."""
    memory = int(limits["memory_bytes"])  # type: ignore[call-overload]
    bounds = (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NPROC, int(limits["processes"])),  # type: ignore[call-overload]
        (resource.RLIMIT_NOFILE, int(limits["open_files"])),  # type: ignore[call-overload]
        (resource.RLIMIT_FSIZE, int(limits["file_bytes"])),  # type: ignore[call-overload]
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_SIGPENDING, 128),
    )
    for which, most in bounds:
        resource.setrlimit(which, (most, most))
    dumpable(False)


def dumpable(yes: bool) -> None:
    """Whether other processes of this user may look into this one."""
    ctypes.CDLL(None).prctl(DUMPABLE, int(yes), 0, 0, 0)


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


class Interpreter:
    """The process that keeps the variables."""

    def __init__(self, closed: tuple[int, ...]) -> None:
        order_r, self.orders = os.pipe()
        self.done, done_w = os.pipe()
        self.out, out_w = os.pipe()
        self.err, err_w = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for number in (*closed, self.orders, self.done, self.out, self.err):
                    os.close(number)
                os.dup2(out_w, 1)
                os.dup2(err_w, 2)
                os.close(out_w)
                os.close(err_w)
                interpret(order_r, done_w)
            finally:
                os._exit(70)
        for number in (order_r, done_w, out_w, err_w):
            os.close(number)


class Supervisor:
    """Runs calls one after another, and measures them."""

    def __init__(self, orders: int, reports: int, limits: Json) -> None:
        self.limits: dict[str, float] = {k: v for k, v in limits.items() if isinstance(v, int | float)}
        self.pid = os.getpid()
        self.work = os.open("/work", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.woken, wake = os.pipe()
        for number in (self.woken, wake):
            os.set_blocking(number, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self.own = (orders, reports, self.work, self.woken, wake)
        self.interpreter: Interpreter | None = None
        self.seen: dict[str, tuple[int, ...]] = {}
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.calls = 0

    def call(self, order: Json) -> Json:
        """Run one call, and say what it did."""
        self.calls += 1
        began, cpu_before = time.monotonic(), self._cpu()
        watch = Watch(self, began, cpu_before)
        run = self._python if order["language"] == "python" else self._bash
        exit_code, breach, reason, out, err = run(str(order["code"]), watch)
        if self.interpreter is not None:
            os.kill(self.interpreter.pid, signal.SIGSTOP)
        if not self._sweep() and not breach:
            breach, reason = "process_limit", "processes that the call left running could not be ended"
        most = int(self.limits["output_bytes"])
        for stream in (out, err):
            stream.drain(most)
        if not breach and out.size + err.size > most:
            breach, reason = "output_limit", f"more than {most} bytes of output"
        changed: list[tuple[str, int, str]] = []
        wrong: list[str] = []
        if not breach:
            breach, why = self._full(exit_code)
            reason = reason or why
        if not breach:
            try:
                after = files.look(self.work, int(self.limits["files"]))
                changed, wrong = files.changes(
                    self.work,
                    self.seen,
                    after,
                    int(self.limits["listed_files"]),
                    int(self.limits["file_bytes"]),
                )
                self.seen = after
            except files.TooMany as error:
                breach, reason = "disk_limit", f"the work folder holds {error}"
        cpu_s, wall_s = max(0.0, self._cpu() - cpu_before), time.monotonic() - began
        kept = self.interpreter
        for stream in (out, err):
            if kept is None or stream.source not in (kept.out, kept.err):
                os.close(stream.source)
        self.cpu_s += cpu_s
        self.wall_s += wall_s
        return {
            "call": order["call"],
            "outcome": breach or ("ok" if exit_code == 0 and not wrong else "error"),
            "exit_code": exit_code,
            "reason": "; ".join(filter(None, (reason, *wrong)))[:2000],
            "stdout": out.text,
            "stderr": err.text,
            "stdout_bytes": out.size,
            "stderr_bytes": err.size,
            "stdout_truncated": out.cut,
            "stderr_truncated": err.cut,
            "files": changed,
            "cpu_s": cpu_s,
            "wall_s": wall_s,
            "peak_bytes": watch.peak(),
        }

    def _python(self, code: str, watch: Watch) -> tuple[int | None, str, str, Output, Output]:
        if self.interpreter is None:
            self.interpreter = Interpreter(self.own)
        found = self.interpreter
        kept = int(self.limits["kept_bytes"])
        for number in (found.done, found.out, found.err):
            discard(number)
        out, err = Output(found.out, kept), Output(found.err, kept)
        token = os.urandom(16).hex()
        os.kill(found.pid, signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            send(found.orders, {"token": token, "code": code, "number": self.calls})
        said = b""
        while True:
            breach, reason, ready = watch.tick((out, err), found.done)
            if breach:
                return None, breach, reason, out, err
            if ready:
                said += os.read(found.done, 4096)
            for line in said.split(b"\n")[:-1]:
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    answer = json.loads(line)
                    if answer["token"] == token:
                        return int(answer["exit"]), *blamed(answer), out, err
            said = said[-4096:]
            dead, status = os.waitpid(found.pid, os.WNOHANG)
            if dead:
                exit_code = os.waitstatus_to_exitcode(status)
                self.interpreter = None
                self._sweep()
                for stream in (out, err):
                    stream.drain(int(self.limits["output_bytes"]))
                for number in (found.orders, found.done):
                    os.close(number)
                breach, reason = signalled(exit_code)
                reason = reason or "the interpreter ended; its variables are gone"
                return code_of(exit_code), breach, reason, out, err

    def _bash(self, code: str, watch: Watch) -> tuple[int | None, str, str, Output, Output]:
        out_r, out_w = os.pipe()
        err_r, err_w = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                dumpable(True)
                os.setsid()
                os.dup2(out_w, 1)
                os.dup2(err_w, 2)
                os.closerange(3, 256)
                for one in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
                    signal.signal(one, signal.SIG_DFL)
                os.chdir("/work")
                os.execv(SHELL, ["bash", "--noprofile", "--norc", "-c", code])  # noqa: S606
            finally:
                os._exit(127)
        os.close(out_w)
        os.close(err_w)
        kept = int(self.limits["kept_bytes"])
        out, err = Output(out_r, kept), Output(err_r, kept)
        while True:
            breach, reason, _ = watch.tick((out, err), None)
            if breach:
                return None, breach, reason, out, err
            dead, status = os.waitpid(child, os.WNOHANG)
            if dead:
                exit_code = os.waitstatus_to_exitcode(status)
                breach, reason = signalled(exit_code)
                return code_of(exit_code), breach, reason, out, err

    def _full(self, exit_code: int | None) -> tuple[str, str]:
        """Whether the call failed because there was no room left."""
        for folder in FOLDERS:
            room = os.statvfs(folder)
            if crowded(room, self.limits["files"]):
                return "disk_limit", f"{folder} holds more than {int(self.limits['files'])} files"
            if exit_code and not room.f_bavail:
                return "disk_limit", f"{folder} is full"
        return "", ""

    def others(self) -> list[int]:
        """Living processes in the jail but its first, this one and the interpreter."""
        known = {1, self.pid, self.interpreter.pid if self.interpreter else 0}
        found = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in known]
        return [one for one in found if stat_of(str(one))[:1] not in (["Z"], ["X"], [])]

    def _sweep(self) -> bool:
        """Kill what a call has left running; whether nothing is left."""
        until = time.monotonic() + SWEEP_S
        while left := self.others():
            for one in left:
                with contextlib.suppress(OSError):
                    os.kill(one, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0] not in (0, self.interpreter and self.interpreter.pid):
                    pass
            if time.monotonic() > until:
                return False
        return True

    def _cpu(self) -> float:
        """Seconds of processor time of everything in the jail so far."""
        used = 0.0
        for name in os.listdir("/proc"):
            if name.isdigit() and (fields := stat_of(name)):
                used += cpu_of(name, fields)
        return used


class Watch:
    """Looks at a call while it runs."""

    def __init__(self, supervisor: Supervisor, began: float, cpu_before: float) -> None:
        self._supervisor = supervisor
        self._limits = supervisor.limits
        self._until = began + min(self._limits["wall_s"], self._limits["session_wall_s"] - supervisor.wall_s)
        self._cpu = cpu_before + min(self._limits["cpu_s"], self._limits["session_cpu_s"] - supervisor.cpu_s)
        self._next = began + TICK_S
        self._peak = 0

    def tick(self, streams: tuple[Output, ...], done: int | None) -> tuple[str, str, bool]:
        """Wait for output or an end; what limit is broken, in words, and whether ``done`` has something."""
        poll = select.poll()
        for stream in streams:
            if stream.open:
                poll.register(stream.source, select.POLLIN)
        poll.register(self._supervisor.woken, select.POLLIN)
        if done is not None:
            poll.register(done, select.POLLIN)
        wait_s = max(0.0, self._next - time.monotonic())
        ready = {number for number, _ in poll.poll(wait_s * 1000)}
        discard(self._supervisor.woken)
        for stream in streams:
            if stream.source in ready:
                stream.read()
        if sum(stream.size for stream in streams) > self._limits["output_bytes"]:
            return "output_limit", f"more than {int(self._limits['output_bytes'])} bytes of output", False
        now = time.monotonic()
        if now >= self._next:
            self._next = now + TICK_S
            breach, reason = self._look(now)
            if breach:
                return breach, reason, False
        return "", "", done in ready

    def _look(self, now: float) -> tuple[str, str]:
        limits = self._limits
        if now > self._until:
            return "timeout", f"more than {limits['wall_s']:g} s, or all that the session may take"
        cpu = tasks = resident = 0.0
        for name in os.listdir("/proc"):
            if not name.isdigit() or not (fields := stat_of(name)):
                continue
            cpu += cpu_of(name, fields)
            if name not in ("1", str(self._supervisor.pid)):
                tasks += int(fields[17])
                resident += int(fields[21]) * PAGE
        self._peak = max(self._peak, int(resident))
        if cpu > self._cpu:
            return (
                "cpu_limit",
                f"more than {limits['cpu_s']:g} s of processor time, or all the session has",
            )
        if tasks >= limits["processes"] - 3:
            return "process_limit", f"more processes and threads than {int(limits['processes'])}"
        if resident > limits["memory_bytes"] and self._shared() > limits["memory_bytes"]:
            return "memory_limit", f"more than {int(limits['memory_bytes'])} bytes of memory"
        for folder in FOLDERS:
            if crowded(os.statvfs(folder), limits["files"]):
                return "disk_limit", f"{folder} holds more than {int(limits['files'])} files"
        return "", ""

    def _shared(self) -> int:
        """What all processes take, of what they share each its part."""
        total = 0
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/smaps_rollup") as rollup:
                    total += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
        return total

    def peak(self) -> int:
        """The most that was seen resident, in bytes; the interpreter's own mark where it is higher."""
        found = self._supervisor.interpreter
        with contextlib.suppress(OSError, ValueError):
            if found is not None:
                with open(f"/proc/{found.pid}/status") as status:
                    for line in status:
                        if line.startswith("VmHWM:"):
                            self._peak = max(self._peak, int(line.split()[1]) * 1024)
        return self._peak


def stat_of(name: str) -> list[str]:
    """The fields of a process's stat after its name, the state first; none where it is gone."""
    try:
        with open(f"/proc/{name}/stat") as source:
            return source.read().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_of(name: str, fields: list[str]) -> float:
    """Seconds of processor time by a process's stat, with its ended children's; of the first only theirs."""
    return sum(map(int, fields[13 if name == "1" else 11 : 15])) / TICKS


def crowded(room: os.statvfs_result, most: float) -> bool:
    """Whether a file system holds more than ``most`` files beside its root."""
    return room.f_files - room.f_ffree > most + 1


def discard(source: int) -> None:
    """Empty a pipe of what is there now, but no more than a pipe can hold."""
    os.set_blocking(source, False)
    with contextlib.suppress(BlockingIOError):
        for _ in range(32):
            if not os.read(source, 1 << 16):
                return


def code_of(exit_code: int) -> int:
    """As a shell says it."""
    return exit_code if exit_code >= 0 else 128 - exit_code


def signalled(exit_code: int) -> tuple[str, str]:
    """The limit that a process's end speaks of."""
    number = -exit_code if exit_code < 0 else exit_code - 128
    if number == signal.SIGXFSZ:
        return "disk_limit", "a file grew beyond what it may"
    if number == signal.SIGXCPU:
        return "cpu_limit", "the processor time is used up"
    return "", ""


def blamed(answer: Json) -> tuple[str, str]:
    """The limit that the code's last exception speaks of."""
    kind, number = answer.get("kind"), answer.get("errno")
    if kind == "MemoryError":
        return "memory_limit", "the call wanted more memory than it may have"
    if number in (errno.ENOSPC, errno.EFBIG):
        return "disk_limit", "there is no room left, or a file grew beyond what it may"
    if number == errno.EAGAIN or kind == "NoThread":
        return "process_limit", "the call wanted more processes or threads than it may have"
    return "", ""


def interpret(orders: int, done: int) -> None:
    """Run what is sent, in one namespace, until the pipe ends."""
    dumpable(True)
    os.setsid()
    os.chdir("/work")
    signal.set_wakeup_fd(-1)
    for one in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(one, signal.SIG_DFL)
    sys.stdin = open("/dev/null", encoding="utf-8")  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    sys.argv = [""]
    sys.path.insert(0, "/work")
    for name in [name for name in sys.modules if name.split(".")[0] == "services"]:
        del sys.modules[name]
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    while (order := receive(orders)) is not None:
        exit_code, kind, number = evaluate(str(order["code"]), f"<call {order['number']}>", module.__dict__)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        answer = {"token": order["token"], "exit": exit_code, "kind": kind, "errno": number}
        os.write(done, b"\n" + json.dumps(answer).encode() + b"\n")


def evaluate(code: str, name: str, namespace: dict[str, object]) -> tuple[int, str, int | None]:
    """Run one piece of code; like a notebook, show the value of a last line that is an expression.

    Returns the exit code, and of an exception that got out its type and number.
    """
    try:
        linecache.cache[name] = (len(code), None, [line + "\n" for line in code.splitlines()], name)
        tree = ast.parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), namespace)  # noqa: S102  (this is what it is for)
        if last is not None:
            exec(compile(ast.Interactive([last]), name, "single"), namespace)  # noqa: S102
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF, "", None
        with contextlib.suppress(Exception):
            print(end.code, file=sys.stderr)  # noqa: T201
        return 1, "", None
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is the code's own)
        with contextlib.suppress(BaseException):
            trace = error.__traceback__.tb_next if error.__traceback__ else None
            traceback.print_exception(type(error), error, trace)
        thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
        number = error.errno if isinstance(error, OSError) else None
        return 1, "NoThread" if thread else type(error).__name__, number
    return 0, "", None
