"""Which backend this machine can have. Never a weaker one in silence: what is missing is said."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from services.sandbox_exec import seccomp
from services.sandbox_exec.backend import Backend, RefusingBackend
from services.sandbox_exec.bubblewrap import Bubblewrap
from services.sandbox_exec.bwrap_jail import arguments, command, holding, packed
from services.sandbox_exec.cgroups import Groups
from services.sandbox_exec.jail import Jailer, JailFailed
from services.sandbox_exec.keeper import Keeper
from services.sandbox_exec.limits import MAX_REASON, Limits
from services.sandbox_exec.locks import AllHeld
from services.sandbox_exec.settings import SandboxSettings, load
from services.sandbox_exec.slots import Slots
from services.sandbox_exec.view import View, view

PROBE_S: Final = 30.0
VERSION: Final = (0, 8)
"""The first bubblewrap that can forbid user namespaces inside."""


def choose(limits: Limits | None = None) -> Backend:
    """The backend that ``TDS_SANDBOX`` names, tried out once; else one that refuses and says what to do.

    Where it names none: bubblewrap, and where that does not work Docker with gVisor. Plain runc is weaker
    than both, and is had by its name alone.
    """
    try:
        settings = load()
    except ValueError as error:
        return RefusingBackend(f"code is not run: {error}")
    limits = limits or settings.limits
    tries: dict[str, Callable[[], Jailer]] = {
        "bubblewrap": lambda: bubblewrap(limits),
        "docker-gvisor": lambda: docker("docker-gvisor", settings, limits),
        "docker-runc": lambda: docker("docker-runc", settings, limits),
    }
    wanted = {"auto": ("bubblewrap", "docker-gvisor"), "none": ()}.get(settings.sandbox, (settings.sandbox,))
    missing = [] if wanted else ["TDS_SANDBOX=none"]
    for one in wanted:
        try:
            return Keeper(tries[one](), limits)
        except JailFailed as error:
            missing.append(str(error))
    return RefusingBackend(f"code is not run: {'; '.join(missing)}"[:MAX_REASON])


def docker(tier: str, settings: SandboxSettings, limits: Limits) -> Jailer:
    """Containers of this tier, by the sidecar where one is named.

    Raises:
        JailFailed: they cannot be had; the text says why.
    """
    if importlib.util.find_spec("docker") is None:
        raise JailFailed(f"{tier}: the package docker is missing: pip install 'tdscaling[sandbox]'")
    from services.sandbox_exec.container_jail import Containers, Sidecar
    from services.sandbox_exec.engine import Engine

    if settings.sandbox_sidecar:
        return Sidecar(settings.sandbox_sidecar, tier)
    return Containers(Engine(tier, settings.sandbox_image, limits))


def bubblewrap(limits: Limits) -> Jailer:
    """Bubblewrap's jails.

    Raises:
        JailFailed: they cannot be had; the text says why.
    """
    missing = absent()
    if missing:
        raise JailFailed(missing)
    slots: Slots | None = None
    try:
        seen = view()
        groups = Groups.here()
        if os.geteuid() == 0:
            slots = Slots(None if groups is None else groups.reap)
        said = probe(seen, limits, None if slots is None else slots.users[-1])
    except (OSError, AllHeld, subprocess.SubprocessError) as error:
        said = str(error)
    if said:
        if slots is not None:
            slots.close()
        raise JailFailed(f"bubblewrap does not work here: {said[:500]}")
    return Bubblewrap(seen, slots=slots, groups=groups, limits=limits)


def absent() -> str:
    """What this machine lacks for bubblewrap, in words; nothing where it has all."""
    if sys.platform != "linux":
        return f"bubblewrap needs Linux, and this is {sys.platform}; run sandbox-exec on Linux"
    if not seccomp.supported():
        return "there is no system call filter for this machine's architecture"
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return "bubblewrap is missing; install it (Debian and Ubuntu: apt install bubblewrap)"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "as root, setpriv is needed to run bubblewrap as nobody; install util-linux"
    told = subprocess.run(  # noqa: S603
        [bwrap, "--version"], capture_output=True, text=True, check=False, timeout=PROBE_S
    )
    words = told.stdout.split()
    with contextlib.suppress(ValueError, IndexError):
        if tuple(int(part) for part in words[-1].split(".")[:2]) >= VERSION:
            return ""
    return (
        f"bubblewrap 0.8 or newer is needed, and this says {told.stdout.strip()[:60]!r}; install a newer one"
    )


def probe(seen: View, limits: Limits, user: int | None) -> str:
    """Start a sandbox and its Python; what went wrong, in words.

    Raises:
        OSError: it cannot be tried.
        subprocess.SubprocessError: it takes too long.
    """
    with contextlib.ExitStack() as stack:
        filter_fd = holding("filter", seccomp.program(), stack)
        info_fd = holding("info", b"", stack)
        words_fd = holding("words", packed(arguments(seen, limits, filter_fd, info_fd)), stack)
        told = subprocess.run(  # noqa: S603
            command(user, words_fd, [seen.python, "-s", "-c", "import ctypes, hashlib; print('alive')"]),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PROBE_S,
            pass_fds=(filter_fd, words_fd, info_fd),
            env={},
            cwd="/",
        )
    return "" if told.stdout == "alive\n" else (told.stderr.strip() or f"exit code {told.returncode}")
