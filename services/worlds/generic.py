"""A server simulated from its tools' definitions alone: what each verb does to its records.

Ours, not the paper's. Created things can be fetched, listed and changed and are gone after a delete;
identical reads agree; unknown ids fail with ``not_found``, as a real service would answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.catalog import Json, ToolSpec
from services.worlds.addressing import Addressing
from services.worlds.arguments import filtered, paging, scalar, written
from services.worlds.fitting import cast, copied, fits
from services.worlds.machine import ToolError
from services.worlds.meaning import Reading, read
from services.worlds.naming import parameters, shared_prefix
from services.worlds.records import Model, Record
from services.worlds.rendering import digest
from services.worlds.results import MAX_LISTED, Results
from services.worlds.siblings import agreed
from services.worlds.suggestions import Suggestions
from services.worlds.verbs import participle
from services.worlds.words import article, countable, norm, plural

MAX_ACTIONS: Final = 50
MAX_RECORDS: Final = 200
MAX_NESTING: Final = 6
_PEOPLE: Final = frozenset(("user", "account", "member", "admin", "subscriber"))
_LOGINS: Final = frozenset(("email", "username", "login"))
_ONCE: Final = frozenset(
    ("cancel", "archive", "close", "publish", "activate", "deactivate", "enable", "disable", "lock", "unlock",
     "approve", "reject", "void", "complete", "resolve", "suspend")
)  # fmt: skip
"""Actions that a record takes once: it is then in their state already."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call under way: ``state`` is its own copy, ``parents`` the records that it names as owners."""

    state: Json
    tool: str
    reading: Reading
    arguments: Json
    parents: dict[str, str]

    @property
    def collection(self) -> str:
        """The collection that the tool works on."""
        return self.reading.collection

    @property
    def keyed(self) -> bool:
        """Whether the call names the record itself."""
        return self.reading.key is not None and self.arguments.get(self.reading.key) is not None


