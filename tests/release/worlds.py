"""Simulated servers behave: what a real server can create is created, fetched, listed, changed, deleted and
fetched again, and all agree. Nothing here asks a world what it takes a tool for.
"""

from __future__ import annotations

import json
import random
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from schemas.catalog import ToolSpec
from services.worlds.naming import is_control
from services.worlds.words import norm, tokens
from services.worlds.world import Observation, World
from tests.release.bench import Bench, Findings, Skipped
from tests.support.read_results import (
    ASIDE,
    Json,
    as_type,
    blank,
    complaint,
    contradicts,
    differences,
    echoes,
    entries,
    objects,
    open_object,
    place,
    record_of,
    said,
    same,
    shown,
    strangers,
    unfit,
    wrapped,
)
from tests.support.real_servers import CATALOGS, DATA, Kind, kinds, properties, required, servers

MIN_SERVERS: Final = 50
MAX_FAILING: Final = 0.01
"""Of the kinds of thing that were created: some definitions contradict themselves in ways of their own."""
SEED: Final = 5


@dataclass(frozen=True, slots=True)
class Failure:
    """Two values that disagree, and where."""

    server: str
    tool: str
    step: str
    detail: str

    def __str__(self) -> str:
        return f"{self.server}: {self.tool}: {self.step}: {self.detail[:260]}"


@dataclass
class Tally:
    """What was tried. ``steps`` counts kinds of thing by step; ``full`` are the servers that a whole course
    went without failure on; ``failing`` are (server, creating tool) with failures.
    """

    steps: Counter[str] = field(default_factory=Counter)
    servers: int = 0
    full: set[str] = field(default_factory=set)
    failing: set[tuple[str, str]] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)


