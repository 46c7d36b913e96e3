"""What a tool does, read off its definition: verb, entity, and the parameters that name records."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from schemas.catalog import Json, ToolSpec
from services.worlds.draft import Draft
from services.worlds.fitting import kind
from services.worlds.naming import collection_of, is_control, name_words, parameters, reference
from services.worlds.paths import Path, parse_path
from services.worlds.phrases import phrases
from services.worlds.rest import read_rest
from services.worlds.rpc import read_rpc
from services.worlds.verbs import NOUNS_TOO, VERBS, Verb
from services.worlds.vocabulary import called, in_words
from services.worlds.words import norm, singular, spoken, tokens


@dataclass(frozen=True, slots=True)
class Reading:
    """What a definition says. ``collection`` is the entity's key in the state ("purchase_order").

    ``key`` is the parameter that identifies the record itself (``many``: an array of identifiers);
    ``parents`` are (parameter, collection) of the records it belongs to, outermost first; ``references``
    are other parameters that name known records; ``action`` are the words of an ``act`` verb.
    ``envelope`` is the parameter that holds all fields of the record, where one does ({"order": {…}}).
    ``single``: there is one such record per parent ("the account's credit card"). ``upsert``: a write to
    an unknown key makes the record.
    """

    verb: Verb
    entity: str
    collection: str
    writes: bool
    key: str | None = None
    many: bool = False
    parents: tuple[tuple[str, str], ...] = ()
    references: tuple[tuple[str, str], ...] = ()
    action: tuple[str, ...] = ()
    single: bool = False
    upsert: bool = False
    lineage: tuple[str, ...] = ()
    envelope: str = ""
    phrases: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


def read(spec: ToolSpec, prefix: tuple[str, ...] = ()) -> Reading:
    """What the definition says; ``prefix`` is a word that all names of the server begin with."""
    names = parameters(spec)
    path = parse_path(spec.path, names) if spec.path else Path([], [])
    words = tuple(tokens(path.operation)) if path.operation else name_words(spec, prefix)
    rest = bool(path.levels or path.tail)
    return _finish(spec, names, read_rest(spec, names, path, words) if rest else read_rpc(spec, names, words))


def _finish(spec: ToolSpec, names: dict[str, Json], draft: Draft) -> Reading:
    """The reading with references, phrases and labels."""
    words = draft.words
    if len(words) > 1 and words[0] in VERBS and words[0] not in NOUNS_TOO:
        draft.action = draft.action or words[:1]
        words = words[1:]
    if words in {("me",), ("self",), ("myself",)}:
        words = ("account",)
    draft.words = _unglued(words, spec.description)
    taken = {draft.key, *(parameter for parameter, _ in draft.parents)}
    references: list[tuple[str, str]] = []
    collection = collection_of(draft.words)
    for parameter, schema in names.items():
        if parameter in taken or is_control(parameter):
            continue
        target = reference(parameter, schema)
        if target is not None and not (target == collection and draft.verb == "create"):
            references.append((parameter, target))
    many = draft.key is not None and kind(names.get(draft.key, {})) == "array"
    entity = spoken(in_words(draft.words))
    labels = _labels(names, draft, entity)
    return Reading(
        verb=draft.verb,
        entity=entity,
        collection=collection,
        writes=draft.writes,
        key=draft.key if draft.key in names else None,
        many=many,
        parents=tuple((parameter, owner) for parameter, owner in draft.parents if parameter in names),
        references=tuple(references),
        action=draft.action,
        single=draft.single,
        upsert=draft.upsert,
        lineage=draft.lineage,
        envelope=_envelope(spec, names, taken, collection),
        phrases=phrases(draft.verb, entity, draft.action, spec.description, list(names)),
        labels=labels,
    )


def _envelope(spec: ToolSpec, names: dict[str, Json], taken: set[str | None], collection: str) -> str:
    """The one parameter beside the path that holds the whole record, called like the entity; "" if none."""
    rest = [
        name
        for name in names
        if name not in taken and f"{{{name}}}" not in spec.path and not is_control(name)
    ]
    words = collection.split("_")
    calls = {
        norm(collection),
        words[-1],
        norm("".join(words[:-1])) if words[-1] in {"details", "info"} else "",
    }
    return rest[0] if len(rest) == 1 and norm(rest[0]) in calls and kind(names[rest[0]]) == "object" else ""


def _unglued(words: tuple[str, ...], description: str) -> tuple[str, ...]:
    """The words with one like "alliancehistory" taken apart, where the description writes it as two."""
    if not any(len(word) >= 9 for word in words):
        return words
    said = tokens(description[:300])
    pairs = {
        singular(first + second): (first, singular(second))
        for first, second in pairwise(said)
        if len(second) > 1  # "the certificate's name"
    }
    made: list[str] = []
    for word in words:
        made.extend(pairs.get(word, (word,)) if len(word) >= 9 else (word,))
    return tuple(made)


def _labels(names: dict[str, Json], draft: Draft, entity: str) -> dict[str, str]:
    """How a user calls each parameter; a bare "id" is the ID of the entity that it identifies."""
    owners: dict[str, str] = {
        parameter: spoken(in_words(owner.split("_"))) for parameter, owner in draft.parents
    }
    labels: dict[str, str] = {}
    for name in names:
        said = called(name)
        if said in {"ID", "name", "slug", "key", "code", "UUID", "IDs", "number"}:
            of = entity if name == draft.key else owners.get(name, "")
            said = f"{of} {said}" if of and not of.endswith(said) else said
        if said in {"name", "title", "type", "code", "number"} and entity and len(entity.split()) <= 2:
            said = f"{entity} {said}" if not entity.endswith(said) else said
        labels[name] = said
    return labels
