"""Filling a tool's arguments while planning: from earlier observations, from what the user knows, or fixed.

Every value comes from somewhere that the assistant can read later: a path in an observation, a fact that
the user tells, or the tool's own schema.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.blueprint import Constant, Fact, FromFact, FromStep, ListOf, ObjectOf, Source
from schemas.catalog import Edge, ToolSpec
from services.sim.json_schema import MISSING, at, options, plain, property_schema, resolve
from services.sim.spelling import readable, spell
from services.sim.wording import plural
from services.worlds.naming import is_control
from services.worlds.words import singular
from services.worlds.world import Meaning, World

Json = dict[str, Any]
Path = tuple[str | int, ...]

MAX_FACT_CHARACTERS: Final = 90
MAX_LEAVES: Final = 6
MAX_OBSERVED: Final = 200
MAX_OBSERVED_DEPTH: Final = 5
MAX_ITEMS: Final = 4
MAX_DEPTH: Final = 3
MAX_CHOICES: Final = 12
LONG_CODE: Final = 24
"""Characters of an opaque code from which on no person would say it by heart."""
OPAQUE: Final = re.compile(r"(?=.*\d)[0-9a-zA-Z+/=_:.-]+")
TECHNICAL: Final = re.compile(
    r"(^|_)(page|cursor|offset|skip|fields?|expand|embed|include\w*|format|alt|pretty\w*|callback|locale|lang"
    r"|verbose|dry_?run|e?tag|accept\w*|content_type|user_agent|session\w*|trace\w*|timeout\w*|sort\w*"
    r"|order_?by|api_?version|x|idempotency\w*|request_id|client_request\w*|nonce|upload_?type|quota\w*|wsdl"
    r"|async|no_cache|debug|raw|xgafv|wait\w*)($|_)|^(order|direction|version|after|before|start|max_results)$"
)
SPOKEN: Final = frozenset(
    [
        "status",
        "state",
        "type",
        "category",
        "kind",
        "date",
        "day",
        "month",
        "year",
        "name",
        "title",
        "description",
        "query",
        "search",
        "keyword",
        "q",
        "keywords",
        "city",
        "country",
        "region",
        "currency",
        "amount",
        "quantity",
        "priority",
        "email",
        "tag",
        "tags",
        "price",
        "comment",
        "note",
        "notes",
        "message",
        "subject",
        "reason",
        "color",
        "colour",
        "size",
        "language",
        "due",
        "deadline",
        "location",
        "address",
        "phone",
        "company",
        "brand",
        "gender",
        "age",
        "rating",
        "genre",
        "topic",
        "term",
        "text",
        "label",
        "birthday",
        "duration",
        "distance",
        "budget",
        "discount",
        "department",
        "role",
        "summary",
        "memo",
        "from",
        "to",
        "since",
        "until",
        "deliver",
        "check",
        "checkin",
        "checkout",
        "guests",
        "adults",
        "passengers",
        "seats",
        "origin",
        "destination",
        "departure",
        "arrival",
        "interval",
        "period",
    ]
)


@dataclass(frozen=True, slots=True)
class Item:
    """Which element of which list an argument was read from: ``index`` of ``length`` at ``path``."""

    step: str
    path: Path
    index: int
    length: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A step of the plan being made, already called: its observation is a real one."""

    id: str
    tool: ToolSpec
    meaning: Meaning
    sources: dict[str, Source]
    values: Json
    observation: Any
    wave: int
    needs: tuple[str, ...]
    items: tuple[Item, ...]
    after: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    """Names of the facts that were first used here."""


@dataclass
class Filling:
    """Arguments of one step while they are being filled."""

    sources: dict[str, Source] = field(default_factory=dict)
    values: Json = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)


class Unfillable(ValueError):  # noqa: N818  (said of an argument; caught within the planner)
    """No value that a person could tell or a tool could give."""


