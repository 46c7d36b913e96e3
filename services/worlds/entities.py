"""Which kinds of record a server has: read off the definitions of all its tools together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from schemas.catalog import Json, ToolSpec
from services.worlds.fitting import kind, resolved
from services.worlds.meaning import Reading
from services.worlds.naming import HANDLE_WORDS, ID_WORDS, parameters, reference, required, turned
from services.worlds.shapes import Slot, fields_of, slot
from services.worlds.words import norm, spoken, tokens


@dataclass(slots=True)
class Collection:
    """One kind of record.

    ``identifiers`` are the names and schemas under which tools take or show its id, ``primary`` their
    normalized names; ``handles`` are other fields that identify it. ``owned``: a tool works on it, rather
    than only naming it. ``single``: there is one per parent. ``addressed``: its records can be told apart.
    ``shown`` are the fields that each tool shows, by normalized name; ``spellings`` remembers how names
    are kept.
    """

    name: str
    identifiers: list[tuple[str, Json]] = field(default_factory=list)
    primary: set[str] = field(default_factory=set)
    handles: dict[str, tuple[str, Json]] = field(default_factory=dict)
    fields: dict[str, tuple[str, Json]] = field(default_factory=dict)
    parents: list[str] = field(default_factory=list)
    owned: bool = False
    single: bool = False
    addressed: bool = False
    lineage: tuple[str, ...] = ()
    shown: list[dict[str, tuple[str, Json]]] = field(default_factory=list)
    spellings: dict[str, str] = field(default_factory=dict)

    def spelling(self, name: str) -> str:
        """The normalized name under which a field is kept: the ``digest`` of an image, called imageDigest."""
        found = self.spellings.get(name)
        if found is None:
            short = norm(stripped(name, self))
            found = short if short in self.handles and norm(name) not in self.primary else norm(name)
            self.spellings[name] = found
        return found

    @property
    def noun(self) -> str:
        """The entity as people call it."""
        return spoken(self.name.split("_"))

    @property
    def last(self) -> str:
        """The entity's last word, by which parameters often call it."""
        return self.name.rpartition("_")[2]


class Entities:
    """The collections of one server, and where each tool's results hold their records.

    ``needed`` are the normalized names of all parameters: fields of these names are worth showing.
    """

    def __init__(self, tools: Sequence[ToolSpec], readings: Mapping[str, Reading]) -> None:
        self.collections: dict[str, Collection] = {}
        self.slots: dict[str, Slot] = {}
        self.needed: set[str] = set()
        for spec in tools:
            self._learn(spec, readings[spec.name])
        self._refer(tools, readings)
        for own in self.collections.values():
            _settle(own)

    def _at(self, name: str) -> Collection:
        return self.collections.setdefault(name, Collection(name))

    def _learn(self, spec: ToolSpec, reading: Reading) -> None:
        names = parameters(spec)
        own = self._at(reading.collection)
        own.owned = True
        own.single = own.single or reading.single
        own.addressed = own.addressed or reading.key is not None or reading.verb in {"list", "create"}
        own.lineage = own.lineage or reading.lineage
        if reading.key is not None:
            own.identifiers.append((reading.key, _element(names[reading.key])))
        lineage = reading.lineage[:-1]
        for parameter, parent in reading.parents:
            self._at(parent).identifiers.append((parameter, names[parameter]))
            if reading.lineage:
                self._at(parent).lineage = self._at(parent).lineage or lineage
        chain = [parent for _, parent in reading.parents]
        for parent in chain:
            if parent != own.name and parent not in own.parents and not self._descends(parent, own.name):
                own.parents.append(parent)
        for outer, inner in pairwise(chain):
            if outer != inner and outer not in self._at(inner).parents and not self._descends(outer, inner):
                self._at(inner).parents.append(outer)
        self.needed.update(norm(name) for name in names)
        if isinstance(spec.output_schema, dict):
            place = slot(spec.output_schema, reading)
            self.slots[spec.name] = place
            found = fields_of(place.record, spec.output_schema)
            own.shown.append({norm(name): (name, shape) for name, shape in found.items()})
            for name, shape in found.items():
                shape = _element(shape) if norm(name) == "id" else shape
                if reading.verb != "act" and kind(shape) not in {"object", "array"}:
                    own.fields.setdefault(norm(name), (name, shape))

    def _refer(self, tools: Sequence[ToolSpec], readings: Mapping[str, Reading]) -> None:
        """Learn how other tools name records; what a tool cannot do without, there must be."""
        found = [
            (parameter, target, spec)
            for spec in tools
            for parameter, target in readings[spec.name].references
        ]
        found.sort(key=lambda one: one[0] not in required(one[2]))
        for parameter, target, spec in found:
            if target in self.collections or parameter in required(spec):
                self._at(target).identifiers.append((parameter, _element(parameters(spec)[parameter])))

    def _descends(self, name: str, ancestor: str) -> bool:
        """Whether ``name`` already belongs, over some steps, to ``ancestor``."""
        todo, seen = [name], [name]
        while todo:
            for parent in self._at(todo.pop()).parents:
                if parent == ancestor:
                    return True
                if parent not in seen:
                    seen.append(parent)
                    todo.append(parent)
        return False

    def target(self, name: str, holder: str = "") -> str | None:
        """The collection that a field or parameter of this name refers to, if the server has it."""
        found = reference(name, {})
        if found is None:
            return None
        if found in self.collections:
            return None if found == holder else found
        for own in self.collections:
            if own != holder and (own.endswith(f"_{found}") or found.endswith(f"_{own}")):
                return own
        return None


