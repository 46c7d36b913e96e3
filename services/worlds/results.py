"""What a simulated tool returns: its output schema filled in, else the entity's known fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.catalog import Json, ToolSpec
from services.worlds.entities import stripped
from services.worlds.fitting import fits, leaves
from services.worlds.meaning import Reading
from services.worlds.records import Model, Record
from services.worlds.rendering import Renderer
from services.worlds.verbs import participle
from services.worlds.words import norm, plural, tokens

MAX_LISTED: Final = 10
MAX_BYTES: Final = 6000
_SIZES: Final = ((12, MAX_LISTED), (8, MAX_LISTED), (6, 7), (4, 5), (4, 3), (2, 2), (1, 1))
"""(optional fields of a record, records) of a result, from the fullest to the smallest."""


class Results:
    """Results of one server's tools."""

    def __init__(self, model: Model, tools: Mapping[str, ToolSpec], readings: Mapping[str, Reading]) -> None:
        self.model = model
        self.tools = tools
        self.readings = readings

    def render(self, state: Json, tool: str, records: Sequence[Record], arguments: Json, total: int) -> Any:
        """The result that shows ``records`` of ``total``, fewer fields and records if it gets too big."""
        spec = self.tools[tool]
        place = self.model.entities.slots.get(tool)
        result: Any = None
        for width, most in _SIZES:
            shown = self._kept(records, most)
            if spec.output_schema is None or place is None:
                result = self._plain(state, tool, shown, arguments, total, width)
            else:
                renderer = Renderer(self.model, state, tool, spec.output_schema, arguments, width)
                result = renderer.result(place, shown, total)
            if len(json.dumps(result, ensure_ascii=False)) <= MAX_BYTES:
                break
        return self._more(tool, records, arguments, result)

    def _more(self, tool: str, records: Sequence[Record], arguments: Json, result: Any) -> Any:
        """The result; where it says nothing but what it was given, with the time of what was done."""
        schema = self.tools[tool].output_schema or {}
        verb = self.readings[tool].verb
        if result in ({}, []) or not records or not _repeats(result, arguments):
            return result
        if isinstance(result, str):
            done = participle("delete") if verb == "delete" else None
            return done if fits(done, schema) else self.model.value(records[0], ["content"], schema)
        if not isinstance(result, dict) or schema.get("additionalProperties") is False:
            return result
        name = {"update": "updated_at", "delete": "deleted_at"}.get(verb, "created_at")
        spelt = any(key != key.lower() for key in result)
        shape = {"type": "string", "format": "date-time"}
        stamp = self.model.value(records[0], [name], shape)
        return {**result, (name.split("_")[0] + "At" if spelt else name): stamp}

    def _kept(self, records: Sequence[Record], most: int) -> Sequence[Record]:
        """At most so many of the records, in their order; those that the run has made before all others."""
        if len(records) <= most:
            return records
        first = self.model.starting["records"]
        made = [at for at, one in enumerate(records) if one.id not in first.get(one.collection, {})][-most:]
        rest = [at for at in range(len(records)) if at not in made][: most - len(made)]
        return [records[at] for at in sorted([*made, *rest])]

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
                for name, value in state["records"].get(record.collection, {}).get(record.id, {}).items():
                    one.setdefault(name, value)
                    if norm(name) not in own.primary:  # as it was written, whatever it usually is
                        one[name] = value
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
        fields = dict(own.fields.values())
        if not fields:
            fields = natural(reading, own.primary)
            if "id" in fields and "id" not in own.primary:  # its records are told apart by a number, a slug …
                del fields["id"]
                fields = {stripped(name, own): shape for name, shape in own.identifiers[:1]} | fields
        return {"type": "object", "properties": fields}


def _repeats(result: Any, arguments: Json) -> bool:
    """Whether every value of a result stands in the arguments."""
    said = {str(value) for value in leaves(arguments)}
    return all(str(value) in said for value in leaves(result))


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
     (("id", "text"), ("amount", "number"), ("currency", "text"), ("status", "text"),
      ("created_at", "time"))),
    (frozenset({"product", "item", "article", "listing"}),
     (("id", "text"), ("name", "text"), ("price", "number"), ("currency", "text"), ("quantity", "integer"))),
)  # fmt: skip