@dataclass
class Filler:
    """Fills arguments in one state of the world.

    ``facts`` are those that the plan already has; ``fresh``: values that the plan already uses are not
    used again (for two calls of the same tool side by side), but for those that only give the context;
    where the tool ``creates`` something, everything is said anew.
    """

    world: World
    state: Json
    tool: ToolSpec
    labels: dict[str, str]
    facts: dict[str, Fact]
    rng: random.Random
    fresh: bool = False
    creates: bool = False
    renamed: dict[str, str] = field(default_factory=dict)
    """New labels of facts that the plan already has."""

    def fill(self, earlier: Sequence[Planned], edges: Sequence[Edge], optional: int) -> Filling:
        """All required arguments, and up to ``optional`` others that a user would mention.

        ``earlier`` are the steps whose observations may be read, the most likely first.

        Raises:
            Unfillable: when a required argument has no source.
        """
        filling = Filling()
        root = resolve(self.tool.input_schema)
        required = required_of(root)
        self.read_observations(filling, root, earlier, edges, required)
        for name in required:
            if name not in filling.sources:
                schema = property_schema(root, name, root)
                filling.sources[name], filling.values[name] = self.value(filling, (name,), schema, root)
        for name in self.mentionable(root, required)[:optional]:
            if name not in filling.sources:
                self.fill_optional(filling, name, root)
        return filling

    def fill_optional(self, filling: Filling, name: str, root: Json) -> None:
        """An optional argument, left out where it has no plain value."""
        schema = property_schema(root, name, root)
        if any(option.get("type") in ("object", "boolean") for option in options(schema, root)):
            return
        known = set(filling.facts)
        try:
            source, value = self.value(filling, (name,), schema, root)
        except Unfillable:
            return
        if isinstance(source, Constant):
            for extra in set(filling.facts) - known:
                del filling.facts[extra]
            return
        filling.sources[name], filling.values[name] = source, value

    def mentionable(self, root: Json, required: Sequence[str]) -> list[str]:
        """Optional parameters that a user might speak of, in seeded order."""
        properties = root.get("properties")
        names = [
            name
            for name in (properties if isinstance(properties, dict) else ())
            if name not in required and is_spoken(name) and not is_technical(name)
        ]
        self.rng.shuffle(names)
        return names

    def read_observations(
        self,
        filling: Filling,
        root: Json,
        earlier: Sequence[Planned],
        edges: Sequence[Edge],
        required: Sequence[str],
    ) -> None:
        """Arguments that the catalog's edges take from an earlier observation; of one list item where it can.

        Required parameters are read wherever an edge allows; an optional one only where nothing required
        can be.
        """
        name = f"{self.tool.server}/{self.tool.name}"
        indices: dict[tuple[str, Path], int] = {}
        optional_read = False
        for step in earlier:
            source = f"{step.tool.server}/{step.tool.name}"
            found = [edge for edge in edges if edge.source == source and edge.target == name]
            found.sort(
                key=lambda edge: (edge.parameter not in required, -edge.confidence, len(edge.path), edge.path)
            )
            for edge in found:
                parameter = edge.parameter
                wanted = parameter in required or (not filling.needs and not optional_read)
                if parameter in filling.sources or not wanted or not property_exists(root, parameter):
                    continue
                for path, items in self.concrete(step, edge.path, indices):
                    read = self.read_value(step, path, property_schema(root, parameter, root), root)
                    if read is None:
                        continue
                    filling.sources[parameter], filling.values[parameter] = read
                    filling.needs.append(step.id)
                    filling.items.extend(item for item in items if item not in filling.items)
                    indices.update({(item.step, item.path): item.index for item in items})
                    optional_read = optional_read or parameter not in required
                    break
        for parameter in required:
            if parameter not in filling.sources:
                self.read_known(filling, root, parameter, earlier, edges, indices)

    def read_known(
        self,
        filling: Filling,
        root: Json,
        parameter: str,
        earlier: Sequence[Planned],
        edges: Sequence[Edge],
        indices: dict[tuple[str, Path], int],
    ) -> None:
        """A parameter whose valid values an earlier observation shows, although no edge says where.

        Only of steps that an edge connects with this tool, or that show the value under its own name.
        """
        known = {
            plain(value) for value in self.world.known(self.state, self.tool.name, parameter, filling.values)
        }
        if not known:
            return
        schema = property_schema(root, parameter, root)
        target = f"{self.tool.server}/{self.tool.name}"
        for step in earlier:
            source = f"{step.tool.server}/{step.tool.name}"
            joined = any(edge.source == source and edge.target == target for edge in edges)
            places = [
                (path, value)
                for path, value in scalars(step.observation)
                if plain(value) in known and (joined or path[-1] == parameter)
            ]
            kept = [
                path
                for path, _ in places
                if all(
                    indices.get((step.id, path[:at_]), part) == part
                    for at_, part in enumerate(path)
                    if isinstance(part, int)
                )
            ]
            first = [path for path in kept if path[-1] == kept[0][-1]]
            self.rng.shuffle(first)
            for path in first:
                read = self.read_value(step, path, schema, root)
                if read is None:
                    continue
                filling.sources[parameter], filling.values[parameter] = read
                filling.needs.append(step.id)
                for place, index in enumerate(path):
                    if isinstance(index, int):
                        length = len(at(step.observation, path[:place]))
                        filling.items.append(Item(step.id, path[:place], index, length))
                        indices[step.id, path[:place]] = index
                return

    def concrete(
        self, step: Planned, path: Sequence[str], indices: dict[tuple[str, Path], int]
    ) -> Iterable[tuple[Path, list[Item]]]:
        """Concrete paths for one with ``*`` in it; an index already chosen for the same list is kept."""
        for _ in range(3 if "*" in path else 1):
            concrete: list[str | int] = []
            items: list[Item] = []
            for part in path:
                here = at(step.observation, concrete)
                if isinstance(here, list):
                    if not here:
                        return
                    place = (step.id, tuple(concrete))
                    index = indices.get(place)
                    if index is None:
                        index = (
                            0
                            if self.rng.random() < 0.55 and not self.fresh
                            else self.rng.randrange(min(len(here), 4))
                        )
                    if index >= len(here):
                        return
                    items.append(Item(step.id, tuple(concrete), index, len(here)))
                    concrete.append(index)
                    if part != "*":
                        concrete.append(part)
                elif part != "*":
                    concrete.append(part)
            yield tuple(concrete), items

    def read_value(self, step: Planned, path: Path, schema: Json, root: Json) -> tuple[Source, Any] | None:
        """The value at a path as an argument; as a list of one where the parameter takes a list."""
        value = at(step.observation, path)
        source = FromStep(step=step.id, path=path)
        if self.fits(value, schema, root):
            return source, value
        if any(option.get("type") == "array" for option in options(schema, root)) and not isinstance(
            value, list
        ):
            if self.fits(value, property_schema(schema, 0, root), root):
                return ListOf(items=(source,)), [value]
        return None

    def fits(self, value: Any, schema: Json, root: Json) -> bool:
        """Whether an observed value can be this argument, and was not said by the user before."""
        if value is MISSING or value is None or isinstance(value, bool | dict) or value in ("", []):
            return False
        kinds = {option.get("type") for option in options(schema, root)}
        for kind, types in (("string", str), ("integer", int), ("number", int | float), ("array", list)):
            if kind in kinds and isinstance(value, types):
                break
        else:
            if kinds and None not in kinds:
                return False
        if isinstance(value, list):
            return all(isinstance(item, str | int | float) for item in value)
        return all(
            not isinstance(fact.value, list) and plain(fact.value) != plain(value)
            for fact in self.facts.values()
        )

    def value(self, filling: Filling, path: Path, schema: Json, root: Json) -> tuple[Source, Any]:
        """A source and a value for the argument at ``path``, from the user or from the schema.

        Raises:
            Unfillable: when there is neither.
        """
        for option in (schema, *options(schema, root)):
            if "const" in option:
                return Constant(value=option["const"]), option["const"]
            members = option.get("enum")
            if isinstance(members, list) and len(members) == 1:
                return Constant(value=members[0]), members[0]
            if "default" in option and option["default"] is not None and self.rng.random() < 0.15:
                return Constant(value=option["default"]), option["default"]
        kinds = [option.get("type") for option in options(schema, root)]
        if is_technical(str(path[-1])) or "boolean" in kinds:
            for option in (schema, *options(schema, root)):
                if option.get("default") is not None:
                    return Constant(value=option["default"]), option["default"]
        if len(path) == 1:
            return self.top_level(filling, str(path[0]), schema, root)
        raise Unfillable(f"{self.tool.name}: nothing to put at {path}")

    def top_level(self, filling: Filling, name: str, schema: Json, root: Json) -> tuple[Source, Any]:
        """A value of a whole parameter: one known in the state, else one that the user makes up."""
        label = self.labels.get(name) or name_words(name)
        known = list(self.world.known(self.state, self.tool.name, name, filling.values))
        if not self.fresh or not (known or self.creates):
            for fact in (*self.facts.values(), *filling.facts.values()):
                if fact.label == label and readable(fact.value, schema, root) and same_kind(fact, name):
                    return FromFact(fact=fact.name), fact.value
        self.rng.shuffle(known)
        for value in known[:MAX_CHOICES]:
            if self.tellable(filling, value, schema, root):
                return self.tell(filling, name, label, value), value
        for _ in range(4):
            value = self.world.invent(self.tool.name, name, self.rng)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if self.tellable(filling, value, schema, root):
                return self.tell(filling, name, label, value), value
            if isinstance(value, dict | list) and value:
                try:
                    return self.compound(filling, (name,), value, schema, root, label)
                except Unfillable:
                    continue
        raise Unfillable(f"{self.tool.name}: nothing that a user would say for {name}")

    def compound(
        self, filling: Filling, path: Path, value: Any, schema: Json, root: Json, label: str
    ) -> tuple[Source, Any]:
        """An invented object or list, taken apart into facts for its leaves.

        Raises:
            Unfillable: when it is too deep, too wide, or has a leaf that nobody could tell.
        """
        if len(path) > MAX_DEPTH or len(filling.facts) > MAX_LEAVES:
            raise Unfillable(f"{self.tool.name}: {path} is too deep to be told")
        if isinstance(value, dict):
            fields: dict[str, Source] = {}
            kept: Json = {}
            required = set(required_of(schema))
            for key, part in value.items():
                if key not in required and (len(fields) >= 2 or is_technical(key)):
                    continue
                part_label = (
                    name_words(key) if len(name_words(key).split()) > 1 else f"{label} {name_words(key)}"
                )
                fields[key], kept[key] = self.compound(
                    filling, (*path, key), part, property_schema(schema, key, root), root, part_label
                )
            if not fields:
                raise Unfillable(f"{self.tool.name}: {path} has no fields")
            return ObjectOf(fields=fields), kept
        if isinstance(value, list) and value and isinstance(value[0], dict):
            item = property_schema(schema, 0, root)
            source, kept_item = self.compound(filling, (*path, 0), value[0], item, root, label)
            return ListOf(items=(source,)), [kept_item]
        try:
            return self.value(filling, (*path, ""), schema, root)
        except Unfillable:
            if not self.tellable(filling, value, schema, root):
                raise
            return self.tell(filling, "_".join(str(part) for part in path), label, value), value

    def tellable(self, filling: Filling, value: Any, schema: Json, root: Json) -> bool:
        """Whether a person could say the value, so that it is read back as itself and as nothing else."""
        if not readable(value, schema, root):
            return False
        text = spell(value)
        if len(text) > MAX_FACT_CHARACTERS or '"' in text or text.startswith(("{", "[", "<")):
            return False
        if any(
            len(word) > LONG_CODE and OPAQUE.fullmatch(word) and "@" not in word and "://" not in word
            for word in text.split()
        ):
            if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
                return False
        said = [*self.facts.values(), *filling.facts.values()]
        return all(not clash(text, spell(fact.value)) for fact in said)

    def relabel(self, name: str, label: str) -> None:
        """A fact of the plan under another label."""
        self.renamed[name] = label

    def tell(self, filling: Filling, name: str, label: str, value: Any) -> FromFact:
        """A new fact of the user with this value."""
        taken = {**self.facts, **filling.facts}
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name}_{number}", number + 1
        if isinstance(value, list) and len(value) == 1 and plural(label):
            head, _, last = label.rpartition(" ")
            label = f"{head} {'ID' if last == 'IDs' else singular(last)}".strip()
        labels = {fact.label for fact in taken.values()}
        former = next((fact for fact in self.facts.values() if fact.label == label), None)
        if former is not None and self.fresh and f"first {label}" not in labels:
            # Two calls of one tool side by side: the user speaks of the first and the second value.
            self.relabel(former.name, f"first {label}")
            labels.add(label)
        if label in labels or f"first {label}" in labels:
            label = next(
                (
                    form
                    for form in (f"second {label}", f"third {label}", f"fourth {label}")
                    if form not in labels
                ),
                f"{label} {number}",
            )
        filling.facts[unique] = Fact(name=unique, label=label, value=value)
        return FromFact(fact=unique)


