"""How often Python looks for cycles of dead objects, in a process that is a service."""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)


def collect_seldom() -> None:
    """To be called once, by the process's own entry point, when everything is imported.

    A service makes large trees of JSON values and hardly a cycle: at Python's own thresholds a quarter of
    its time went into searching trees that reference counts free anyway. Memory does not grow by it.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
