"""Tools without a path, as MCP servers have them: the name says verb and entity, else the description."""

from __future__ import annotations

import re

from schemas.catalog import Json, ToolSpec
from services.worlds.credentials import is_credential
from services.worlds.draft import Draft, is_listing
from services.worlds.fitting import kind
from services.worlds.naming import ID_WORDS, OPEN, after_verb, required, stem_of, verb_at
from services.worlds.verbs import READS, VERBS, Verb
from services.worlds.words import singular, tokens


def read_rpc(spec: ToolSpec, names: dict[str, Json], words: tuple[str, ...]) -> Draft:
    """A tool without a path: the name says the verb, else the description's first word does."""
    named = verb_at(words)
    verb: Verb
    if named is None:
        hosted = spec.description.startswith("Deploy Server")
        described = () if hosted else tokens(spec.description)[:1]
        hint = described[0].rstrip("s") if described else ""
        verb = VERBS.get(hint, VERBS.get(described[0] if described else "", "act"))
        entity = (*words[:-1], singular(words[-1])) if words else ("record",)
        action = (hint,) if verb == "act" and hint in VERBS else words[:1]
    else:
        verb, at = named
        entity = after_verb(words, at)
        action = (words[at],)
    key = _own_key(names, required(spec), entity, verb)
    many_words = bool(words) and singular(words[-1]) != words[-1]
    listing = is_listing(spec.output_schema, entity)
    if verb == "get" and key is None and (many_words or listing) and not _single_words(entity):
        verb = "list"
    if verb == "search" and key is not None and not listing and not _has_query(names):
        verb = "get"
    writes = verb in {"create", "update", "delete"} or (
        verb == "act" and action[:1] != () and action[0] not in READS
    )
    hints = spec.description[:80].lower()
    if verb == "act" and re.match(
        r"(get|return|retriev|fetch|calculat|comput|analy[sz]|convert|list|search|check)", hints
    ):
        writes = False
    draft = Draft(verb, entity or ("record",), writes=writes, key=key, action=action)
    draft.single = key is None and verb in {"get", "update", "delete", "act"}
    draft.upsert = verb == "update" and action[:1] in {("set",), ("put",), ("upsert",)}
    return draft


def _single_words(entity: tuple[str, ...]) -> bool:
    return bool(entity) and entity[-1] in {
        "status",
        "stats",
        "data",
        "details",
        "info",
        "settings",
        "weather",
        "news",
    }


def _has_query(names: dict[str, Json]) -> bool:
    return any(
        set(tokens(name)) & {"query", "q", "search", "keyword", "keywords", "term", "text"} for name in names
    )


def _own_key(names: dict[str, Json], needed: list[str], entity: tuple[str, ...], verb: Verb) -> str | None:
    """The parameter that identifies the record that a tool without a path works on, if there is one."""
    if verb not in {"get", "update", "delete", "act", "search"}:
        return None
    order = [*needed, *(name for name in names if name not in needed)]
    for parameter in order:
        words = tokens(parameter)
        if parameter not in names or not words or is_credential(parameter) or "enum" in names[parameter]:
            continue
        stem = stem_of(parameter)
        if words[-1] in ID_WORDS and (not stem or stem[-1:] == entity[-1:] or stem == entity):
            return parameter
        if words[-1] in ID_WORDS and stem == entity[:-1] and entity[-1:] in {("details",), ("info",)}:
            return parameter
    for parameter in needed:
        words = tokens(parameter)
        if (
            parameter not in names
            or not words
            or "enum" in names[parameter]
            or kind(names[parameter]) not in {"string", "integer"}
        ):
            continue
        stem = stem_of(parameter)
        if stem[-1:] == entity[-1:] and entity and not set(words) & (OPEN - {"address"}):
            return parameter
        if verb in {"get", "update", "delete"} and words in {
            ("name",),
            ("path",),
            ("filename",),
            ("file", "path"),
            ("title",),
        }:
            return parameter
    return None
