"""The lock: what every message and topic was agreed to look like, and which changes of it are harmless.

``schemas/lock`` holds one JSON Schema a message type and version, and the topic table. Logs outlive
programs, so the lock is compared with the code: a new optional field, type or topic asks for the lock to
be written anew; anything else would make old logs unreadable and asks for a new version of the type.

JSON Schemas are taken in pydantic's validation mode: they say what a reader accepts. Titles and
descriptions are left out, so that a docstring can change freely. Defaults are part of the agreement,
because a field that equals its default is not written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.envelope import Message
from schemas.topics import MESSAGES, TOPICS, Topic
from schemas.upcast import UPCASTERS

Json = dict[str, Any]

FOLDER: Final = Path(__file__).parent / "lock"
TABLE: Final = "topics.json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
REGENERATE: Final = "write the lock anew with `python -m schemas.lock --write`, and commit it"
BUMP: Final = (
    "raise VERSION of the message, add an upcaster to schemas/upcast.py, then `python -m schemas.lock "
    "--write`; only where no log can hold this version yet: delete its file in schemas/lock first instead"
)


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference between the lock and the code. ``compatible``: writing the lock anew settles it."""

    where: str
    what: str
    advice: str
    compatible: bool

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.where}: {self.what}. To do: {self.advice}"


def schema_of(message: type[Message]) -> Json:
    """The JSON Schema of a message as the lock keeps it."""
    found = _bare(message.model_json_schema(mode="validation"))
    assert isinstance(found, dict)
    return {"$schema": DIALECT, "title": message.type_name(), **found}


def table_of(topics: Mapping[str, Topic]) -> Json:
    """The topic table as the lock keeps it. Message types stand without their versions."""
    return {
        topic.name: {
            "owner": topic.owner,
            "key": topic.key,
            "partitions": topic.partitions,
            "max_bytes": topic.max_bytes,
            "messages": sorted(_name(message) for message in topic.messages),
            "sequenced": topic.sequenced,
            "loose": sorted(_name(message) for message in topic.loose),
        }
        for topic in topics.values()
    }


def check(
    folder: Path = FOLDER,
    messages: Mapping[str, type[Message]] = MESSAGES,
    topics: Mapping[str, Topic] = TOPICS,
) -> list[Drift]:
    """Every difference between the lock in ``folder`` and the code, in the order of their names.

    Raises:
        ValueError: a file of the lock is not JSON.
    """
    locked = {path.name.removesuffix(".json"): path for path in folder.glob("tds.*.json")}
    found: list[Drift] = []
    for type_name, message in messages.items():
        if type_name in locked:
            found.extend(_message_drift(type_name, _load(locked[type_name]), schema_of(message)))
        else:
            found.append(Drift(type_name, "is not in the lock", REGENERATE, compatible=True))
        found.extend(_version_drift(_name(message), message.VERSION, frozenset(locked)))
    found.extend(_lost(locked, messages))
    table = folder / TABLE
    if table.exists():
        found.extend(_table_drift(_load(table), table_of(topics)))
    else:
        found.append(Drift(TABLE, "is not in the lock", REGENERATE, compatible=True))
    return sorted(found, key=lambda drift: (drift.where, drift.what))


def write(
    folder: Path = FOLDER,
    messages: Mapping[str, type[Message]] = MESSAGES,
    topics: Mapping[str, Topic] = TOPICS,
) -> list[Path]:
    """Bring the lock up to the code; returns the files that changed. Old versions stay as they are.

    Raises:
        ValueError: the code has changed in a way that writing the lock would only hide; nothing is written.
    """
    broken = [str(drift) for drift in check(folder, messages, topics) if not drift.compatible]
    if broken:
        raise ValueError("\n".join(broken))
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{type_name}.json": schema_of(message) for type_name, message in messages.items()}
    changed = []
    for name, value in {**wanted, TABLE: table_of(topics)}.items():
        path = folder / name
        text = _text(value)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def _name(message: type[Message]) -> str:
    """The type of a message without its version."""
    return message.type_name().rpartition(".v")[0]


def _text(value: Json) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _load(path: Path) -> Json:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); take it from version control again") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object; take it from version control again")  # noqa: TRY004
    return value


