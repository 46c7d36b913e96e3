"""What code in the jail sees of this machine: the system's programs, this Python, and allowed packages.

All of it is read-only. Python is the service's own, and the packages are those of its environment that are
on the list, each by itself: nothing else of the environment is there, and nothing of this project. A
service that is root may stand in folders that an unprivileged user cannot enter; what the jail needs of
them is then linked or copied, once, to a folder that it can.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import stat
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ALLOWED: Final = ("numpy",)
"""Packages that code may import beside the standard library, where the service's environment has them."""
SYSTEM: Final = (
    "/usr/bin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/share/zoneinfo",
    "/etc/alternatives",
)
LINKS: Final = (("usr/bin", "/bin"), ("usr/lib", "/lib"), ("usr/lib64", "/lib64"))
SHELL: Final = "/bin/bash"
PYTHON: Final = "/opt/python"
PACKAGES: Final = "/opt/packages"
ENVIRONMENT: Final = (
    ("HOME", "/work"),
    ("TMPDIR", "/tmp"),  # noqa: S108  (in the jail)
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
    ("PYTHONHASHSEED", "0"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONSAFEPATH", "1"),
    ("PYTHONNOUSERSITE", "1"),
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
)
"""What code finds in its environment in every jail, beside the paths."""
CACHE: Final = Path("/var/cache/tds-sandbox")
LEFT_OUT: Final = shutil.ignore_patterns("site-packages", "dist-packages", "test", "tests", "idlelib", "*.a")


@dataclass(frozen=True, slots=True)
class View:
    """Folders and files that are bound into the jail, (here, there), and how Python is started there."""

    binds: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    """Folders of the jail that are covered by empty ones."""
    python: str
    environment: tuple[tuple[str, str], ...]
    packages: tuple[str, ...]
    """Name and version of each allowed package that is there."""


def view() -> View:
    """What the jail of this process sees.

    Raises:
        OSError: a part of it cannot be read, linked or copied.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    parts = [(Path(getattr(sys, "_base_executable", sys.executable)).resolve(), f"{PYTHON}/bin/{version}")]
    library = sysconfig.get_config_var("INSTSONAME")
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and library:
        shared = Path(str(sysconfig.get_config_var("LIBDIR")), str(library))
        if shared.is_file():
            parts.append((shared.resolve(), f"{PYTHON}/lib/{library}"))
    parts.append((stdlib, f"{PYTHON}/lib/{version}"))
    packages = []
    for name in ALLOWED:
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        packages.append(f"{name} {found.version}")
        tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
        parts += [(Path(str(found.locate_file(top))), f"{PACKAGES}/{top}") for top in sorted(tops)]
    if os.geteuid() == 0 and not all(_open_to_all(here) for here, _ in parts):
        parts = _brought(parts, (version, *packages))
    hidden = tuple(
        f"{there}/{name}"
        for here, there in parts
        for name in ("site-packages", "dist-packages")
        if there.endswith(f"/lib/{version}") and (here / name).is_dir()
    )
    system = [(one, one) for one in SYSTEM if Path(one).is_dir() and not Path(one).is_symlink()]
    return View(
        binds=(*system, *((str(here), there) for here, there in parts)),
        hidden=hidden,
        python=f"{PYTHON}/bin/{version}",
        environment=(
            ("PATH", f"{PYTHON}/bin:/usr/bin:/bin"),
            ("LD_LIBRARY_PATH", f"{PYTHON}/lib"),
            ("PYTHONHOME", PYTHON),
            ("PYTHONPATH", PACKAGES),
            *ENVIRONMENT,
        ),
        packages=tuple(packages),
    )


def _open_to_all(path: Path) -> bool:
    """Whether any user may come to it and read it."""
    with contextlib.suppress(OSError):
        way = all(one.stat().st_mode & stat.S_IXOTH for one in path.resolve().parents)
        return bool(way and path.stat().st_mode & stat.S_IROTH)
    return False


def _brought(parts: list[tuple[Path, str]], names: tuple[str, ...]) -> list[tuple[Path, str]]:
    """The same parts in a folder that all may read. Made once, and whole before it gets its name."""
    marks = [(str(here), there, here.stat().st_mtime_ns) for here, there in parts]
    digest = hashlib.sha256(json.dumps([marks, names]).encode()).hexdigest()[:16]
    folder = CACHE / digest
    if not folder.is_dir():
        CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="making-", dir=CACHE))
        try:
            for here, there in parts:
                target = made / there.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                if here.is_dir():
                    shutil.copytree(here, target, ignore=LEFT_OUT, copy_function=_linked)
                else:
                    _linked(str(here), str(target))
            for path in (made, *made.rglob("*")):
                if path.is_dir():
                    path.chmod(0o755)
            with contextlib.suppress(OSError):  # another process was quicker
                made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return [(folder / there.lstrip("/"), there) for _, there in parts]


def _linked(here: str, there: str) -> str:
    """A second name for a file that all may read, else a copy that they may."""
    if os.stat(here).st_mode & stat.S_IROTH:
        with contextlib.suppress(OSError):
            os.link(here, there)
            return there
    shutil.copyfile(here, there)
    os.chmod(there, 0o755 if os.stat(here).st_mode & stat.S_IXUSR else 0o644)
    return there
