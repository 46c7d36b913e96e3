"""What runs inside the jail: a supervisor, and the interpreter that it keeps.

The supervisor is started before any code of a call, alone speaks with the service (a length of four bytes
and a JSON object, each way), and is closed to the code's processes: they have none of its file descriptors
and cannot look into it. So what it reports cannot be forged by code, not by that of an earlier call either,
and outcomes, times and sizes are its own measurements. The interpreter is its child and keeps its variables
from call to call; between calls it is stopped, and whatever else a call has left running is killed.

Nothing of the project is imported but what lies in this folder, which is sent along.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

from services.sandbox_exec.worker import files
from services.sandbox_exec.worker.interpreter import Interpreter, blamed
from services.sandbox_exec.worker.pipes import Hidden, Json, Output, discard, receive, send
from services.sandbox_exec.worker.processes import cpu_of, kernel_counts, stat_of
from services.sandbox_exec.worker.restricted import dumpable, restrict
from services.sandbox_exec.worker.watch import FOLDERS, Watch, crowded

SWEEP_S = 1.0
SHELL = "/bin/bash"


def main() -> None:
    """Serve calls until the service closes the pipe."""
    orders, reports = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    keep = {orders, reports, null}
    for number in range(3, 256):
        if number not in keep:
            with contextlib.suppress(OSError):
                os.close(number)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as adjust:
        adjust.write("1000")
    setup = receive(orders)
    if setup is None:
        return
    restrict(setup)
    hidden = Hidden(reports)
    supervisor = Supervisor(orders, hidden, setup)
    os.dup2(null, 2)  # until here it may say why it does not start
    os.close(null)
    hidden.send({"ready": os.getpid()})
    while (order := receive(orders)) is not None:
        hidden.send(supervisor.call(order))


class Supervisor:
    """Runs calls one after another, and measures them."""

    def __init__(self, orders: int, reports: Hidden, limits: Json) -> None:
        self.limits: dict[str, float] = {k: v for k, v in limits.items() if isinstance(v, int | float)}
        self.pid = os.getpid()
        self.work = os.open("/work", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.woken, wake = os.pipe()
        for number in (self.woken, wake):
            os.set_blocking(number, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self.own: tuple[int, ...] = (orders, *reports.numbers, self.work, self.woken, wake)
        self.interpreter: Interpreter | None = None
        self.seen: dict[str, tuple[int, ...]] = {}
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.calls = 0

    def call(self, order: Json) -> Json:
        """Run one call, and say what it did."""
        self.calls += 1
        began, cpu_before, counts = time.monotonic(), self._cpu(), kernel_counts()
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
        if not breach:
            breach, reason = self._counted(counts) or (breach, reason)
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
            if crowded(folder, self.limits["files"]):
                return "disk_limit", f"{folder} holds more than {int(self.limits['files'])} files"
            if exit_code and not os.statvfs(folder).f_bavail:
                return "disk_limit", f"{folder} is full"
        return "", ""

    def _counted(self, before: tuple[int, ...]) -> tuple[str, str] | None:
        """What the kernel has enforced since ``before``."""
        killed, refused = (now - then for now, then in zip(kernel_counts(), before, strict=True))
        if killed:
            return "memory_limit", "the session used up its memory"
        if refused:
            return "process_limit", f"more processes and threads than {int(self.limits['processes'])}"
        return None

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
