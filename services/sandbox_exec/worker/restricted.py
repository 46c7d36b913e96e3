"""Bounds that a process puts on itself and on all that come from it, for good."""

from __future__ import annotations

import ctypes
import os
import resource

from services.sandbox_exec.worker.pipes import Json

DUMPABLE = 4
NO_NEW_PRIVILEGES = 38
SECCOMP = 22
BY_FILTER = 2
LINE = 8

_libc = ctypes.CDLL(None, use_errno=True)


def restrict(setup: Json) -> None:
    """Bound this process and all that come from it, for good.

    Raises:
        OSError: the filter of system calls cannot be loaded.
    """
    bounds = [
        (resource.RLIMIT_AS, setup["memory_bytes"]),
        (resource.RLIMIT_NOFILE, setup["open_files"]),
        (resource.RLIMIT_FSIZE, setup["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ]
    if setup["own_user"]:  # these are counted by user, over all sandboxes of the same
        bounds += [(resource.RLIMIT_NPROC, setup["processes"]), (resource.RLIMIT_SIGPENDING, 128)]
    for which, wanted in bounds:
        most = int(wanted)  # type: ignore[call-overload]
        held = resource.getrlimit(which)[1]
        most = most if held == resource.RLIM_INFINITY else min(most, held)
        try:
            resource.setrlimit(which, (most, most))
        except ValueError:
            if which != resource.RLIMIT_MSGQUEUE:  # gVisor lacks it, and the filter refuses message queues
                raise
    dumpable(False)
    if setup["filter"]:
        load(bytes.fromhex(str(setup["filter"])))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def load(program: bytes) -> None:
    """Let the kernel refuse system calls by this filter.

    Raises:
        OSError: it does not take it.
    """
    made = _Program(len(program) // LINE, program)
    if _libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or _libc.prctl(
        SECCOMP, BY_FILTER, ctypes.byref(made), 0, 0
    ):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "seccomp")


def dumpable(yes: bool) -> None:
    """Whether other processes of this user may look into this one."""
    _libc.prctl(DUMPABLE, int(yes), 0, 0, 0)
