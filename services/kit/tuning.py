"""How Python is set for a process that is a service, or all of them; called by its own entry point."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Final

THRESHOLDS: Final = (50_000, 20, 100)
SWITCH_S: Final = 0.0005


def tune() -> None:
    """To be called once, when everything is imported.

    Collection: a service makes large trees of JSON values and hardly a cycle; at Python's own thresholds a
    quarter of its time went into searching trees that reference counts free anyway. Memory does not grow.

    Switching: while a thread beside the event loop computes (a plan's dry run), the loop gets its turn after
    this time, not after Python's 5 ms, each time that it comes back from waiting.
    """
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    sys.setswitchinterval(SWITCH_S)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """An event loop: uvloop's where that is installed (FastStream takes it too), else Python's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