def check(bench: Bench, found: Findings) -> None:
    tally = Tally()
    for file in CATALOGS:
        if not (DATA / file).exists():
            raise Skipped(f"there is no {DATA / file}")
        try_servers(DATA / file, tally, one_in=1 if bench.full else 8)
    failed = len(tally.failing)
    wanted = bench.size(MIN_SERVERS, MIN_SERVERS // 2)
    found.say(f"{tally.servers} servers that create, {len(tally.full)} with a whole course without a failure")
    found.say(", ".join(f"{step} {count}" for step, count in sorted(tally.steps.items())))
    found.say(f"{failed} kinds of thing with a failure" + "".join(f"\n  - {one}" for one in tally.failures))
    found.expect(len(tally.full) >= wanted, f"only {len(tally.full)} servers, not {wanted}")
    if failed > MAX_FAILING * tally.steps["create"]:
        found.wrong.extend(map(str, tally.failures))


def try_servers(file: Path, tally: Tally, one_in: int = 1) -> None:
    """Try each server of a file that can create; of those, a fixed one in ``one_in``."""
    for name, specs in servers(file):
        able = kinds(specs)
        if able and zlib.crc32(specs[0].server.encode()) % one_in == 0:
            tally.servers += 1
            for kind in able:
                Course(name, specs, kind, tally).run()


class Course:
    """One kind of thing of one server, from its creation to its end."""

    def __init__(self, server: str, specs: Sequence[ToolSpec], kind: Kind, tally: Tally) -> None:
        self.server = server
        self.kind = kind
        self.tally = tally
        self.world = World(specs, seed=SEED, machines={})
        self.twin = World(specs, seed=SEED, machines={})
        self.state = self.world.initial()
        self.rng = random.Random(f"{server}/{kind.create.name}")
        self.created: Json = {}
        self.fetched: Json = {}
        self.names: Json = {}
        """The parameters that the creator was given, by normalized name."""

    def run(self) -> None:
        kind, before = self.kind, self.state
        given = self.created = self.arguments(kind.create, {}, optional=3)
        self.names = {norm(name): value for name, value in given.items()}
        for _ in range(4):  # a made up name may be taken
            if self.world.call(self.state, kind.create.name, given)[1].error != "conflict":
                break
            given = self.created = self.arguments(kind.create, {}, optional=3)
        self.names = {norm(name): value for name, value in given.items()}
        answer = self.ask(kind.create, given, "create", changes=True)
        if answer is None:
            return
        self.count("create")
        keys = {verb: self.key_of(answer.content, verb) for verb in kind.keys}
        if keys["get"] is None and self.untold():
            self.count("id not in the schema")
            return
        if keys["get"] is None:
            self.say(kind.create, "create", f"no {kind.keys['get']} in {shown(answer.content)}")
            return
        unborn = self.world.call(before, kind.tools["get"].name, self.about("get", keys["get"]))[1]
        if unborn.error != "not_found":
            self.say(kind.tools["get"], "unborn", f"{keys['get']!r} gives {shown(unborn.content)}")
        fetched = self.fetch("fetch", keys["get"], said(given, kind.create, kind.noun))
        if fetched is None:
            return
        record = record_of(fetched, keys["get"])[0]
        self.fetched = {norm(name): value for name, value in record.items()}
        self.count("fetch")
        steps = {"create", "fetch"}
        listed = self.list(keys["get"], 1)
        steps |= {"list"} if listed else set()
        self.unknown(keys)
        if keys.get("update") is not None:
            steps |= {"update"} if self.update(keys, fetched) else set()
        if keys.get("delete") is not None:
            steps |= {"delete"} if self.delete(keys, listed) else set()
        if len(steps) > 2 and (self.server, kind.create.name) not in self.tally.failing:
            self.tally.full.add(f"{self.server}/{kind.create.server}")
            self.count("whole course")

    # steps

    def fetch(self, step: str, key: Any, told: Mapping[str, Any]) -> Any:
        """What the thing is fetched as; None after a failure. ``told`` are values that it must show."""
        spec = self.kind.tools["get"]
        given = self.about("get", key)
        answer = self.ask(spec, given, step)
        if answer is None:
            return None
        self.shows(spec, step, answer.content, key, told, given)
        return answer.content

    def list(self, key: Any, times: int) -> bool:
        """Whether the thing was looked for in its list; it must stand there this often."""
        spec = self.kind.tools.get("list")
        if spec is None or not self.lists(spec):
            return False
        answer = self.ask(spec, self.arguments(spec, self.created), "list")
        if answer is None:
            return False
        count = sum(held == key or str(held) == str(key) for held in self.ids(answer.content))
        if count != times:
            self.say(spec, "list", f"{key!r} stands {count} times, not {times}, in {shown(answer.content)}")
        self.count("list" if times else "list after delete")
        return True

    def unknown(self, keys: Mapping[str, Any]) -> None:
        """An id that nothing has is not found, whoever is asked for it."""
        for verb, key in keys.items():
            spec = self.kind.tools[verb]
            if key is None:
                continue
            for other in strangers(key):
                given = self.about(verb, other)
                if complaint(spec.input_schema, given):
                    continue
                answer = self.world.call(self.state, spec.name, given)[1]
                if answer.error != "not_found" and not (verb == "update" and spec.method.upper() == "PUT"):
                    self.say(spec, "unknown", f"{other!r} gives {shown(answer.content)}")
                elif verb != "update" and answer.error:
                    self.count("unknown id")
                break

    def update(self, keys: Mapping[str, Any], before: Any) -> bool:
        """Whether the thing was changed; it must then be what it was, but for what was said."""
        spec = self.kind.tools["update"]
        given = self.about("update", keys["update"], optional=3)
        answer = self.ask(spec, given, "update", changes=True)
        if answer is None:
            return False
        told = said(
            {name: value for name, value in given.items() if name != self.kind.keys["update"]},
            spec,
            self.kind.noun,
        )
        after = self.fetch("fetch after update", keys["get"], told)
        if after is None:
            return False
        changed = {norm(name) for name in told}
        for path, old, new in differences(before, after):
            if not any(norm(part) in changed for part in path):
                self.say(spec, "update", f"{'/'.join(path)} went from {shown(old)} to {shown(new)} unasked")
                break
        self.count("update")
        return True

    def delete(self, keys: Mapping[str, Any], listed: bool) -> bool:
        """Whether the thing was deleted; it must then be gone."""
        spec, getting = self.kind.tools["delete"], self.kind.tools["get"]
        given = self.about("delete", keys["delete"])
        if self.ask(spec, given, "delete", changes=True) is None:
            return False
        again = self.world.call(self.state, getting.name, self.about("get", keys["get"]))[1]
        if again.error != "not_found":
            self.say(getting, "fetch after delete", f"{keys['get']!r} gives {shown(again.content)}")
        twice = self.world.call(self.state, spec.name, given)[1]
        if twice.error not in {"not_found", "conflict"}:
            self.say(spec, "delete again", f"{keys['delete']!r} gives {shown(twice.content)}")
        if listed:
            self.list(keys["get"], 0)
        self.count("delete")
        return True

    # calls

    def ask(self, spec: ToolSpec, given: Json, step: str, *, changes: bool = False) -> Observation | None:
        """What a tool answers, checked by itself, None where it failed; the state is then the new one."""
        state, answer = self.world.call(self.state, spec.name, given)
        if answer.error == "invalid_arguments":  # a pattern that nothing matches, an enum of another type
            self.count(
                "no fitting arguments" if not contradicts(spec.input_schema) else "contradictory input"
            )
            return None
        if answer.error:
            self.say(spec, step, f"{shown(given)} gives {shown(answer.content)}")
            return None
        if not changes:
            if state != self.state:
                self.say(spec, step, "a read changes the state")
            again = self.twin.call(json.loads(json.dumps(self.state)), spec.name, dict(given))[1]
            if again != answer:
                self.say(spec, step, f"read again: {shown(answer.content)} is now {shown(again.content)}")
        wrong = complaint(spec.output_schema, answer.content)
        if wrong:
            self.say(spec, step, f"the result breaks its schema: {wrong}")
        elif spec.output_schema is not None:
            self.count("result by its schema")
        if echoes(answer.content, given) and open_object(spec.output_schema):
            self.say(spec, step, f"{shown(answer.content)} only echoes {shown(given)}")
        self.state = state
        return answer

    def arguments(self, spec: ToolSpec, chosen: Json, optional: int = 0) -> Json:
        """Arguments: those chosen, those that the creator was given, known ones, else made up."""
        parts = properties(spec)
        given = {name: value for name, value in chosen.items() if name in parts and name in required(spec)}
        own = set(self.own())
        rest = [
            name
            for name in parts
            if name not in required(spec) and not is_control(name) and norm(name) not in own
        ]
        wanted = [*required(spec), *self.rng.sample(rest, min(optional, len(rest)))]
        for name in wanted:
            if name in given:
                continue
            twin = next((value for other, value in given.items() if norm(other) == norm(name)), None)
            if twin is not None:
                given[name] = twin
                continue
            if norm(name) in self.names and not optional:
                given[name] = self.created.get(name, self.names[norm(name)])
                continue
            held = self.fetched.get(norm(name))
            if not optional and as_type(held, parts[name]) is not None:
                given[name] = as_type(held, parts[name])
                continue
            known = self.world.known(self.state, spec.name, name, given)
            given[name] = self.rng.choice(known) if known else self.world.invent(spec.name, name, self.rng)
        return given

    def about(self, verb: str, key: Any, optional: int = 0) -> Json:
        """Arguments that name the thing."""
        spec, name = self.kind.tools[verb], self.kind.keys[verb]
        shared = {
            other: self.created.get(other, self.names[norm(other)])
            for other in properties(spec)
            if norm(other) in self.names and (f"{{{other}}}" in spec.path or not optional)
        }
        for other, part in properties(spec).items():  # an id that is asked for again beside the path
            own = set(self.own()) if other in required(spec) else {"id", "key", "uuid", norm(name)}
            if norm(other) in own and other not in shared:
                typed = as_type(key, part)
                shared.update({other: typed} if typed is not None and f"{{{other}}}" not in spec.path else {})
        given = self.arguments(spec, {**shared, name: key}, optional)
        given[name] = key
        return given

    # results

    def key_of(self, content: Any, verb: str) -> Any:
        """The new thing's id for the tool of this verb, as the creator's result says it, or its argument."""
        spec, name = self.kind.tools[verb], self.kind.keys[verb]
        shape = properties(spec)[name]
        if not isinstance(content, (dict, list)):
            return as_type(content, shape)
        for record in wrapped(content, self.kind.noun):
            by_norm = {norm(key): value for key, value in reversed(record.items())}
            for one in self.calls(name):
                held = by_norm.get(one)
                value = as_type(held.get("id") if isinstance(held, dict) else held, shape)
                if value is not None:
                    return value
        return as_type(self.names.get(norm(name)), shape)

    def own(self) -> Iterator[str]:
        """What the thing's own id may be called: a change of these is a change of who it is."""
        whole, last = norm("".join(self.kind.noun)), self.kind.noun[-1]
        yield from ("id", "key", "uuid", f"{whole}id", f"{last}id")
        for name in self.kind.keys.values():
            words = tokens(name)
            yield norm(name)
            yield from (norm("".join(words[at:])) for at in range(1, len(words)))

    def calls(self, name: str) -> list[str]:
        """How a result may call what a parameter of this name takes."""
        whole, last = norm("".join(self.kind.noun)), self.kind.noun[-1]
        ids = [f"{whole}id", f"{last}id", "id", "uuid", "gid", "sid"]
        words = tokens(name)
        ending = norm("".join(words[len(self.kind.noun) :])) or words[-1]
        own = (
            [norm(name), ending]
            if words[0] in self.kind.noun or words[-1] in {"id", "name"}
            else [norm(name)]
        )
        if norm(name) in {"id", f"{whole}id", f"{last}id"}:
            return [norm(name), "id", *ids]
        return [*own, *([] if words[-1] in {"name", "username", "email"} else ids)]

    def ids(self, content: Any) -> Iterator[Any]:
        """The ids of the things in a list's result."""
        likely = [*self.calls(self.kind.keys["get"]), "id", "name", "slug"]
        for entry in entries(content):
            if not isinstance(entry, dict):
                yield entry
                continue
            for record in objects(entry, 2):
                by_norm = {norm(key): value for key, value in record.items()}
                found = [by_norm[one] for one in likely if isinstance(by_norm.get(one), (str, int))]
                if found:
                    yield from dict.fromkeys(map(str, found))
                    break

    def untold(self) -> bool:
        """Whether the schema of what the creator returns has no place for the id."""
        schema = self.kind.create.output_schema
        if schema is None:
            return False
        content: Any = blank(schema)
        wanted = set(self.calls(self.kind.keys["get"]))
        return not any(
            norm(name) in wanted and not isinstance(value, list)
            for record in wrapped(content, self.kind.noun)
            for name, value in record.items()
        )

    def lists(self, spec: ToolSpec) -> bool:
        """Whether the schema of a list has a place for ids of several things, or there is no schema."""
        if spec.output_schema is None:
            return True
        wanted = {*self.calls(self.kind.keys["get"]), "name", "slug"}
        content = blank(spec.output_schema)
        found = [content] if isinstance(content, list) else []
        for record in wrapped(content, self.kind.noun):
            found += [
                part for name, part in record.items() if isinstance(part, list) and norm(name) not in ASIDE
            ]
            found += [[1]] if {norm(name) for name in record} & {f"{one}s" for one in wanted} else []
        entries = [entry for part in found for entry in part]
        inner = [
            next(iter(one.values())) if isinstance(one, dict) and len(one) == 1 else one for one in entries
        ]
        return any(
            isinstance(one, dict) and {norm(name) for name in one} & wanted for one in [*entries, *inner]
        ) or (entries == [None] or [1] in found)

    def shows(
        self, spec: ToolSpec, step: str, content: Any, key: Any, told: Mapping[str, Any], given: Json
    ) -> None:
        """Every value that was told must stand where a field of its name stands."""
        record, path = record_of(content, key)
        held = {norm(name): value for name, value in record.items()}
        for one in ("attributes", "properties", "fields"):
            if isinstance(record.get(one), dict):
                held = {**{norm(name): value for name, value in record[one].items()}, **held}
        for name, value in told.items():
            if name in given or value in ({}, []) or norm(name) in set(self.own()):
                continue
            if norm(name) in held:
                if not same(held[norm(name)], value) and not unfit(spec, path, name, value):
                    shown_ = shown(held[norm(name)])
                    self.say(spec, step, f"{name} is {shown_}, not {shown(value)} as was said")
                else:
                    self.count("value as was said")
            elif value in record.values():
                self.count("value under another name")
            elif spec.output_schema is not None and place(spec, path, name) is None:
                self.count("value without a place")
            elif not unfit(spec, path, name, value):
                self.say(spec, step, f"{name} was said to be {shown(value)} and is not in {shown(record)}")

    def say(self, spec: ToolSpec, step: str, detail: str) -> None:
        self.tally.failures.append(Failure(self.server, spec.name, step, detail))
        self.tally.failing.add((self.server, self.kind.create.name))

    def count(self, step: str) -> None:
        self.tally.steps[step] += 1
