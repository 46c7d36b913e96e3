"""The process that keeps the variables, and how it runs a piece of code."""

from __future__ import annotations

import ast
import contextlib
import errno
import json
import linecache
import os
import signal
import sys
import traceback
import types

from services.sandbox_exec.worker.pipes import Json, receive
from services.sandbox_exec.worker.restricted import dumpable


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
