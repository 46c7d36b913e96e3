"""Old messages lifted to today's: one small function per (type, version), from dict to dict.

An upcaster works on the raw JSON object, before any model sees it, and goes one version up; readers
chain them. Adding an optional field needs none; anything else does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Raw = dict[str, Any]


def run_started_1_to_2(raw: Raw) -> Raw:
    """v1 called the id of the BlueprintPlanned event ``blueprint``, which read like a blueprint."""
    raw["blueprint_event"] = raw.pop("blueprint")
    return raw


UPCASTERS: Final[Mapping[tuple[str, int], Callable[[Raw], Raw]]] = {
    ("tds.run.RunStarted", 1): run_started_1_to_2,
}


def upcast(name: str, version: int, target: int, raw: Raw) -> Raw:
    """``raw`` lifted from ``version`` to ``target``; ``name`` is the type without its version.

    Raises:
        LookupError: when a step of the way is missing.
    """
    for step in range(version, target):
        raw = UPCASTERS[name, step](raw)
    return raw
