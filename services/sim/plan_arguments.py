"""Filling a tool's arguments while planning: from earlier observations, from what the user knows, or fixed.

Every value comes from somewhere that the assistant can read later: a path in an observation, a fact that
the user tells, or the tool's own schema.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.blueprint import Constant, Fact, FromFact, ListOf, ObjectOf, Source
from schemas.catalog import Edge, ToolSpec
from services.sim.json_schema import options, property_schema, resolve
from services.sim.plan_reading import Reader
from services.sim.plan_steps import Filling, Json, Path, Planned, Unfillable, required_of
from services.sim.spelling import readable, spell
from services.sim.vocabulary import OPAQUE, clash, is_spoken, is_technical, is_vague, is_wordy, name_words
from services.sim.wording import ORDINALS, plural
from services.worlds.words import singular
from services.worlds.world import World

MAX_FACT_CHARACTERS: Final = 90
MAX_LEAVES: Final = 6
MAX_DEPTH: Final = 3
MAX_CHOICES: Final = 12
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COMMON_WORDS: Final = frozenset(
    ("it", "is", "as", "at", "be", "by", "do", "he", "i", "in", "me", "my", "no", "of", "on", "or", "so",
    "to", "a", "an",
     "us", "we", "and", "the", "for", "you", "all", "are", "also", "then", "that", "this", "with", "from",
     "please")
)  # fmt: skip
"""Texts that stand in most requests anyway, so that a value of this kind could not be told from them."""
SHORT_CODE: Final = 14
LONG_CODE: Final = 24
"""Characters of an opaque code from which on no person would copy it; fewer where it mixes capitals in."""


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
        reader = Reader(self.world, self.state, self.tool, self.facts, self.rng, self.fresh)
        reader.read_observations(filling, root, earlier, edges, required)
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
            source, value = Constant(value=None), None
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
            if name not in required
            and is_spoken(name)
            and not is_technical(name)
            and is_wordy(self.labels.get(name) or name_words(name))
        ]
        self.rng.shuffle(names)
        return names

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
                if (
                    plain_label(fact.label) == label
                    and readable(fact.value, schema, root)
                    and same_kind(fact, name)
                    and (known or (not self.creates and not prose(fact.value)))
                ):
                    return FromFact(fact=fact.name), fact.value
        self.rng.shuffle(known)
        for value in known[:MAX_CHOICES]:
            vague = is_vague(Fact(name=name, label=label, value=value))
            if not vague and self.tellable(filling, value, schema, root):
                return self.tell(filling, name, label, value), value
        for _ in range(4 if self.world.sayable(self.tool.name, name) else 0):
            value = self.world.invent(self.tool.name, name, self.rng)
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if is_vague(Fact(name=name, label=label, value=value)):
                continue
            if self.tellable(filling, value, schema, root):
                return self.tell(filling, name, label, value), value
            if isinstance(value, dict | list) and value:
                before = dict(filling.facts)
                try:
                    return self.compound(filling, (name,), value, schema, root, label)
                except Unfillable:
                    filling.facts = before
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
        if text.lower() in COMMON_WORDS:
            return False
        if len(text) > MAX_FACT_CHARACTERS or '"' in text or text.startswith(("{", "[", "<")):
            return False
        if any(too_long(word) for word in text.split()):
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
        label = named_end(label, value)
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


def prose(value: Any) -> bool:
    """Whether a value is a text of its own, which nobody uses twice: three words or more."""
    return isinstance(value, str) and len(value.split()) > 2


def too_long(word: str) -> bool:
    """Whether a word is a code that no person would copy out; a UUID still passes."""
    mixed = re.search(r"[a-z][A-Z]", word) and re.search(r"[A-Z][a-z]", word) and re.search(r"\d", word)
    opaque = (
        len(word) > (LONG_CODE if not mixed else SHORT_CODE)
        and OPAQUE.fullmatch(word)
        and "@" not in word
        and "://" not in word
    )
    return bool(opaque) and UUID.fullmatch(word) is None


def named_end(label: str, value: Any) -> str:
    """A noun for what is called "from" or "to", after the kind of the value; other labels as they are."""
    ends = {"from": ("start date", "sender", "start"), "to": ("end date", "recipient", "end")}
    short = {"q": "search words", "by": "author", "in": "place", "on": "day", "at": "time", "with": "partner"}
    text = str(value)
    if label.lower() in ends:
        date, person, bound = ends[label.lower()]
        return date if re.match(r"\d{4}-\d\d-\d\d", text) else person if re.search(r"@|^\+", text) else bound
    label = re.sub(r"^or (\w+) ID$", r"ID or \1", label)
    return short.get(label.lower(), label)


def plain_label(label: str) -> str:
    """A label without the ordinal that tells it from others of its kind."""
    first, _, rest = label.partition(" ")
    return rest if first in ORDINALS and rest else label


def same_kind(fact: Fact, name: str) -> bool:
    """Whether a fact was told for a parameter of this name (a number is appended to repeated names)."""
    return re.sub(r"_\d+$", "", fact.name) == name
