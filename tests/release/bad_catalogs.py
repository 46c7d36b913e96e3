"""Catalogs as they should not be, each made from a few servers of the built-in one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.worlds.machines import dump

Servers = list[dict[str, Any]]
SERVERS = ("bank", "calendar", "shop")


@dataclass(frozen=True)
class BadCatalog:
    """A file, whether a campaign can be made of it, and what must be said: all of these words, on stderr."""

    name: str
    text: str
    usable: bool
    says: tuple[str, ...] = ()


def good() -> Servers:
    return [server for server in dump() if server["id"] in SERVERS]


def lines(servers: Servers) -> str:
    return "".join(json.dumps(server, ensure_ascii=False) + "\n" for server in servers)


def changed(change: Callable[[Servers], None]) -> str:
    servers = copy.deepcopy(good())
    change(servers)
    return lines(servers)


def broken_schema(servers: Servers) -> None:
    parameters = {"a": {"type": "strng", "pattern": "("}}
    servers[0]["tools"][0]["inputSchema"] = {"type": "object", "properties": parameters, "required": "a"}


def reference_cycles(servers: Servers) -> None:
    node = {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}, "required": ["child"]}
    servers[0]["tools"][0]["inputSchema"] = {
        "type": "object",
        "properties": {"node": {"$ref": "#/$defs/node"}},
        "required": ["node"],
        "$defs": {"node": node},
    }
    servers[0]["tools"][1]["inputSchema"] = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    }


def huge_description(servers: Servers) -> None:
    servers[0]["tools"][0]["description"] = "x " * 2_500_000


def duplicate_names(servers: Servers) -> None:
    twin = copy.deepcopy(servers[0]["tools"][0])
    servers[0]["tools"].append({**twin, "description": "Another tool of the same name."})
    servers.append(copy.deepcopy(servers[1]))


def odd_characters(servers: Servers) -> None:
    tools = servers[0]["tools"]
    tools[0]["description"] = "\u202eمرحبا\x00\x07 " + tools[0]["description"]
    tools[1]["name"] = "שלום\u202e\x01"
    servers[0]["server"] = "\x1b[31mred\x1b[0m"


def catalogs() -> tuple[BadCatalog, ...]:
    """All of them."""
    whole = lines(good()).splitlines()
    one_bad = "\n".join([whole[0], '{"id": "x", broken', *whole[1:]]) + "\n"
    return (
        BadCatalog("empty.json", "", usable=False, says=("empty.json", "is empty", "tools/list")),
        BadCatalog("none.json", "[]", usable=False, says=("none.json", "no server", "tools/list")),
        BadCatalog("text.json", "hello, no JSON", usable=False, says=("text.json:1", "not JSON", "Mend")),
        BadCatalog("bad_line.jsonl", one_bad, usable=True, says=("bad_line.jsonl:2", "not JSON", "Mend")),
        BadCatalog(
            "broken_schema.jsonl", changed(broken_schema), usable=True,
            says=("find_account_holder", "bank", "strng", "Mend"),
        ),
        BadCatalog("cycles.jsonl", changed(reference_cycles), usable=True),
        BadCatalog(
            "huge.jsonl", changed(huge_description), usable=True,
            says=("huge.jsonl:1", "find_account_holder", "Shorten"),
        ),
        BadCatalog(
            "duplicates.jsonl", changed(duplicate_names), usable=True,
            says=("duplicates.jsonl:4", "duplicates.jsonl:2", "taken once"),
        ),
        BadCatalog("odd_characters.jsonl", changed(odd_characters), usable=True),
    )  # fmt: skip


def write(catalog: BadCatalog, folder: Path) -> Path:
    path = folder / catalog.name
    path.write_text(catalog.text, encoding="utf-8")
    return path
