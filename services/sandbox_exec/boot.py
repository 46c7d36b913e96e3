"""How the worker comes into a jail: a bootstrap on the command line, and its modules by the pipe."""

from __future__ import annotations

import marshal
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Final

FOLDER: Final = Path(__file__).parent / "worker"
SENT: Final = ("files", "pipes", "processes", "restricted", "interpreter", "watch", "supervisor")
"""Modules that are sent into the jail, each before those that import it; the last has the ``main``."""
BOOT: Final = """
import marshal, os, struct, sys, types
def exactly(count):
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            sys.exit()
        data += part
    return data
package = "services"
for one in ("", ".sandbox_exec", ".worker"):
    package += one
    sys.modules[package] = types.ModuleType(package)
for name, code in marshal.loads(exactly(struct.unpack(">I", exactly(4))[0])):
    module = sys.modules[package + "." + name] = types.ModuleType(name)
    setattr(sys.modules[package], name, module)
    exec(code, module.__dict__)
module.main()
"""


@cache
def worker(*, compiled: bool) -> bytes:
    """What the bootstrap waits for; compiled only where the jail's Python is the one that runs here."""
    modules: list[tuple[str, CodeType | str]] = []
    for name in SENT:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        modules.append((name, compile(text, f"<{name}>", "exec") if compiled else text))
    return sent(modules)


def sent(modules: Sequence[tuple[str, CodeType | str]]) -> bytes:
    """Named modules as the bootstrap takes them; it calls the last one's ``main``."""
    code = marshal.dumps(list(modules), 4)  # a version that every Python reads
    return struct.pack(">I", len(code)) + code
