"""Tools with a REST path: the path says the entity, the record and its parents."""

from __future__ import annotations

import re
from typing import Final

from schemas.catalog import Json, ToolSpec
from services.worlds.draft import Draft
from services.worlds.fitting import kind
from services.worlds.methods import operation
from services.worlds.naming import (
    after_verb,
    collection_of,
    entity_words,
    identifies,
    stem_of,
    turned,
    verb_at,
)
from services.worlds.paths import Path, level_words, weak
from services.worlds.verbs import NOUNS_TOO, VERBS
from services.worlds.words import listed, norm, singular, tokens

Level = tuple[str, str]
_QUERY_SEGMENTS: Final = frozenset(listed("search query find lookup filter list"))
_REPORTS: Final = frozenset(listed("report reports stats statistics analytics metrics usage"))
_PART_WORDS: Final = frozenset(
    listed("data value status count stat number history summary preview context html pdf url total settings")
)
_SINGLE: Final = frozenset(listed("me self current mine detail details info profile config configuration"))
_SELF: Final = frozenset(listed("me self current mine"))


def read_rest(spec: ToolSpec, names: dict[str, Json], path: Path, words: tuple[str, ...]) -> Draft:
    """What the path, the method and the name (``words``) of a tool say."""
    resource = _resource_name(spec, path)
    if resource is not None:
        return resource
    levels = [level for level in path.levels if identifies(level[1], names.get(level[1], {}))]
    action, tail = _action(spec, path, levels)
    trailing = [segment for segment in tail if not weak(segment)] or (tail if not levels else [])
    key: str | None = None
    plural = False
    owners: list[Level] = levels
    if trailing:
        entity, plural = _last_segment(tail, trailing, levels)
    elif levels:
        key, owners = levels[-1][1], levels[:-1]
        entity = level_words(*levels[-1])
        if levels[-1][0] == "" and len(levels) > 1:
            entity = entity_words(levels[-2][0]) or stem_of(key) or entity
    else:
        entity = entity_words(path.levels[-1][0]) if path.levels else ()
    entity = _by_words(spec, entity, words, action if key is None else ())
    draft = operation(spec, words, action, entity, keyed=key is not None, plural=plural)
    draft.parents = _parents(owners, levels)
    draft.key = None if draft.verb == "create" else key
    if key is None and draft.verb in {"delete", "update", "get", "list"}:
        draft.key = _query_key(names, spec.path, entity, draft.verb == "list")
    draft.single = draft.key is None and not plural and draft.verb in {"get", "update", "delete", "act"}
    return draft


def _resource_name(spec: ToolSpec, path: Path) -> Draft | None:
    """Paths like ``/v1/{name}`` and ``/v1/{parent}/keys``: the tool's name lists the collections."""
    parts = [part for part in (spec.original_name or spec.name).split("_") if part]
    if len(parts) < 3 or len(path.levels) != 1 or not re.match(r"/v\d\w*/\{[^}]+\}(/[^/]*)?$", spec.path):
        return None
    lineage = [singular("_".join(tokens(part))) for part in parts[1:-1]]
    entity = tuple(lineage[-1].split("_"))
    parameter = path.levels[0][1]
    own = not path.tail
    said = tokens(parts[-1])
    action = tokens(path.operation) if path.operation else (said if said[:1] and said[0] not in VERBS else ())
    draft = operation(spec, said, action, entity, keyed=own, plural=True)
    draft.key = parameter if own else None
    draft.parents = [] if own else [(parameter, lineage[-2] if len(lineage) > 1 else "project")]
    draft.lineage = tuple(lineage)
    return draft


def _action(spec: ToolSpec, path: Path, levels: list[Level]) -> tuple[tuple[str, ...], list[str]]:
    """(words of the action that the path ends in, the static segments before it after the last parameter)."""
    tail = list(path.tail)
    if path.operation:
        return tokens(path.operation), tail
    last = tokens(tail[-1]) if tail else ()
    if not last or last[0] not in VERBS:
        return (), tail
    reads = spec.method.upper() == "GET"
    if last[0] not in NOUNS_TOO:
        acts = True
    elif len(last) == 1:
        acts = (last[0] in _QUERY_SEGMENTS and (bool(levels) or len(tail) > 1)) or (
            not reads and bool(levels)
        )
    else:
        acts = not reads and singular(last[-1]) == last[-1]
    return (last, tail[:-1]) if acts else ((), tail)


def _last_segment(tail: list[str], trailing: list[str], levels: list[Level]) -> tuple[tuple[str, ...], bool]:
    """(entity, whether it is a collection) of a path that ends in static segments."""
    entity = entity_words(trailing[-1])
    last = tokens(trailing[-1])[-1:]
    plural = bool(last) and singular(last[0]) != last[0] and tail[-1].lower() not in _SELF
    if len(trailing) > 1 and norm(trailing[-2]) in _REPORTS and not plural:
        return (*entity, "report"), plural
    if len(entity) == 1 and entity[0] in _SINGLE | _PART_WORDS and (len(trailing) > 1 or levels):
        before = trailing[-2] if len(trailing) > 1 else levels[-1][0]
        return (*entity_words(before), *entity), plural
    return entity, plural


def _by_words(
    spec: ToolSpec, entity: tuple[str, ...], words: tuple[str, ...], action: tuple[str, ...]
) -> tuple[str, ...]:
    """The entity, said by the action or the name where the path has none of its own."""
    named = verb_at(words)
    if len(action) > 1:
        entity = after_verb(action, 0) or entity
    if named and len(entity) == 1 and entity[0] in VERBS and words[named[1]] == entity[0]:
        said = after_verb(words, named[1])
        entity = said if said and said[0] not in VERBS else entity
    if entity:
        return entity
    return after_verb(words, named[1]) if named else (words or tokens(spec.server)[:1])


def _parents(owners: list[Level], levels: list[Level]) -> list[tuple[str, str]]:
    """(parameter, collection) of the records that the addressed one belongs to, outermost first."""
    parents: list[tuple[str, str]] = []
    for at, (static, parameter) in enumerate(owners):
        shares = at + 1 < len(levels) and levels[at + 1][0] == ""
        words = (stem_of(parameter) if shares else ()) or level_words(static, parameter)
        if words:
            parents.append((parameter, collection_of(words)))
    return parents


def _query_key(names: dict[str, Json], path: str, entity: tuple[str, ...], several: bool) -> str | None:
    """A parameter outside of the path that identifies the record: ``DELETE /tracks?ids=…``."""
    for name, schema in names.items():
        words = turned(tokens(name))
        if f"{{{name}}}" in path or not words or "enum" in schema or kind(schema) in {"object", "boolean"}:
            continue
        endings = {"ids", "uuids"} if several else {"id", "ids", "uuid", "uuids"}
        if words[-1] in endings and (len(words) == 1 or stem_of(name)[-1:] == entity[-1:]):
            return name
    return None
