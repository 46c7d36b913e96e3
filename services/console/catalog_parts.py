"""A server too large for a message, or for the registry, as several: a resource's tools stay together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from schemas.catalog import Json

MAX_TOOLS: Final = 500
"""Tools of one server; the registry takes 512."""


def in_parts(about: Json, tools: list[Any], max_server_bytes: int) -> Iterator[Json]:
    """The raw server ``{**about, "tools": tools}``, in as many parts as it takes, numbered in their names.

    Tools whose annotations have a path are kept together by the first segment that tells paths apart.
    """
    room = max_server_bytes - size_bytes(about) - 1_000
    parts = _parts(tools, room)
    for number, part in enumerate(parts, start=1):
        title = {"name": f"{about['name']} ({number} of {len(parts)})"} if len(parts) > 1 else {}
        yield {**about, **title, "tools": part}


def _parts(tools: list[Any], room_bytes: int) -> list[list[Any]]:
    sizes = [size_bytes(tool) + 1 for tool in tools]
    if len(tools) <= MAX_TOOLS and sum(sizes) <= room_bytes:
        return [tools]
    paths = [_segments(tool) for tool in tools]
    shared = _shared(paths)
    groups: dict[str, list[tuple[Any, int]]] = {}
    for tool, size, path in zip(tools, sizes, paths, strict=True):
        groups.setdefault("".join(path[shared : shared + 1]), []).append((tool, size))
    parts: list[list[Any]] = [[]]
    used = 0
    for group in groups.values():
        whole = sum(size for _, size in group)
        if len(parts[-1]) + len(group) > MAX_TOOLS or used + whole > room_bytes:
            parts.append([])
            used = 0
        for tool, size in group:
            if len(parts[-1]) >= MAX_TOOLS or used + size > room_bytes:
                parts.append([])
                used = 0
            parts[-1].append(tool)
            used += size
    return [part for part in parts if part]


def _segments(tool: Any) -> list[str]:
    """The segments of the path in a tool's annotations."""
    notes = tool.get("annotations") if isinstance(tool, dict) else None
    path = notes.get("path") if isinstance(notes, dict) else None
    return [segment for segment in path.split("/") if segment] if isinstance(path, str) else []


def _shared(paths: list[list[str]]) -> int:
    """How many segments all paths begin with."""
    shared = 0
    for column in zip(*paths, strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    return shared


def size_bytes(value: Any) -> int:
    """Bytes of a value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
