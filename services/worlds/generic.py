"""A server simulated from its tools' definitions alone: what each verb does to its records.

Ours, not the paper's. Created things can be fetched, listed and changed and are gone after a delete;
identical reads agree; unknown ids fail with ``not_found``, as a real service would answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.catalog import Json, ToolSpec
from services.worlds.fitting import copied, fits, kind
from services.worlds.machine import ToolError
from services.worlds.meaning import Reading, read
from services.worlds.naming import is_control, parameters, shared_prefix
from services.worlds.records import Model, Record
from services.worlds.rendering import MAX_BYTES, Renderer, digest
from services.worlds.values import plausible
from services.worlds.verbs import participle
from services.worlds.words import listed, norm, plural, tokens

MAX_LISTED: Final = 5
MAX_ACTIONS: Final = 50
MAX_RECORDS: Final = 200
_ENVELOPES: Final = frozenset(
    listed(
        "body data attributes payload request requestbody resource fields properties input inputs "
        "parameters object"
    )
)
_QUERIES: Final = frozenset(
    listed("q query search keyword keywords term text searchterm searchquery s filter")
)


class SimulatedServer:
    """One server of a world without a hand-written machine."""

    def __init__(self, server: str, tools: Sequence[ToolSpec], seed: int) -> None:
        prefix = shared_prefix(tools)
        self.server = server
        self.seed = seed
        self.tools = {spec.name: spec for spec in tools}
        self.readings: Mapping[str, Reading] = {spec.name: read(spec, prefix) for spec in tools}
        self.parameters = {spec.name: parameters(spec) for spec in tools}
        self.model = Model(server, tools, self.readings, seed)

    def initial(self) -> Json:
        """The state before the first call."""
        made: Json = copied(self.model.starting)
        return made

    def writes(self, tool: str) -> bool:
        """Whether the tool changes state."""
        return self.readings[tool].writes

    def call(self, state: Json, tool: str, arguments: Json) -> Any:
        """The result of a call; ``state`` is the caller's own copy and is changed in place.

        Raises:
            ToolError: not_found or conflict.
        """
        reading = self.readings[tool]
        parents = self._parents(state, reading, arguments)
        self._references(state, reading, arguments)
        if reading.verb in {"list", "search"}:
            return self._list(state, tool, reading, arguments, parents)
        if reading.verb == "create":
            return self._create(state, tool, reading, arguments, parents)
        if reading.verb == "delete":
            return self._delete(state, tool, reading, arguments, parents)
        if reading.verb == "update":
            return self._update(state, tool, reading, arguments, parents)
        if reading.verb == "act":
            return self._act(state, tool, reading, arguments, parents)
        return self._get(state, tool, reading, arguments, parents)

    # who is addressed

    def _missing(self, collection: str, tool_label: str, value: Any) -> ToolError:
        noun = self.model.collections[collection].noun
        return ToolError(
            "not_found", f"No {noun} with {tool_label} {json.dumps(value, ensure_ascii=False)} was found."
        )

    def _parents(self, state: Json, reading: Reading, arguments: Json) -> dict[str, str]:
        found: dict[str, str] = {}
        for parameter, collection in reading.parents:
            if arguments.get(parameter) is None:
                continue
            key = self.model.find(state, collection, arguments[parameter])
            if key is None or not self._belongs(state, collection, key, found):
                raise self._missing(
                    collection, reading.labels.get(parameter, parameter), arguments[parameter]
                )
            found[collection] = key
        return found

    def _references(self, state: Json, reading: Reading, arguments: Json) -> None:
        for parameter, collection in reading.references:
            given = arguments.get(parameter)
            if given is None or collection not in self.model.collections:
                continue
            for value in given if isinstance(given, list) else [given]:
                if self.model.find(state, collection, value) is None:
                    raise self._missing(collection, reading.labels.get(parameter, parameter), value)

    def _belongs(self, state: Json, collection: str, key: str, parents: Mapping[str, str]) -> bool:
        held = state["parents"].get(collection, {}).get(key, {})
        return all(held.get(parent, wanted) == wanted for parent, wanted in parents.items())

    def _addressed(
        self, state: Json, reading: Reading, arguments: Json, parents: Mapping[str, str]
    ) -> list[str]:
        """Ids of the records that the key parameter names; all must exist and belong to the parents."""
        assert reading.key is not None
        given = arguments.get(reading.key)
        found: list[str] = []
        for value in given if isinstance(given, list) else [given]:
            key = self.model.find(state, reading.collection, value)
            if key is None or not self._belongs(state, reading.collection, key, parents):
                raise self._missing(reading.collection, reading.labels.get(reading.key, reading.key), value)
            found.append(key)
        return found

    def _only(self, state: Json, reading: Reading, parents: Mapping[str, str]) -> str | None:
        """The one record of a collection that is addressed by its parents alone."""
        for key in state["records"].get(reading.collection, {}):
            if self._belongs(state, reading.collection, key, parents):
                return str(key)
        return None

    def _virtual(
        self, tool: str, reading: Reading, arguments: Json, parents: Mapping[str, str], at: int = 0
    ) -> Record:
        """A result that is no stored record: what it holds depends on the arguments alone."""
        said = self._said(tool, reading, arguments)
        return Record(reading.collection, f"~{digest([tool, arguments, at])}", said, parents)

    def _said(self, tool: str, reading: Reading, arguments: Json) -> Json:
        """The arguments that are fields of the record, by normalized name, envelopes opened."""
        named = {reading.key, *(name for name, _ in reading.parents)}
        return {
            norm(name): value
            for name, value in _opened(
                {k: v for k, v in arguments.items() if k not in named and not is_control(k)}
            ).items()
        }

    # what each verb does

    def _list(
        self, state: Json, tool: str, reading: Reading, arguments: Json, parents: dict[str, str]
    ) -> Any:
        own = self.model.collections[reading.collection]
        if reading.verb == "search" and not own.addressed:
            records = [self._virtual(tool, reading, arguments, parents, at) for at in range(3)]
            return self._render(state, tool, records, arguments, len(records))
        found = [
            self.model.record(state, reading.collection, key)
            for key in state["records"].get(reading.collection, {})
            if self._belongs(state, reading.collection, key, parents)
        ]
        if reading.key is not None and arguments.get(reading.key) is not None:
            keys = self._addressed(state, reading, arguments, parents)
            found = [record for record in found if record.id in keys]
        found = self._filtered(tool, reading, found, arguments)
        page, size = _paging(arguments)
        shown = found[page * size : page * size + size]
        return self._render(state, tool, shown, arguments, len(found))

    def _filtered(self, tool: str, reading: Reading, records: list[Record], arguments: Json) -> list[Record]:
        named = {reading.key, *(name for name, _ in reading.parents)}
        for name, value in arguments.items():
            if (
                name in named
                or is_control(name)
                or isinstance(value, (dict, bool))
                or value in (None, "", [])
            ):
                continue
            key = norm(name)
            if key in _QUERIES:
                hits = [record for record in records if _mentions(record, value)]
                records = hits or records
                continue
            link = self.model.target(name, reading.collection)
            wanted = [str(item).lower() for item in (value if isinstance(value, list) else [value])]
            if link is not None:
                held = [record for record in records if record.parents.get(link, "").lower() in wanted]
                records = held or records
                continue
            if any(key in record.fields for record in records):
                records = [
                    record
                    for record in records
                    if any(want == str(record.fields.get(key, "")).lower() for want in wanted)
                    or (
                        key in {"name", "title"}
                        and any(want in str(record.fields.get(key, "")).lower() for want in wanted)
                    )
                ]
        return records

    def _get(self, state: Json, tool: str, reading: Reading, arguments: Json, parents: dict[str, str]) -> Any:
        if reading.key is not None and arguments.get(reading.key) is not None:
            keys = self._addressed(state, reading, arguments, parents)
            records = [self.model.record(state, reading.collection, key) for key in keys[:MAX_LISTED]]
            return self._render(state, tool, records, arguments, len(keys))
        if self._said(tool, reading, arguments) and not self._kept(reading.collection):
            return self._render(state, tool, [self._virtual(tool, reading, arguments, parents)], arguments, 1)
        key = self._only(state, reading, parents)
        if key is None:
            noun = self.model.collections[reading.collection].noun
            raise ToolError("not_found", f"There is no {noun}.")
        return self._render(state, tool, [self.model.record(state, reading.collection, key)], arguments, 1)

    def _kept(self, collection: str) -> bool:
        """Whether some tool writes this collection."""
        return any(other.collection == collection and other.writes for other in self.readings.values())

    def _create(
        self, state: Json, tool: str, reading: Reading, arguments: Json, parents: dict[str, str]
    ) -> Any:
        collection = reading.collection
        own = self.model.collections[collection]
        records = state["records"].setdefault(collection, {})
        if len(records) >= MAX_RECORDS:
            raise ToolError("limit_exceeded", f"No more than {MAX_RECORDS} {plural(own.noun)} can be kept.")
        given = _opened({k: v for k, v in arguments.items() if not is_control(k)})
        chosen = next((str(v) for k, v in given.items() if norm(k) in own.primary and _scalar(v)), None)
        if chosen is not None and chosen in records:
            raise ToolError(
                "conflict", f"There is already a {own.noun} {json.dumps(chosen, ensure_ascii=False)}."
            )
        made = chosen or self._fresh(state, collection)
        state["created"][collection] = state["created"].get(collection, 0) + 1
        links = {**self._linked(reading, arguments), **parents}
        fields = self.model.stored(Record(collection, made, {}, links))
        skip = {name for name, _ in reading.parents}
        self._overlay(collection, fields, {k: v for k, v in given.items() if k not in skip})
        records[made] = fields
        state["parents"].setdefault(collection, {})[made] = links
        return self._render(state, tool, [self.model.record(state, collection, made)], arguments, 1)

    def _linked(self, reading: Reading, arguments: Json) -> dict[str, str]:
        return {
            collection: str(arguments[parameter])
            for parameter, collection in reading.references
            if collection in self.model.collections and _scalar(arguments.get(parameter))
        }

    def _fresh(self, state: Json, collection: str) -> str:
        index = 100 + state["created"].get(collection, 0)
        for attempt in range(MAX_RECORDS):
            made = self.model.new_id(collection, index + attempt)
            if made not in state["records"].get(collection, {}):
                return made
        return f"{self.model.new_id(collection, index)}-{index}"

    def _overlay(self, collection: str, fields: Json, given: Json) -> None:
        """Write arguments into stored fields, under the spelling that the record has already."""
        own = self.model.collections[collection]
        spelt = {norm(name): name for name in fields}
        for name, value in given.items():
            key = norm(name)
            if key in own.primary or value is None:
                continue
            place = spelt.get(key) or (own.fields[key][0] if key in own.fields else name)
            fields[place] = value

    def _update(
        self, state: Json, tool: str, reading: Reading, arguments: Json, parents: dict[str, str]
    ) -> Any:
        collection = reading.collection
        given = _opened({k: v for k, v in arguments.items() if not is_control(k)})
        skip = {reading.key, *(name for name, _ in reading.parents)}
        changes = {name: value for name, value in given.items() if name not in skip}
        if reading.key is not None and arguments.get(reading.key) is not None:
            value = arguments[reading.key]
            if (
                reading.upsert
                and not isinstance(value, list)
                and self.model.find(state, collection, value) is None
            ):
                return self._make_as(state, tool, reading, str(value), changes, arguments, parents)
            keys = self._addressed(state, reading, arguments, parents)
        else:
            only = self._only(state, reading, parents)
            if only is None:
                return self._create(state, tool, reading, arguments, parents)
            keys = [only]
        for key in keys:
            self._overlay(collection, state["records"][collection][key], changes)
        records = [self.model.record(state, collection, key) for key in keys[:MAX_LISTED]]
        return self._render(state, tool, records, arguments, len(keys))

    def _make_as(
        self,
        state: Json,
        tool: str,
        reading: Reading,
        key: str,
        changes: Json,
        arguments: Json,
        parents: dict[str, str],
    ) -> Any:
        fields = self.model.stored(Record(reading.collection, key, {}, parents))
        self._overlay(reading.collection, fields, changes)
        state["records"].setdefault(reading.collection, {})[key] = fields
        state["parents"].setdefault(reading.collection, {})[key] = dict(parents)
        return self._render(state, tool, [self.model.record(state, reading.collection, key)], arguments, 1)

    def _delete(
        self, state: Json, tool: str, reading: Reading, arguments: Json, parents: dict[str, str]
    ) -> Any:
        collection = reading.collection
        if reading.key is not None and arguments.get(reading.key) is not None:
            keys = self._addressed(state, reading, arguments, parents)
        elif reading.single:
            only = self._only(state, reading, parents)
            if only is None:
                raise ToolError(
                    "not_found", f"There is no {self.model.collections[collection].noun} to delete."
                )
            keys = [only]
        else:
            keys = [
                key
                for key in state["records"].get(collection, {})
                if self._belongs(state, collection, key, parents)
            ]
        records = [self.model.record(state, collection, key) for key in keys[:MAX_LISTED]]
        result = self._render(state, tool, records, arguments, len(keys))
        for key in keys:
            self._remove(state, collection, key, 0)
        return result

    def _remove(self, state: Json, collection: str, key: str, depth: int) -> None:
        """Take a record out, and those that belong to it."""
        state["records"].get(collection, {}).pop(key, None)
        state["parents"].get(collection, {}).pop(key, None)
        if depth > 6:
            return
        for other, links in list(state["parents"].items()):
            for child, held in list(links.items()):
                if held.get(collection) == key:
                    self._remove(state, other, child, depth + 1)

    def _act(self, state: Json, tool: str, reading: Reading, arguments: Json, parents: dict[str, str]) -> Any:
        records: list[Record]
        if reading.key is not None and arguments.get(reading.key) is not None:
            keys = self._addressed(state, reading, arguments, parents)
            for key in keys if reading.writes else []:
                self._mark(state, tool, reading, key, arguments)
            records = [self.model.record(state, reading.collection, key) for key in keys[:MAX_LISTED]]
        else:
            records = [self._virtual(tool, reading, arguments, parents)]
        if reading.writes:
            actions = state.setdefault("actions", [])
            actions.append({"tool": tool, "arguments": arguments})
            del actions[:-MAX_ACTIONS]
        return self._render(state, tool, records, arguments, len(records))

    def _mark(self, state: Json, tool: str, reading: Reading, key: str, arguments: Json) -> None:
        """What an action leaves on the record: its arguments, and the state that its verb says."""
        fields = state["records"][reading.collection][key]
        given = _opened({k: v for k, v in arguments.items() if not is_control(k)})
        skip = {reading.key, *(name for name, _ in reading.parents)}
        self._overlay(reading.collection, fields, {k: v for k, v in given.items() if k not in skip})
        if not reading.action:
            return
        said = participle(reading.action[0])
        own = self.model.collections[reading.collection]
        place, shape = next(
            (own.fields[name] for name in ("status", "state") if name in own.fields),
            ("status", {"type": "string"}),
        )
        options = shape.get("enum")
        if isinstance(options, list):
            fitting = [
                item for item in options if isinstance(item, str) and norm(item).startswith(norm(said)[:5])
            ]
            if not fitting:
                return
            said = fitting[0]
        if fits(said, shape):
            fields[place] = said

    # results

    def _render(self, state: Json, tool: str, records: Sequence[Record], arguments: Json, total: int) -> Any:
        spec = self.tools[tool]
        place = self.model.slots.get(tool)
        result: Any = None
        listed = list(records[:MAX_LISTED])
        for width, most in ((12, MAX_LISTED), (8, 4), (6, 3), (4, 2), (2, 2), (1, 1)):
            shown = listed[:most]
            if spec.output_schema is None or place is None:
                result = self._plain(state, tool, shown, arguments, total, width)
            else:
                renderer = Renderer(self.model, state, tool, spec.output_schema, arguments, width)
                result = renderer.result(place, shown, total)
            if len(json.dumps(result, ensure_ascii=False)) <= MAX_BYTES:
                break
        return result

    def _plain(
        self, state: Json, tool: str, records: Sequence[Record], arguments: Json, total: int, width: int
    ) -> Any:
        """A result without an output schema: the entity's known fields, or a small natural record."""
        reading = self.readings[tool]
        own = self.model.collections[reading.collection]
        shape = self._known_shape(reading)
        renderer = Renderer(self.model, state, tool, shape, arguments, width)
        made = [renderer.record(shape, record, (), 1) for record in records]
        for record, one in zip(records, made, strict=True):
            if isinstance(one, dict) and record.id[:1] != "~":
                for name, value in self._stored(state, record).items():
                    one.setdefault(name, value)
                for parent, held in record.parents.items():
                    one.setdefault(f"{parent}_id", held)
        if reading.verb in {"list", "search"} or (reading.many and reading.verb == "get"):
            return {"_".join(tokens(plural(own.noun))) or "results": made, "total": total}
        if reading.verb == "delete":
            keyed = {reading.key: arguments[reading.key]} if reading.key in arguments else {}
            stamp = self.model.value(records[0], ["deleted_at"], {}) if records else None
            return {
                "status": "deleted",
                **keyed,
                "deleted_count": total,
                **({"deleted_at": stamp} if stamp else {}),
            }
        if reading.verb == "act":
            done = participle(reading.action[0]) if reading.action and reading.writes else "ok"
            body = made[0] if made and isinstance(made[0], dict) else {"result": made[0] if made else None}
            return {**body, "status": done} if reading.writes else body
        return made[0] if made else {}

    def _stored(self, state: Json, record: Record) -> Json:
        held: Json = state["records"].get(record.collection, {}).get(record.id, {})
        return held

    def _known_shape(self, reading: Reading) -> Json:
        own = self.model.collections[reading.collection]
        fields = {name: shape for name, shape in own.fields.values()}
        if not fields:
            fields = natural(reading, own.primary)
        return {"type": "object", "properties": fields}

    # what a planner may ask

    def known(self, state: Json, tool: str, parameter: str, chosen: Json) -> list[Any]:
        """Valid values of a parameter; ``chosen`` are arguments already fixed, which they must go with."""
        reading = self.readings[tool]
        schema = self.parameters[tool].get(parameter)
        if schema is None:
            return []
        collection = self._refers(reading, parameter)
        if collection is None:
            return self._field_values(state, reading, parameter, schema)
        others = [
            (owner, key)
            for name, owner in (*reading.parents, (reading.key, reading.collection))
            if name in chosen
            and name != parameter
            and (key := self.model.find(state, owner, _first(chosen[name]))) is not None
        ]
        parents = dict(others)
        nested = [state["parents"].get(owner, {}).get(key, {}).get(collection) for owner, key in others]
        shape = schema.get("items", {}) if kind(schema) == "array" else schema
        values: list[Any] = []
        for key in state["records"].get(collection, {}):
            if self._belongs(state, collection, key, parents) and all(held in {None, key} for held in nested):
                value = self.model.handle(
                    state, collection, key, parameter, shape if isinstance(shape, dict) else {}
                )
                if value is not None and value not in values:
                    values.append(value)
        return [[value] for value in values] if kind(schema) == "array" else values

    def _refers(self, reading: Reading, parameter: str) -> str | None:
        if parameter == reading.key:
            return reading.collection
        for name, collection in (*reading.parents, *reading.references):
            if name == parameter and collection in self.model.collections:
                return collection
        return None

    def _field_values(self, state: Json, reading: Reading, parameter: str, schema: Json) -> list[Any]:
        """Values of a filter: what existing records hold in the field of that name."""
        if (
            reading.verb not in {"list", "search", "get"}
            or is_control(parameter)
            or kind(schema) in {"array", "object"}
        ):
            return []
        key = norm(parameter)
        values: list[Any] = []
        for fields in state["records"].get(reading.collection, {}).values():
            for name, value in fields.items():
                if norm(name) == key and value not in values and fits(value, schema):
                    values.append(value)
        return values

    def invent(self, tool: str, parameter: str, rng: random.Random) -> Any:
        """A plausible value that a user would make up; ids inside objects name records of the start."""
        schema = self.parameters[tool].get(parameter, {})
        reading = self.readings[tool]

        own = reading.collection if reading.verb == "create" else ""

        def linked(name: str, shape: Json) -> Any:
            target = self.model.target(name, own)
            if target is None or "enum" in shape:
                return None
            options = list(self.model.starting["records"].get(target, {}))
            if not options:
                return None
            return self.model.handle(self.model.starting, target, rng.choice(options), name, shape)

        root = self.tools[tool].input_schema
        return plausible(parameter, schema, rng, root=root, linked=linked, context=reading.collection)


