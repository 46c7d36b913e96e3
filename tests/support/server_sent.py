"""Server-sent events, read as a browser reads them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp


async def events(stream: aiohttp.ClientResponse, until: str) -> list[tuple[str, str, Any]]:
    """(name, id, data) of each event, up to the first of this name."""
    found: list[tuple[str, str, Any]] = []
    async with asyncio.timeout(20):
        while not found or found[-1][0] != until:
            fields: dict[str, str] = {}
            while line := (await stream.content.readuntil(b"\n")).decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                fields[name] = value
            if "event" in fields:
                found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found
