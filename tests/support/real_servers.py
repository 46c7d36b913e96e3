"""Servers of the real definitions, and which of their tools create, fetch, list, change and delete one thing.

What belongs together is told by paths (``POST /orders``, ``GET /orders/{id}``), and where there is no path by
names (``create_order``, ``get_order``); nothing here asks a world what it takes a tool for.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from schemas.catalog import ToolSpec
from services.worlds.words import norm, singular, tokens

DATA: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
CATALOGS: Final = ("api_tools.jsonl.gz", "mcp_servers.jsonl.gz")
VERBS: Final = {
    "create": {"create", "add", "insert", "register", "new"},
    "get": {"get", "fetch", "read", "retrieve", "show", "describe", "view"},
    "list": {"list"},
    "update": {"update", "edit", "modify", "patch"},
    "delete": {"delete", "remove"},
}
_ASIDE: Final = {"a", "an", "the", "all", "new", "by", "id", "details", "detail", "info"}
_ASKING: Final = {"search", "query", "find", "get", "list", "filter", "lookup", "batch"}
_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


@dataclass(frozen=True, slots=True)
class Kind:
    """The tools of one server for one kind of thing: its creator, and by verb those that work on it.

    ``keys`` is the parameter that names the thing, by verb; a list has none.
    """

    noun: tuple[str, ...]
    create: ToolSpec
    tools: dict[str, ToolSpec] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)


def servers(path: Path) -> Iterator[tuple[str, list[ToolSpec]]]:
    """(name, tools) of each server of a catalog's file; of two tools with one name the first."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            server = json.loads(line)
            specs: dict[str, ToolSpec] = {}
            for raw in server["tools"]:
                name = _NAME.sub("_", raw["name"])[:64]
                notes = raw.get("annotations") or {}
                specs.setdefault(name, ToolSpec(
                    server=str(server["id"]), name=name, description=raw.get("description") or "",
                    input_schema=raw.get("inputSchema") or {}, output_schema=raw.get("outputSchema"),
                    method=notes.get("method") or "", path=notes.get("path") or "", original_name=raw["name"],
                ))  # fmt: skip
            yield str(server.get("server") or server["id"]), list(specs.values())


def properties(spec: ToolSpec) -> dict[str, Any]:
    """The parameters of a tool; {} where its schema is broken."""
    found = spec.input_schema.get("properties")
    return (
        {name: part if isinstance(part, dict) else {} for name, part in found.items()}
        if isinstance(found, dict)
        else {}
    )


def required(spec: ToolSpec) -> list[str]:
    """Its required parameters."""
    names = spec.input_schema.get("required")
    return [name for name in names if name in properties(spec)] if isinstance(names, list) else []


def kinds(specs: Sequence[ToolSpec]) -> list[Kind]:
    """The kinds of thing that a server can create and fetch."""
    return [*_by_path(specs), *_by_name([spec for spec in specs if not spec.path])]


def _by_path(specs: Sequence[ToolSpec]) -> Iterator[Kind]:
    at: dict[tuple[str, str], ToolSpec] = {}
    for spec in specs:
        if spec.path and "#" not in spec.path:
            at.setdefault((spec.method.upper(), _plain(spec.path)), spec)
    for (method, path), create in at.items():
        item = f"{path}/{{}}"
        noun = tokens(path.rpartition("/")[2])
        if (
            method != "POST"
            or path.endswith("}")
            or ("GET", item) not in at
            or not noun
            or _asks(create, noun)
        ):
            continue
        made = Kind((*noun[:-1], singular(noun[-1])), create)
        for verb, ways in (("get", ["GET"]), ("update", ["PATCH", "PUT"]), ("delete", ["DELETE"])):
            spec = next((at[way, item] for way in ways if (way, item) in at), None)
            last = re.findall(r"\{([^}]*)\}", spec.path)[-1] if spec is not None else ""
            if spec is not None and last in properties(spec) and _names(last, properties(spec)[last]):
                made.tools[verb], made.keys[verb] = spec, last
        if ("GET", path) in at:
            made.tools["list"] = at["GET", path]
        if "get" in made.tools:
            yield made


def _names(parameter: str, schema: dict[str, Any]) -> bool:
    """Whether a parameter can name one thing: no choice of a few, no list, no type."""
    return not (
        "enum" in schema or schema.get("type") in ("array", "object") or norm(parameter).endswith("type")
    )


def _asks(spec: ToolSpec, segment: tuple[str, ...]) -> bool:
    """Whether a POST asks for things instead of making one ("searchOrders", "/orders/search")."""
    words = tokens(re.sub(r"^(post|POST)[-_]*", "", spec.original_name or spec.name))
    return segment[-1] in _ASKING or (words[:1] != segment[:1] and bool(set(words) & _ASKING))


def _plain(path: str) -> str:
    """The path with its parameters unnamed."""
    return re.sub(r"\{[^}]*\}", "{}", path.partition("?")[0].rstrip("/"))


def _by_name(specs: Sequence[ToolSpec]) -> Iterator[Kind]:
    found: dict[tuple[str, ...], dict[str, ToolSpec]] = {}
    for spec in specs:
        said = _said(spec)
        if said is not None and not {"batch", "bulk"} & set(tokens(spec.name)):
            found.setdefault(said[1], {}).setdefault(said[0], spec)
    for noun, by_verb in found.items():
        if not {"create", "get"} <= by_verb.keys():
            continue
        made = Kind(noun, by_verb["create"])
        for verb in ("get", "update", "delete"):
            key = _key(by_verb[verb], noun) if verb in by_verb else None
            if key is not None:
                made.tools[verb], made.keys[verb] = by_verb[verb], key
        if "list" in by_verb:
            made.tools["list"] = by_verb["list"]
        if "get" in made.tools:
            yield made


def _said(spec: ToolSpec) -> tuple[str, tuple[str, ...]] | None:
    """(verb, noun) of a name like ``create_order``, ``orders.create`` or ``shop_get_orders``."""
    words = tokens(spec.original_name or spec.name)
    for at, word in enumerate(words[:3]):
        verb = next((verb for verb, known in VERBS.items() if word in known), None)
        if verb is None:
            continue
        rest = [one for one in words[at + 1 :] or words[:at] if one not in _ASIDE]
        if not rest:
            return None
        noun = (*rest[:-1], singular(rest[-1]))
        if verb == "get" and noun[-1] != rest[-1] and not required(spec):
            verb = "list"
        return verb, noun
    return None


def _key(spec: ToolSpec, noun: tuple[str, ...]) -> str | None:
    """The parameter that names the thing: the likeliest of the required ones."""
    whole, last = norm("".join(noun)), noun[-1]
    likely = [f"{one}{end}" for end in ("id", "key", "uuid", "name", "") for one in (whole, last)]
    likely[2:2] = ["id", "uuid"]
    likely += ["name", "key", "slug"]
    by_norm = {norm(name): name for name in reversed(required(spec))}
    return next((by_norm[one] for one in likely if one in by_norm), None)