def natural(reading: Reading, primary: set[str]) -> Json:
    """The fields of a small record of an entity of which nothing but the name is known."""
    words = set(reading.collection.split("_"))
    text: Json = {"type": "string"}
    number: Json = {"type": "number"}
    stamp: Json = {"type": "string", "format": "date-time"}
    for names, fields in _NATURAL:
        if words & names:
            return {
                name: {"integer": {"type": "integer"}, "number": number, "time": stamp}.get(shape, text)
                for name, shape in fields
            }
    if reading.verb == "act" and not reading.writes:
        return {
            "id": text,
            "result": {"type": "number"} if words & {"sum", "total"} else text,
            "score": number,
        }
    key = "name" if "name" in primary and "id" not in primary else "id"
    return {key: text, "name": text, "status": text, "created_at": stamp}


_NATURAL: Final[tuple[tuple[frozenset[str], tuple[tuple[str, str], ...]], ...]] = (
    (frozenset({"weather", "forecast", "temperature"}),
     (("location", "text"), ("temperature", "number"), ("humidity", "integer"), ("observed_at", "time"))),
    (frozenset({"price", "quote", "rate", "cost", "fee", "balance"}),
     (("amount", "number"), ("currency", "text"), ("updated_at", "time"))),
    (frozenset({"count", "total", "stats", "statistics", "stat", "metric", "metrics", "usage"}),
     (("count", "integer"), ("period_start", "time"), ("period_end", "time"))),
    (frozenset({"user", "person", "contact", "member", "customer", "profile", "employee"}),
     (("id", "text"), ("full_name", "text"), ("email", "text"), ("status", "text"), ("created_at", "time"))),
    (frozenset({"file", "document", "image", "photo", "pdf", "attachment", "screenshot", "download"}),
     (("id", "text"), ("filename", "text"), ("size", "integer"), ("url", "text"), ("updated_at", "time"))),
    (frozenset({"url", "link", "page", "website", "result", "web", "article", "news", "google", "search"}),
     (("id", "text"), ("title", "text"), ("url", "text"), ("summary", "text"), ("published_at", "time"))),
    (frozenset({"issue", "ticket", "task", "post", "comment", "message", "note", "thread", "conversation"}),
     (("id", "text"), ("title", "text"), ("body", "text"), ("status", "text"), ("created_at", "time"))),
    (frozenset({"event", "meeting", "appointment", "booking", "reservation", "calendar"}),
     (("id", "text"), ("title", "text"), ("location", "text"), ("starts_at", "time"), ("status", "text"))),
    (frozenset({"order", "payment", "invoice", "transaction", "refund", "charge", "subscription"}),
     (("id", "text"), ("amount", "number"), ("currency", "text"), ("status", "text"), ("created_at", "time"))),
    (frozenset({"product", "item", "article", "listing"}),
     (("id", "text"), ("name", "text"), ("price", "number"), ("currency", "text"), ("quantity", "integer"))),
)  # fmt: skip


def _opened(given: Json, depth: int = 0) -> Json:
    """The arguments with envelopes (``body``, ``data``, ``attributes``) replaced by what is in them."""
    opened: Json = {}
    for name, value in given.items():
        if isinstance(value, dict) and norm(name) in _ENVELOPES and depth < 3:
            opened.update(_opened(value, depth + 1))
        else:
            opened[name] = value
    return opened


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""


def _mentions(record: Record, value: Any) -> bool:
    said = str(value).lower()
    return any(said in str(held).lower() for held in record.fields.values())


def _paging(arguments: Json) -> tuple[int, int]:
    """(pages to skip, records per page) that the arguments ask for."""
    size, page = MAX_LISTED, 0
    for name, value in arguments.items():
        key = norm(name)
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        if (
            key in {"limit", "perpage", "pagesize", "maxresults", "count", "top", "take", "size"}
            and value > 0
        ):
            size = min(value, MAX_LISTED)
        if key in {"page", "pagenumber"} and value > 1:
            page = value - 1
    return page, size