def scalars(observation: Any) -> Iterable[tuple[Path, Any]]:
    """Paths and values of an observation's strings and numbers, level by level; a few items of each list."""
    level: list[tuple[Path, Any]] = [((), observation)]
    count = 0
    for _ in range(MAX_OBSERVED_DEPTH):
        below: list[tuple[Path, Any]] = []
        for path, value in level:
            if isinstance(value, dict):
                below.extend(((*path, key), part) for key, part in value.items())
            elif isinstance(value, list):
                below.extend(((*path, index), part) for index, part in enumerate(value[:MAX_ITEMS]))
            elif isinstance(value, str | int | float) and not isinstance(value, bool) and path:
                yield path, value
                count += 1
                if count >= MAX_OBSERVED:
                    return
        level = below


def clash(one: str, other: str) -> bool:
    """Whether two told texts could be mistaken for one another: equal, or one a whole word of the other."""
    short, long = sorted((one.lower(), other.lower()), key=len)
    return re.search(rf"(?<![\w]){re.escape(short)}(?![\w])", long) is not None


def same_kind(fact: Fact, name: str) -> bool:
    """Whether a fact was told for a parameter of this name (a number is appended to repeated names)."""
    return re.sub(r"_\d+$", "", fact.name) == name


def required_of(schema: Json) -> list[str]:
    """Names of the required properties."""
    required = schema.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def property_exists(schema: Json, name: str) -> bool:
    """Whether the object schema has a property of this name."""
    properties = schema.get("properties")
    return isinstance(properties, dict) and name in properties


def snake(name: str) -> str:
    """An identifier in snake case."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def is_technical(name: str) -> bool:
    """Whether a parameter is a technicality that no user speaks of (paging, formats, headers, secrets)."""
    return is_control(name) or TECHNICAL.search(snake(name)) is not None or name.startswith(("$", "."))


def is_spoken(name: str) -> bool:
    """Whether a user would think of mentioning an optional parameter of this name."""
    return any(word in SPOKEN for word in snake(name).split("_"))


def name_words(name: str) -> str:
    """A parameter's name as a user says it: "customerId" → "customer ID"."""
    words = snake(name).replace("_", " ")
    return re.sub(r"\b(id|url|ip|sku|vat|iban|uuid)\b", lambda match: match.group(1).upper(), words)