def _bare(node: Any, *, names: bool = False) -> Any:
    """A schema without what says nothing about the wire. ``names``: the keys of ``node`` are field names."""
    if isinstance(node, list):
        return [_bare(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept: Json = {}
    for name, value in node.items():
        if not names:
            if name in ("title", "description") or (name == "additionalProperties" and value is True):
                continue
            if name in ("default", "const", "enum"):
                kept[name] = value
                continue
        kept[name] = _bare(value, names=not names and name in ("properties", "$defs"))
    return kept


def _message_drift(type_name: str, old: Json, new: Json) -> Iterator[Drift]:
    found = list(_Comparison(old.get("$defs", {}), new.get("$defs", {})).changes(old, new, ""))
    for path, what, compatible in found:
        advice = REGENERATE if compatible else BUMP
        yield Drift(f"{type_name} at {path or 'the top'}", what, advice, compatible)
    if not found and old != new:
        yield Drift(type_name, "is written in another form that means the same", REGENERATE, compatible=True)


def _version_drift(name: str, version: int, locked: frozenset[str]) -> Iterator[Drift]:
    for old in range(1, version):
        if (name, old) not in UPCASTERS:
            what = f"v{version} is written, but nothing lifts v{old} to v{old + 1}"
            advice = f"add the upcaster ({name!r}, {old}) to schemas/upcast.py"
            yield Drift(f"{name}.v{old}", what, advice, compatible=False)
        if f"{name}.v{old}" not in locked:
            what = "an old version has gone from the lock"
            advice = "take its file from version control again; logs may hold it"
            yield Drift(f"{name}.v{old}", what, advice, compatible=False)


def _lost(locked: Mapping[str, Path], messages: Mapping[str, type[Message]]) -> Iterator[Drift]:
    """Types of the lock that the code does not know."""
    newest = {_name(message): message.VERSION for message in messages.values()}
    for type_name in locked:
        name, _, version = type_name.rpartition(".v")
        if name not in newest:
            advice = "keep the model, so that old logs can be read; where no log can hold it, delete the file"
            yield Drift(type_name, "has gone from the code", advice, compatible=False)
        elif int(version) > newest[name]:
            what = f"is newer than the code, which has v{newest[name]}"
            yield Drift(type_name, what, "never lower VERSION: logs may hold it", compatible=False)


def _table_drift(old: Json, new: Json) -> Iterator[Drift]:
    advice = "logs hold this topic as it was: give the changed topic a new name in schemas/topics.py"
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield Drift(name, "is a new topic", REGENERATE, compatible=True)
        elif name not in new:
            yield Drift(name, "has gone from the table", advice, compatible=False)
        else:
            for key in sorted(old[name].keys() | new[name].keys()):
                before, after = old[name].get(key), new[name].get(key)
                if before != after:
                    harmless = _harmless(key, old[name], new[name])
                    todo = REGENERATE if harmless else advice
                    yield Drift(name, f"{key} was {before}, is {after}", todo, compatible=harmless)


def _harmless(key: str, old: Json, new: Json) -> bool:
    """Whether a log written while ``key`` of a topic was as in ``old`` reads the same with ``new``."""
    match key:
        case "owner":
            return True
        case "max_bytes":
            return bool(old[key] < new[key])
        case "messages":
            return set(old[key]) <= set(new[key])
        case "loose":  # a type that is new on the topic may be loose; none may become so, or cease to be
            return not (set(old[key]) ^ set(new[key])) & set(old["messages"])
    return False


class _Comparison:
    """Walks two schemas side by side. Definitions are followed, so that their names do not matter."""

    def __init__(self, old_defs: Json, new_defs: Json) -> None:
        self._old_defs = old_defs
        self._new_defs = new_defs
        self._met: set[tuple[str, str]] = set()

    def changes(self, old: Json, new: Json, path: str) -> Iterator[tuple[str, str, bool]]:
        """(where, what, compatible) of every difference."""
        pair = (str(old.get("$ref", "")), str(new.get("$ref", "")))
        if all(pair):
            if pair in self._met:
                return
            self._met.add(pair)
        yield from self._defaults(old, new, path)
        old, new = self._resolved(old, self._old_defs), self._resolved(new, self._new_defs)
        yield from self._fields(old, new, path)
        yield from self._parts(old, new, path)
        walked = {"properties", "required", "default", "$defs", "$ref", "discriminator", "$schema", "title"}
        for name in sorted((old.keys() | new.keys()) - walked - {"items", "additionalProperties"}):
            before, after = old.get(name), new.get(name)
            if name in ("anyOf", "oneOf", "prefixItems") and isinstance(before, list):
                if isinstance(after, list) and len(after) == len(before):
                    continue
                yield path, f"{name} has other alternatives", False
            elif before != after:
                yield path, f"{name} was {_shown(before)}, is {_shown(after)}", False

    def _fields(self, old: Json, new: Json, path: str) -> Iterator[tuple[str, str, bool]]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for field in sorted(before.keys() | after.keys()):
            where = f"{path}.{field}" if path else field
            if field not in before:
                kind = "required" if field in needs else "optional"
                yield where, f"a new {kind} field", field not in needs
            elif field not in after:
                yield where, "the field has gone", False
            else:
                if (field in needed) != (field in needs):
                    yield where, "is now required" if field in needs else "is no longer required", False
                yield from self.changes(before[field], after[field], where)

    def _parts(self, old: Json, new: Json, path: str) -> Iterator[tuple[str, str, bool]]:
        for name, mark in (("items", "[]"), ("additionalProperties", "{}")):
            before, after = old.get(name), new.get(name)
            if isinstance(before, dict) and isinstance(after, dict):
                yield from self.changes(before, after, path + mark)
            elif before != after:
                yield path, f"{name} was {_shown(before)}, is {_shown(after)}", False
        for name in ("anyOf", "oneOf", "prefixItems"):
            pairs = (old.get(name), new.get(name))
            if all(isinstance(part, list) for part in pairs) and len(pairs[0]) == len(pairs[1]):  # type: ignore[arg-type]
                for index, (before, after) in enumerate(zip(*pairs, strict=True)):  # type: ignore[arg-type]
                    yield from self.changes(before, after, f"{path}|{index}")

    def _defaults(self, old: Json, new: Json, path: str) -> Iterator[tuple[str, str, bool]]:
        if "default" in old or "default" in new:
            before, after = old.get("default"), new.get("default")
            if not _covers(before, after):
                yield path, f"the default was {_shown(before)}, is {_shown(after)}", False

    @staticmethod
    def _resolved(node: Json, defs: Json) -> Json:
        reference = node.get("$ref")
        if reference is None:
            return node
        target = defs[str(reference).removeprefix("#/$defs/")]
        assert isinstance(target, dict)
        return target


def _covers(before: Any, after: Any) -> bool:
    """Whether two defaults are equal but for optional fields that a part of them has gained."""
    if isinstance(before, dict) and isinstance(after, dict):
        return all(name in after and _covers(value, after[name]) for name, value in before.items())
    return type(before) is type(after) and bool(before == after)


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
