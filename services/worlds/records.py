"""The records of a simulated server: which collections there are, their ids, fields and first contents.

A server's state is JSON: ``{"records": {collection: {id: {field: value}}}, "parents": {collection:
{id: {collection: id}}}, "created": {collection: count}, "actions": [...]}``. Only fields that identify
or that somebody has written are stored; all others follow from the seed, the collection, the id and the
field's name, so that every tool that shows a record shows the same values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.catalog import Json, ToolSpec
from services.worlds.entities import Entities, stripped
from services.worlds.fitting import cast, dice, fits, kind
from services.worlds.identifiers import Identifiers
from services.worlds.makers import place_in, which_place
from services.worlds.meaning import Reading
from services.worlds.values import plausible
from services.worlds.words import listed, norm

MAX_STORED: Final = 8
_TELLING: Final = frozenset(
    norm(word)
    for word in listed(
        "id uuid name title slug code key number username login email status state sku type amount total "
        "price date full_name display_name first_name last_name label subject"
    )
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as tools see it: stored fields by normalized name, and whom it belongs to."""

    collection: str
    id: str
    fields: Mapping[str, Any]
    parents: Mapping[str, str]


class Model:
    """The records of one server. ``seed`` decides all values; ``starting`` is the first state."""

    def __init__(
        self, server: str, tools: Sequence[ToolSpec], readings: Mapping[str, Reading], seed: int
    ) -> None:
        self.server = server
        self.seed = seed
        self.entities = Entities(tools, readings)
        self.collections = self.entities.collections
        self.identifiers = Identifiers(server, seed)
        self.starting = self._initial()

    def value(self, record: Record, path: Sequence[str], schema: Json, root: Json | None = None) -> Any:
        """The value of a field that is not stored: the same for the same record and path, ever."""
        context = record.collection if len(path) == 1 else path[-2]
        if place_in(path[-1], context):  # one draw for all of a record's fields, so that they agree
            parts: tuple[str, ...] = ("place", which_place(tuple(path)))
        else:
            parts = tuple(norm(part) for part in path)
        rng = dice(self.seed, self.server, record.collection, record.id, *parts)
        return plausible(path[-1], schema, rng, root=root, context=context)

    # state

    def _initial(self) -> Json:
        state: Json = {"records": {}, "parents": {}, "created": {}, "actions": []}
        done: list[str] = []
        for name in self.collections:
            self._populate(name, state, done, 0)
        return state

    def _populate(self, name: str, state: Json, done: list[str], depth: int) -> None:
        if name in done or depth > 12:
            return
        done.append(name)
        own = self.collections[name]
        for parent in own.parents:
            self._populate(parent, state, done, depth + 1)
        known = {parent: list(state["records"].get(parent, {})) for parent in own.parents}
        inner = known.get(own.parents[-1], []) if own.parents else []
        least = len(inner) if own.single and not own.addressed else 2 * len(inner)
        count = max(1 if own.single and not own.addressed else (4 if own.owned else 3), least)
        if (
            not own.owned
            and own.parents == []
            and any(name in other.parents for other in self.collections.values())
        ):
            count = 1
        elif not own.owned and own.parents:
            count = max(1, len(inner))
        records: Json = {}
        links: Json = {}
        for index in range(min(count, 6)):
            made = self.identifiers.new(own, index)
            attempt = index
            while made in records and attempt < index + 40:
                attempt += 7
                made = self.identifiers.new(own, attempt)
            if made in records:
                continue
            chosen: dict[str, str] = {}
            for parent in reversed(own.parents):
                options = known[parent]
                inherited = next(
                    (
                        state["parents"].get(near, {}).get(chosen[near], {}).get(parent)
                        for near in reversed(own.parents)
                        if near in chosen and state["parents"].get(near, {}).get(chosen[near], {}).get(parent)
                    ),
                    None,
                )
                if options:
                    chosen[parent] = inherited or options[index % len(options)]
            links[made] = {parent: chosen[parent] for parent in own.parents if parent in chosen}
            records[made] = self.stored(Record(name, made, {}, links[made]))
        state["records"][name] = records
        state["parents"][name] = links

    def stored(self, record: Record) -> Json:
        """The fields that a new record starts with: its id, its other handles, its most telling fields."""
        own = self.collections[record.collection]
        made: Json = {}
        shown = own.identifiers[0] if own.identifiers else ("id", {"type": "string"})
        named = next((own.fields[key] for key in own.fields if key in own.primary), shown)
        typed = cast(record.id, named[1])
        made[named[0] if named in own.fields.values() else stripped(named[0], own) or "id"] = (
            record.id if typed is None else typed
        )
        wanted = {**own.handles}
        for key, (name, shape) in own.fields.items():
            if key in _TELLING or key in self.entities.needed:
                wanted.setdefault(key, (name, shape))
        if not own.fields:
            wanted.setdefault("name", ("name", {"type": "string"}))
            wanted.setdefault("status", ("status", {"type": "string"}))
            wanted.setdefault("createdat", ("created_at", {"type": "string", "format": "date-time"}))
        for key, (name, shape) in wanted.items():
            if len(made) >= MAX_STORED:
                break
            if key not in own.primary and own.spelling(name) not in {norm(given) for given in made}:
                target = self.entities.target(name, record.collection)
                if target is not None:
                    continue
                if key in own.handles and kind(shape) == "string":
                    rng = dice(self.seed, self.server, record.collection, record.id, key)
                    made[name] = self.identifiers.handle(own, name, shape, rng)
                else:
                    made[name] = self.value(record, [name], shape)
        return made

    def record(self, state: Json, collection: str, key: str) -> Record:
        """A stored record as tools see it."""
        fields = state["records"][collection][key]
        return Record(
            collection,
            key,
            {norm(name): value for name, value in fields.items()},
            state["parents"].get(collection, {}).get(key, {}),
        )

    def find(self, state: Json, collection: str, value: Any) -> str | None:
        """The id of the record that this value identifies, by id or by another handle; None if unknown."""
        records: Json = state["records"].get(collection, {})
        said = str(value)
        if said in records:
            return said
        own = self.collections[collection]
        names = {
            "id",
            "uuid",
            "name",
            "slug",
            "code",
            "username",
            "login",
            "email",
            "key",
            "number",
            *own.handles,
        }
        for key, fields in records.items():
            for name, held in fields.items():
                if norm(name) in names and str(held) == said:
                    return str(key)
        return None

    def handle(self, state: Json, collection: str, key: str, parameter: str, schema: Json) -> Any:
        """The value of a parameter that identifies a record: a handle of that name, else its id."""
        own = self.collections[collection]
        record = self.record(state, collection, key)
        spelt = own.spelling(parameter)
        if spelt in own.handles:
            held = record.fields.get(spelt)
            if held is not None and fits(held, schema):
                return held
        return cast(key, schema)
