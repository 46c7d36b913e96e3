"""Records into the shape that a tool returns, and the rest of the result around them.

Every value is a function of the record (or, outside of records, of the tool and its arguments) and the
path, never of the order of calls. Depth and size are bounded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from schemas.catalog import Json
from services.worlds.checking import Checker
from services.worlds.entities import Collection
from services.worlds.fitting import as_object, cast, dice, fits, kind, resolved, satisfiable
from services.worlds.records import Model, Record
from services.worlds.shapes import NAMESPACES, Slot
from services.worlds.surroundings import counts, silent, told
from services.worlds.values import plausible
from services.worlds.words import listed, norm, singular, tokens

MAX_DEPTH: Final = 4
MAX_BYTES: Final = 6000
_IDLIKE: Final = frozenset(
    listed("id uuid gid sid guid key slug name title status email code number url type")
)


def digest(value: Any) -> str:
    """8 hexadecimal digits over a JSON value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Renderer:
    """Renders results of one call. ``width`` bounds the optional fields of a record."""

    def __init__(self, model: Model, state: Json, tool: str, root: Json, arguments: Json, width: int) -> None:
        self.model = model
        self.state = state
        self.tool = tool
        self.root = root
        self.arguments = arguments
        self.given = {norm(name): value for name, value in arguments.items()}
        self.width = width
        self.mark = digest(arguments)
        self.records: Sequence[Record] = ()
        self.total = 0

    def result(self, place: Slot, records: Sequence[Record], total: int) -> Any:
        """The whole result: ``records`` at ``place``, everything else around them."""
        self.records, self.total = records, total
        return self._walk(resolved(self.root, self.root), place, place.path, "", 0)

    def _walk(self, schema: Json, place: Slot, path: tuple[str, ...], name: str, depth: int) -> Any:
        if not path:
            if kind(schema) == "array":
                return self._list(schema)
            if self.records:
                return self.record(schema, self.records[0], (), 0)
            return self._around(name, schema, (name,), depth)
        properties = schema.get("properties", {})
        needed = _required(schema)
        made: Json = {}
        for key, part in properties.items():
            shape = resolved(part, self.root)
            if key == path[0]:
                made[key] = self._walk(shape, place, path[1:], key, depth + 1)
            elif key in needed or self._worth(key, shape):
                made[key] = self._around(key, shape, (key,), depth + 1)
        for key in needed:
            if key not in made:
                made[key] = self._around(key, {}, (key,), depth + 1)
        return made

    def _list(self, schema: Json) -> list[Any]:
        most = schema.get("maxItems")
        least = schema.get("minItems")
        records = list(self.records[: most if isinstance(most, int) else None])
        items = resolved(schema.get("items", {}), self.root)
        made = [self.record(items, record, (), 1) for record in records]
        while isinstance(least, int) and 0 < len(made) < min(least, 50):
            made.append(made[-1])
        return made

    def _worth(self, name: str, schema: Json) -> bool:
        """Whether an optional property beside the records should be shown."""
        key = norm(name)
        if silent(key):
            return False
        return kind(schema) not in {"object", "array"} or key in {"meta", "pagination", "paging"}

    # records

    def record(self, schema: Json, record: Record, path: tuple[str, ...], depth: int) -> Any:
        """One record in the shape of ``schema``; a scalar shape gives its id or its name."""
        which = kind(schema)
        if which == "array":
            return [self.record(resolved(schema.get("items", {}), self.root), record, path, depth + 1)]
        if which not in {"object", ""} or (which == "" and path):
            made = cast(record.id, schema) if which in {"string", "integer", "number", ""} else None
            own = self.model.collections.get(record.collection)
            if made is not None and own is not None and own.addressed and record.id[:1] != "~":
                return made
            return self.model.value(record, path or ("result",), schema, self.root)
        made = {}
        needed = _required(schema)
        held = record.fields if all(norm(part) in NAMESPACES for part in path) else {}
        for key, part in self._chosen(schema, depth, held):
            value = self._field(key, resolved(part, self.root), record, (*path, key), depth + 1)
            if value not in ({}, []) or key in needed or norm(key) in held:
                made[key] = value
        if not made:
            made = dict(self._bare(record))
        lists = [value for value in made.values() if isinstance(value, list)]
        if len(lists) == 1:
            for key, part in as_object(schema.get("properties")).items():
                if key in made and norm(key) not in record.fields and counts(norm(key)):
                    shape = resolved(part, self.root)
                    made[key] = len(lists[0]) if fits(len(lists[0]), shape) else made[key]
        return made

    def _bare(self, record: Record) -> Json:
        """The stored fields, where the shape says nothing."""
        stored = self.state["records"].get(record.collection, {}).get(record.id)
        if stored is not None:
            parents = {f"{name}_id": held for name, held in record.parents.items()}
            return {
                **stored,
                **{name: held for name, held in parents.items() if norm(name) not in record.fields},
            }
        return {}

    def _field(self, name: str, schema: Json, record: Record, path: tuple[str, ...], depth: int) -> Any:
        key = norm(name)
        own = self.model.collections.get(record.collection)
        which = kind(schema)
        if own is not None and len(path) - sum(map(partial(_opens, own), path[:-1])) <= 1:
            if which == "object" and _opens(own, name) and not isinstance(record.fields.get(key), dict):
                return self.record(schema, record, path, depth)
            if key in own.primary and record.id[:1] != "~":
                typed = cast(
                    record.id, resolved(schema.get("items"), self.root) if which == "array" else schema
                )
                if typed is not None:
                    return [typed] if which == "array" else typed
            spelt = own.spelling(name)
            held = record.fields.get(spelt)
            if isinstance(held, str) and spelt in own.handles and not fits(held, schema):
                held = cast(held, schema)
            if held is not None and fits(held, schema):
                if which not in {"object", "array"}:
                    return held
                if depth < 3 and not Checker(schema).problem(held):
                    return held
                if depth < 3 and isinstance(held, dict):  # what was given of it, over the rest
                    whole = {**as_object(self._nested(name, schema, record, path, depth)), **held}
                    if not Checker(schema).problem(whole):
                        return whole
        if which in {"object", "array"} and "enum" not in schema and "const" not in schema:
            return self._nested(name, schema, record, path, depth)
        linked = self._linked(name, schema, record, path)
        if linked is not None:
            return linked
        return self.model.value(record, path, schema, self.root)

    def _linked(self, name: str, schema: Json, record: Record, path: tuple[str, ...]) -> Any:
        """The id of a known record that a field of this name refers to, or None."""
        if "enum" in schema:
            return None
        target = self.model.entities.target(name, record.collection if len(path) == 1 else "")
        if target is None:
            target = self._by_handle(name, record)
            if target is None:
                return None
        key = self._pick(target, record, path)
        if key is None:
            return None
        if key in self.model.starting["records"].get(target, {}):
            return self.model.handle(self.model.starting, target, key, name, schema)
        return cast(key, schema)

    def _by_handle(self, name: str, record: Record) -> str | None:
        """The collection whose identifying parameter is spelt like this field ("username")."""
        key = norm(name)
        if key in {
            "id",
            "name",
            "title",
            "key",
            "code",
            "number",
            "slug",
            "type",
            "status",
            "email",
            "ids",
            "path",
        }:
            return None
        for other in self.model.collections.values():
            if (
                other.name != record.collection
                and other.addressed
                and any(norm(spelt) == key for spelt, _ in other.identifiers)
            ):
                return other.name
        return None

    def _pick(self, target: str, record: Record, path: tuple[str, ...]) -> str | None:
        """Which record of ``target`` this record refers to: its parent, or one drawn once for all."""
        if target in record.parents:
            return record.parents[target]
        options = list(self.model.starting["records"].get(target, {}))
        if not options:
            return None
        chosen: str = dice(self.model.seed, "link", record.collection, record.id, *path).choice(options)
        return chosen

    def _nested(self, name: str, schema: Json, record: Record, path: tuple[str, ...], depth: int) -> Any:
        """An object or array inside a record; known records where it is named after their collection."""
        words = tokens(name)
        one = "_".join((*words[:-1], singular(words[-1]))) if words else ""
        which = kind(schema)
        if one in self.model.collections and one != record.collection and depth <= 3:
            if which == "object":
                key = self._pick(one, record, path)
                if key is not None and key in self.state["records"].get(one, {}):
                    return self.record(schema, self.model.record(self.state, one, key), (), depth)
            elif kind(resolved(schema.get("items", {}), self.root)) == "object":
                links = self.state["parents"].get(one, {})
                children = [key for key, held in links.items() if held.get(record.collection) == record.id]
                if children:
                    items = resolved(schema["items"], self.root)
                    return [
                        self.record(items, self.model.record(self.state, one, key), (), depth + 1)
                        for key in children[:2]
                    ]
        if which == "array":
            return self._items(name, schema, record, path, depth)
        if not isinstance(schema.get("properties"), dict):
            return self.model.value(record, path, schema, self.root)
        if depth > MAX_DEPTH and not _required(schema):
            return {}
        needed = _required(schema)
        made = {
            key: self._field(key, resolved(part, self.root), record, (*path, key), depth + 1)
            for key, part in self._chosen(schema, depth)
        }
        return {key: value for key, value in made.items() if key in needed or value not in ({}, [])}

    def _items(self, name: str, schema: Json, record: Record, path: tuple[str, ...], depth: int) -> list[Any]:
        items = resolved(schema.get("items", {}), self.root)
        low, high = schema.get("minItems"), schema.get("maxItems")
        least = low if isinstance(low, int) else 0
        most = high if isinstance(high, int) else 2
        size = max(least, min(most, 1 if depth >= 3 else 2))
        if kind(items) not in {"object", "array"}:
            made: list[Any] = []
            for at in range(min(size, 20)):
                one = name.removesuffix("s")
                value = self._linked(one, items, record, (*path, str(at)))
                if value is None:
                    rng = dice(self.model.seed, self.model.server, record.collection, record.id, *path, at)
                    value = plausible(one, items, rng, root=self.root, context=record.collection)
                if value not in made or len(made) < least:
                    made.append(value)
            return made
        if depth > MAX_DEPTH and not least:
            return []
        found = [
            self._field(singular(name), items, record, (*path, str(at)), depth + 1)
            for at in range(min(size, 20))
        ]
        return found if least else [value for value in found if value not in ({}, [])]

    def _chosen(
        self, schema: Json, depth: int, held: Mapping[str, Any] = MappingProxyType({})
    ) -> list[tuple[str, Json]]:
        """The properties to show: required ones, then identifiers and what tools take, then the rest.

        ``held`` are the fields that somebody has written, by normalized name: they are shown in any case.
        """
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        needed = _required(schema)
        room = max(2, self.width // (1 if depth <= 1 else 2 if depth == 2 else 4))
        ranked: list[tuple[int, int, str]] = []
        for at, (key, part) in enumerate(properties.items()):
            if key in needed:
                continue
            if held and norm(key) in held:
                needed.append(key)
                continue
            shape = resolved(part, self.root)
            rank = self._rank(key, shape, depth)
            if rank < 9:
                ranked.append((rank, at, key))
        ranked.sort()
        shown = set(needed) | {key for _, _, key in ranked[: max(0, room - len(needed))]}
        made = [(key, part) for key, part in properties.items() if key in shown]
        made += [(key, {}) for key in needed if key not in properties]
        return made

    def _rank(self, name: str, schema: Json, depth: int) -> int:
        key = norm(name)
        which = kind(schema)
        if not satisfiable(schema) or silent(key) or key.startswith("$") or name.startswith("_links"):
            return 9
        if which in {"object", "array"}:
            if depth >= MAX_DEPTH:
                return 9
            if key in NAMESPACES:
                return 0
            inner = schema if which == "object" else resolved(schema.get("items", {}), self.root)
            names = as_object(inner.get("properties"))
            words = tokens(name)
            known = bool(words) and "_".join((*words[:-1], singular(words[-1]))) in self.model.collections
            if known or any(norm(held) in self.model.entities.needed or norm(held) == "id" for held in names):
                return 2
            return 5 if which == "object" and names else 6
        if key in self.model.entities.needed or key.endswith("id"):
            return 0
        return 1 if key in _IDLIKE else 3

    # around the records

    def _around(self, name: str, schema: Json, path: tuple[str, ...], depth: int) -> Any:
        """A value beside the records: counts, page numbers, status texts."""
        key = norm(name)
        which = kind(schema)
        if which == "array":
            return self._nested(name, schema, self._call(), path, 3) if schema.get("minItems") else []
        if which == "object":
            return {
                inner: self._around(inner, resolved(part, self.root), (*path, inner), depth + 1)
                for inner, part in self._chosen(schema, max(depth, 2))
            }
        made = told(key, which, self.given, self.total)
        if made is not None and fits(made, schema):
            return made
        held = self.given.get(key)
        if held is None and key.endswith("query"):
            held = next(
                (value for name, value in self.given.items() if name in {"query", "q", "search"}), None
            )
        if held is not None and fits(held, schema) and not isinstance(held, (dict, list)):
            return held
        linked = self._linked(name, schema, self._call(), path)
        return self.model.value(self._call(), path, schema, self.root) if linked is None else linked

    def _call(self) -> Record:
        """This very call, as if it were a record: what it yields depends on its arguments alone."""
        return Record(f"call {self.tool}", f"~{self.mark}", {}, {})


def _opens(own: Collection, name: str) -> bool:
    """Whether an object of this name holds fields of the record itself: ``attributes``, a wrapped ``id``."""
    key = norm(name)
    return key in NAMESPACES or key in own.primary or key in {own.last, norm(own.name)}


def _required(schema: Json) -> list[str]:
    names = schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