def _settle(own: Collection) -> None:
    """Decide which names hold the id of a record and which are other handles."""
    shown = own.fields.get("id") or own.fields.get(f"{norm(own.name)}id")
    if shown is not None:
        own.identifiers.append(shown)
    by_id = [
        (name, shape)
        for name, shape in own.identifiers
        if turned(tokens(name))[-1:] and (turned(tokens(name))[-1] in ID_WORDS)
    ]
    leading = by_id or own.identifiers[:1]
    own.primary = {*(norm(name) for name, _ in leading), f"{norm(own.name)}id", f"{own.last}id"}
    for name, _ in leading:
        words, short = tokens(name), norm(stripped(name, own))
        if not by_id or short in ID_WORDS:  # the "uid" of a "collection_uid", the "name" of a "database_name"
            own.primary.add(short)
        if not by_id and words[-1:] and words[-1] in HANDLE_WORDS:
            own.primary.add(words[-1])
        if norm(name) == norm(own.name):
            own.primary.add(own.last)
    if by_id or not own.identifiers:
        own.primary.add("id")
    for names in own.shown:
        if not names.keys() & own.primary:
            own.primary.update([name for name in ("uuid", "guid", "gid", "sid") if name in names][:1])
    for name, shape in own.identifiers:
        spelt = stripped(name, own)
        strict = "pattern" in shape and "pattern" not in own.handles.get(norm(spelt), ("", {}))[1]
        if norm(name) not in own.primary and (norm(spelt) not in own.handles or strict):
            own.handles[norm(spelt)] = (spelt, shape)
    own.identifiers = [one for one in own.identifiers if norm(one[0]) in own.primary]
    for names in own.shown:
        own.identifiers += [
            one for key, one in names.items() if key in own.primary and kind(one[1]) != "array"
        ]


def stripped(parameter: str, own: Collection) -> str:
    """The parameter's name without the entity's: ``user_name`` of a user is its ``name``."""
    words = tokens(parameter)
    entity = tuple(own.name.split("_"))
    for size in (len(entity), 1):
        if len(words) > size and words[:size] == entity[-size:]:
            return "_".join(words[size:])
    return parameter


def _element(schema: Json) -> Json:
    """The schema of one identifier: the items' where the parameter takes several."""
    return resolved(schema.get("items", {})) if kind(schema) == "array" else schema
