"""Copies of a server among the servers of a catalog: their tools are folded into the first one's.

A server is a copy if at least half of its tools are, word for word, those of others. A server that shares
fewer has them in common by chance (``list_tables``), and keeps them: they are part of how it works.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from schemas.catalog import ToolSpec

SIZE: Final = 8


def identities(tools: tuple[ToolSpec, ...]) -> tuple[bytes, ...]:
    """What is the same of two tools that are the same but for their server."""
    return tuple(
        hashlib.blake2b(
            tool.model_dump_json(exclude={"server", "original_name"}).encode(),
            digest_size=SIZE,
        ).digest()
        for tool in tools
    )


def folded(servers: Mapping[str, tuple[bytes, ...]]) -> dict[str, frozenset[int]]:
    """Of each server that is a copy, the places of the tools that stand elsewhere already.

    Larger servers come first, then by id, whatever the order they are given in.
    """
    seen: set[bytes] = set()
    found: dict[str, frozenset[int]] = {}
    for server in sorted(servers, key=lambda one: (-len(servers[one]), one)):
        tools = servers[server]
        copies = frozenset(at for at, identity in enumerate(tools) if identity in seen)
        if copies and 2 * len(copies) >= len(tools):
            found[server] = copies
        seen.update(tools)
    return found