class SimulatedServer:
    """One server of a world without a hand-written machine."""

    def __init__(self, server: str, tools: Sequence[ToolSpec], seed: int) -> None:
        prefix = shared_prefix(tools)
        self.readings = agreed(tools, {spec.name: read(spec, prefix) for spec in tools})
        self.model = Model(server, tools, self.readings, seed)
        named = {spec.name: spec for spec in tools}
        self.address = Addressing(self.model)
        self.results = Results(self.model, named, self.readings)
        schemas = {spec.name: parameters(spec) for spec in tools}
        self.suggestions = Suggestions(self.model, named, self.readings, schemas)

    def initial(self) -> Json:
        """The state before the first call."""
        made: Json = copied(self.model.starting)
        return made

    def writes(self, tool: str) -> bool:
        """Whether the tool changes state."""
        return self.readings[tool].writes

    def known(self, state: Json, tool: str, parameter: str, chosen: Json) -> list[Any]:
        """Values of a parameter that are valid in this state, beside the arguments already chosen."""
        return self.suggestions.known(state, tool, parameter, chosen)

    def invent(self, tool: str, parameter: str, rng: random.Random) -> Any:
        """A value that a user would make up."""
        return self.suggestions.invent(tool, parameter, rng)

    def call(self, state: Json, tool: str, arguments: Json) -> Any:
        """The result of a call; ``state`` is the caller's own copy and is changed in place.

        Raises:
            ToolError: not_found, conflict or limit_exceeded.
        """
        reading = self.readings[tool]
        parents = self.address.parents(state, reading, arguments)
        self.address.references(state, reading, arguments)
        call = Call(state, tool, reading, arguments, parents)
        verbs = {
            "list": self._list,
            "search": self._list,
            "get": self._get,
            "create": self._create,
            "update": self._update,
            "delete": self._delete,
            "act": self._act,
        }
        return verbs[reading.verb](call)

    # what each verb does

    def _list(self, call: Call) -> Any:
        own = self.model.collections[call.collection]
        if call.reading.verb == "search" and not own.addressed:
            records = [self._computed(call, at) for at in range(3)]
            return self._show(call, records, len(records))
        wanted = self._addressed(call) if call.keyed else None
        found = [
            self.model.record(call.state, call.collection, key)
            for key in call.state["records"].get(call.collection, {})
            if self.address.belongs(call.state, call.collection, key, call.parents)
            and (wanted is None or key in wanted)
        ]
        found = filtered(self.model, call.reading, found, call.arguments)
        page, size = paging(call.arguments)
        all_asked = page == 0 and size == MAX_LISTED
        shown = found if all_asked else found[page * size : page * size + size]
        return self._show(call, shown, len(found))

    def _get(self, call: Call) -> Any:
        if call.keyed:
            return self._show_keys(call, self._addressed(call))
        kept = any(one.collection == call.collection and one.writes for one in self.readings.values())
        if written(call.reading, call.arguments) and not kept:
            return self._show(call, [self._computed(call)], 1)
        return self._show_keys(call, [self._only(call)])

    def _create(self, call: Call) -> Any:
        own = self.model.collections[call.collection]
        records = call.state["records"].setdefault(call.collection, {})
        if len(records) >= MAX_RECORDS:
            raise ToolError("limit_exceeded", f"No more than {MAX_RECORDS} {plural(own.noun)} can be kept.")
        given = written(call.reading, call.arguments)
        chosen = next((str(value) for name, value in given.items() if self._is_id(call, name, value)), None)
        if chosen is not None and self.model.find(call.state, call.collection, chosen) is not None:
            raise _taken(own.noun, "ID", chosen)
        self._unique(call, given, ())
        linked = {
            collection: str(call.arguments[parameter])
            for parameter, collection in call.reading.references
            if collection in self.model.collections and scalar(call.arguments.get(parameter))
        }
        key = chosen or self._fresh(call)
        self._put(call, key, given, {**linked, **call.parents})
        return self._show_keys(call, [key])

    def _update(self, call: Call) -> Any:
        changes = written(call.reading, call.arguments)
        if call.keyed:
            value = call.arguments[call.reading.key or ""]
            missing = scalar(value) and self.model.find(call.state, call.collection, value) is None
            if call.reading.upsert and missing:
                self._put(call, str(value), changes, call.parents)
                return self._show_keys(call, [str(value)])
            keys = self._addressed(call)
        else:
            only = self.address.only(
                call.state, call.reading, call.parents, written(call.reading, call.arguments)
            )
            if only is None:
                return self._create(call)
            keys = [only]
        self._unique(call, changes, keys)
        for key in keys:
            self._overlay(call.collection, call.state["records"][call.collection][key], changes)
        return self._show_keys(call, keys)

    def _delete(self, call: Call) -> Any:
        if call.keyed:
            keys = self._addressed(call)
        elif call.reading.single:
            keys = [self._only(call)]
        else:
            keys = [
                key
                for key in call.state["records"].get(call.collection, {})
                if self.address.belongs(call.state, call.collection, key, call.parents)
            ]
        result = self._show_keys(call, keys)
        for key in keys:
            _remove(call.state, call.collection, key, 0)
        return result

    def _act(self, call: Call) -> Any:
        if call.reading.writes:
            actions = call.state["actions"]
            actions.append({"tool": call.tool, "arguments": call.arguments})
            del actions[:-MAX_ACTIONS]
        if not call.keyed:
            return self._show(call, [self._computed(call)], 1)
        keys = self._addressed(call)
        for key in keys if call.reading.writes else []:
            self._mark(call, key)
        return self._show_keys(call, keys)

    # records

    def _addressed(self, call: Call) -> list[str]:
        return self.address.addressed(call.state, call.reading, call.arguments, call.parents)

    def _only(self, call: Call) -> str:
        """The one record that is meant without being named."""
        only = self.address.only(
            call.state, call.reading, call.parents, written(call.reading, call.arguments)
        )
        if only is None:
            raise ToolError("not_found", f"There is no {self.model.collections[call.collection].noun}.")
        return only

    def _is_id(self, call: Call, name: str, value: Any) -> bool:
        """Whether a creating call's argument is the id that the new record is to have."""
        own = self.model.collections[call.collection]
        if not scalar(value) or norm(name) not in own.primary:
            return False
        return all(cast(str(value), shape) is not None for _, shape in own.identifiers)

    def _unique(self, call: Call, given: Json, keys: Sequence[str]) -> None:
        """Check that what tells records apart is not taken by another than ``keys``, of the same owners.

        Raises:
            ToolError: conflict.
        """
        own = self.model.collections[call.collection]
        names = own.handles.keys() | (_LOGINS if own.last in _PEOPLE else set())
        for name, value in given.items():
            spelt = own.spelling(name)
            if spelt not in names or not scalar(value):
                continue
            for key, fields in call.state["records"].get(call.collection, {}).items():
                if key in keys or not self.address.belongs(call.state, call.collection, key, call.parents):
                    continue
                if any(held == value and norm(field) == spelt for field, held in fields.items()):
                    raise _taken(own.noun, call.reading.labels.get(name, name), value)

    def _fresh(self, call: Call) -> str:
        """An id that no record has had."""
        own = self.model.collections[call.collection]
        index = 100 + call.state["created"].get(call.collection, 0)
        for attempt in range(MAX_RECORDS):
            made = self.model.identifiers.new(own, index + attempt)
            if made not in call.state["records"].get(call.collection, {}):
                return made
        return f"{self.model.identifiers.new(own, index)}-{index}"

    def _put(self, call: Call, key: str, given: Json, links: dict[str, str]) -> None:
        """A new record: what was given, over what the service adds by itself."""
        fields = self.model.stored(Record(call.collection, key, {}, links))
        self._overlay(call.collection, fields, given)
        call.state["records"].setdefault(call.collection, {})[key] = fields
        call.state["parents"].setdefault(call.collection, {})[key] = dict(links)
        call.state["created"][call.collection] = call.state["created"].get(call.collection, 0) + 1

    def _overlay(self, collection: str, fields: Json, given: Json) -> None:
        """Write arguments into stored fields, under the spelling that the record has already."""
        own = self.model.collections[collection]
        spelt = {norm(name): name for name in fields}
        for name, value in given.items():
            key = own.spelling(name)
            if norm(name) not in own.primary and value is not None:
                fields[spelt.get(key) or (own.fields[key][0] if key in own.fields else name)] = value

    def _mark(self, call: Call, key: str) -> None:
        """What an action leaves on the record: its arguments, and the state that its verb says."""
        fields = call.state["records"][call.collection][key]
        self._overlay(call.collection, fields, written(call.reading, call.arguments))
        if not call.reading.action:
            return
        said = participle(call.reading.action[0])
        known = self.model.collections[call.collection].fields
        place, shape = known.get("status") or known.get("state") or ("status", {"type": "string"})
        options = shape.get("enum")
        if isinstance(options, list):
            likely = [one for one in options if isinstance(one, str) and norm(one).startswith(norm(said)[:5])]
            said = likely[0] if likely else said
        if not fits(said, shape):
            return
        if fields.get(place) == said and call.reading.action[0] in _ONCE:
            noun = self.model.collections[call.collection].noun
            raise ToolError("conflict", f"The {noun} is already {said}.")
        fields[place] = said

    def _computed(self, call: Call, at: int = 0) -> Record:
        """A result that is no stored record: what it holds depends on the arguments alone."""
        said = {norm(name): value for name, value in written(call.reading, call.arguments).items()}
        return Record(call.collection, f"~{digest([call.tool, call.arguments, at])}", said, call.parents)

    # results

    def _show_keys(self, call: Call, keys: Sequence[str]) -> Any:
        records = [self.model.record(call.state, call.collection, key) for key in keys[:MAX_LISTED]]
        return self._show(call, records, len(keys))

    def _show(self, call: Call, records: Sequence[Record], total: int) -> Any:
        return self.results.render(call.state, call.tool, records, call.arguments, total)


def _taken(noun: str, label: str, value: Any) -> ToolError:
    """The error of a value that another record has already."""
    said = json.dumps(value, ensure_ascii=False)
    named = article(noun) if countable(noun) else noun
    return ToolError("conflict", f"{named[:1].upper()}{named[1:]} with {label} {said} already exists.")


def _remove(state: Json, collection: str, key: str, depth: int) -> None:
    """Take a record out, and those that belong to it."""
    state["records"].get(collection, {}).pop(key, None)
    state["parents"].get(collection, {}).pop(key, None)
    if depth > MAX_NESTING:
        return
    for other, links in list(state["parents"].items()):
        for child, held in list(links.items()):
            if held.get(collection) == key:
                _remove(state, other, child, depth + 1)
