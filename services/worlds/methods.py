"""The verb of a REST operation, from its method, the action in its path, its name and its output."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.catalog import ToolSpec
from services.worlds.draft import Draft, is_listing
from services.worlds.naming import is_control, parameters, verb_at
from services.worlds.verbs import NOUNS_TOO, READS, VERBS, Verb, base
from services.worlds.words import tokens


@dataclass(frozen=True, slots=True)
class Clues:
    """What hints at the verb.

    ``said`` is the verb of the path's action, ``by_name`` that of the tool's name; ``word`` is the word
    that says it. ``keyed``: the path ends in a parameter that identifies the record; ``plural``: it ends
    in a plural; ``listing``: the output is a collection.
    """

    said: Verb | None
    by_name: Verb | None
    word: str
    action: tuple[str, ...]
    keyed: bool
    plural: bool
    listing: bool


def operation(
    spec: ToolSpec,
    words: tuple[str, ...],
    action: tuple[str, ...],
    entity: tuple[str, ...],
    *,
    keyed: bool,
    plural: bool,
) -> Draft:
    """Verb, action and whether it writes; ``words`` are those of the name, ``action`` those of the path."""
    method = spec.method.upper()
    named = verb_at(words)
    if named is None and method == "POST" and not plural and not keyed and not action:
        described = tokens(spec.description[:60])[:1]
        hint = base(described[0]) if described else None
        if hint is not None:
            named, words = (VERBS[hint], 0), (hint,)
    clues = Clues(
        said=VERBS.get(action[0]) if action else None,
        by_name=named[0] if named else None,
        word=action[0] if action else (words[named[1]] if named else ""),
        action=action,
        keyed=keyed,
        plural=plural,
        listing=is_listing(spec.output_schema, entity),
    )
    if method == "GET":
        return _reading(spec, clues, entity)
    if method == "DELETE":
        return Draft("delete", entity, writes=True)
    told = _by_action(clues, entity)
    if told is not None:
        return told
    if method in {"PUT", "PATCH"}:
        return _changing(clues, entity, method, words)
    return _posting(clues, entity)


def _reading(spec: ToolSpec, clues: Clues, entity: tuple[str, ...]) -> Draft:
    """A GET: list, search, get, an action that computes, or (in old APIs) a write after all."""
    said, by_name = clues.said, clues.by_name
    if said in {"create", "update", "delete"} and by_name in {None, said}:
        return Draft(said, entity, writes=True, action=clues.action)
    acts = (said or by_name) == "act" and (clues.word in READS or said == "act")
    if acts and not clues.keyed and not clues.listing:
        writes = clues.word not in READS and said == "act" and not clues.plural
        return Draft("act", entity, writes=writes, action=clues.action or (clues.word,))
    if clues.keyed and not (clues.listing and by_name == "list"):
        return Draft("get", entity, writes=False)
    asks = any(not is_control(name) and f"{{{name}}}" not in spec.path for name in parameters(spec))
    if "search" in (said, by_name) and asks:
        return Draft("search", entity, writes=False)
    lists = {"list", "search"} & {said, by_name}
    if lists or clues.listing or (clues.plural and (by_name != "get" or spec.output_schema is None)):
        return Draft("list", entity, writes=False)
    return Draft("get", entity, writes=False)


def _by_action(clues: Clues, entity: tuple[str, ...]) -> Draft | None:
    """The verb that the path's last segment says ("/orders/{id}/cancel"), if it says one."""
    said = clues.said
    if said is None:
        return None
    if said == "act":
        return Draft("act", entity, writes=clues.word not in READS, action=clues.action)
    if said in {"list", "search", "get"}:
        lists = said == "get" and clues.listing and not clues.keyed
        return Draft("list" if lists else said, entity, writes=False)
    return Draft(
        "act" if clues.keyed and said == "create" else said, entity, writes=True, action=clues.action
    )


def _changing(clues: Clues, entity: tuple[str, ...], method: str, words: tuple[str, ...]) -> Draft:
    """A PUT or PATCH: an update, which may make the record, or an action."""
    if clues.by_name == "act" and not clues.keyed and clues.word not in NOUNS_TOO:
        return Draft("act", entity, writes=True, action=(clues.word,))
    upsert = method == "PUT" and any(word in words for word in ("create", "upsert", "put", "set", "add"))
    return Draft("update", entity, writes=True, upsert=upsert)


def _posting(clues: Clues, entity: tuple[str, ...]) -> Draft:
    """A POST: a creation, unless the name says otherwise."""
    verb = clues.by_name
    if verb in {"list", "search"}:
        return Draft(verb, entity, writes=False)
    if verb == "get" and not clues.keyed:
        return Draft("list" if clues.listing else "get", entity, writes=False)
    if verb == "act":
        return Draft("act", entity, writes=clues.word not in READS, action=(clues.word,))
    if verb in {"update", "delete"}:
        return Draft(verb, entity, writes=True)
    if clues.keyed and verb != "create":
        return Draft("update", entity, writes=True)
    return Draft("create", entity, writes=True)
