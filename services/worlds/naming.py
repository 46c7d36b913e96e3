"""What identifiers say: which words are verbs, entities and identifiers, whom a parameter names.

Ours, not the paper's: rules and word lists found by reading thousands of real definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from schemas.catalog import Json, ToolSpec
from services.worlds.credentials import is_credential
from services.worlds.fitting import kind, resolved
from services.worlds.verbs import NOUNS_TOO, VERBS, Verb
from services.worlds.words import listed, norm, singular, tokens

ID_WORDS: Final = frozenset(
    listed("identifier identifiers id ids uuid uuids guid gid sid uid key keys arn slug pk oid eid")
)


HANDLE_WORDS: Final = frozenset(
    listed("name names code number no ref reference login username slug title path")
)


OPEN: Final = frozenset(
    listed(
        "date year month day from to until since start end lat lng lon latitude longitude lang "
        "language locale query q text url uri website domain ip address zip symbol ticker format "
        "version type kind amount currency country city state status time timestamp page limit offset "
        "size width height value sort order term search keyword keywords level period interval "
        "extension color unit coordinates email phone"
    )
)


STOPS: Final = frozenset(
    listed(
        "by for of in from with using to on at and via within as into based that per during about "
        "against without async sync v1 v2 v3 v4 v5"
    )
)


_METHODS: Final = {"get", "post", "put", "patch", "delete", "head", "options"}


_REFERRING: Final = frozenset(listed("id ids identifier identifiers uuid uuids guid gid sid"))
_NOT_RECORDS: Final = frozenset(
    listed(
        "client request correlation trace idempotency transaction_request app api device_token "
        "external session consumer"
    )
)


def turned(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words with a leading "id" at the end, where most names have it, and without "or slug"."""
    if "or" in words[1:]:
        words = words[: words.index("or", 1)]
    return (*words[1:], words[0]) if len(words) > 1 and words[0] == "id" else words


def entity_words(identifier: str) -> tuple[str, ...]:
    """The noun of a path segment or a name: tokens, the last one singular, filler and versions dropped."""
    words = [word for word in tokens(identifier) if not word.isdigit() and word != "v"]
    return (*words[:-1], singular(words[-1])) if words else ()


def stem_of(parameter: str) -> tuple[str, ...]:
    """The words of an identifying parameter without its identifying ending; () for a bare ``id``."""
    words = list(turned(tokens(parameter)))
    if words in (["username"], ["login"]):
        return ("user",)
    while words and words[-1] in ID_WORDS | HANDLE_WORDS:
        words.pop()
    return (*words[:-1], singular(words[-1])) if words else ()


def identifies(parameter: str, schema: Json) -> bool:
    """Whether a path parameter names a record, rather than being a date, a text or a choice."""
    words = turned(tokens(parameter))
    if not words or "enum" in schema or kind(schema) in {"boolean", "object"}:
        return False
    if str(schema.get("format", "")) in {"date", "date-time", "uri", "url", "float", "double"}:
        return False
    if words[-1] in ID_WORDS:
        return True
    return not (set(words) & OPEN) and kind(schema) != "number"


def reference(parameter: str, schema: Json) -> str | None:
    """The collection that a parameter names a record of, by its own words ("customer_id"), or None."""
    words = turned(tokens(parameter))
    if not words or words[-1] not in _REFERRING:
        return None
    stem = stem_of(parameter)
    if not stem or stem[-1] in _NOT_RECORDS or "enum" in schema or kind(schema) in {"object", "boolean"}:
        return None
    return collection_of(stem)


def collection_of(words: tuple[str, ...]) -> str:
    """The key that an entity's records stand under in the state."""
    return "_".join(words) or "record"


def verb_at(words: tuple[str, ...]) -> tuple[Verb, int] | None:
    """The verb of a name and its position: the first word, else the last."""
    if words and words[0] in VERBS:
        return VERBS[words[0]], 0
    if len(words) > 1 and words[-1] in VERBS and words[-1] not in NOUNS_TOO - {"list", "search", "update"}:
        return VERBS[words[-1]], len(words) - 1
    for at, word in enumerate(words[1:3], 1):
        if word in VERBS and word not in NOUNS_TOO - {"list", "update"} and at < len(words) - 1:
            return VERBS[word], at
    return None


def name_words(spec: ToolSpec, prefix: tuple[str, ...]) -> tuple[str, ...]:
    """The words of the tool's own name; () where the name was only made from method and path."""
    name = spec.original_name or spec.name
    lead = re.match(r"(get|post|put|patch|delete)[-_]{1,2}(.*)", name, re.IGNORECASE)
    if lead and spec.path and "#" not in spec.path:
        made = norm(lead.group(2))
        if made and (norm(spec.path).startswith(made[:40]) or made[:12] in norm(spec.path)):
            return ()
    if lead and "#" in spec.path:
        name = lead.group(2)
    words = tuple(word for word in tokens(name) if not re.fullmatch(r"v|\d+", word))
    glued = re.fullmatch(
        r"(get|list|fetch|create|delete|update|search|find)([a-z]{5,})", words[0] if words else ""
    )
    if glued and words[0] not in VERBS:
        words = (*glued.groups(), *words[1:])
    if words and words[-1] in {"api", "tool", "endpoint", "using"}:
        words = words[:-1]
    if "using" in words and words[-1] in _METHODS:
        words = words[: words.index("using")]
    return words[len(prefix) :] if prefix and words[: len(prefix)] == prefix else words


def after_verb(words: tuple[str, ...], at: int) -> tuple[str, ...]:
    """The object of the verb at ``at``: the words after it up to a preposition, else those before it."""
    rest: list[str] = []
    for word in words[at + 1 :]:
        if word in STOPS:
            break
        if word not in {
            "a",
            "an",
            "the",
            "all",
            "list",
            "my",
            "new",
            "multiple",
            "single",
            "one",
            "or",
        } | set({"update", "create"} if not rest else ()):
            rest.append(word)
    if not rest and at:
        rest = [word for word in words[:at] if word not in STOPS]
    return (*rest[:-1], singular(rest[-1])) if rest else ()


_CONTROL: Final = frozenset(
    norm(word)
    for word in listed(
        "limit offset page per_page page_size pagesize size count cursor page_token pagetoken sort "
        "sort_by order order_by fields include expand embed top skip filter format callback alt "
        "prettyPrint quotaUser uploadType upload_protocol userIp $.xgafv api-version apiversion "
        "version action max_results next_token starting_after ending_before locale lang start per "
        "$top $skip $filter $select $orderby $expand $count opt_fields opt_pretty sort_order "
        "sort_direction order_direction If-Match If-None-Match accept content-type x-request-id "
        "idempotency-key datasource"
    )
)


def is_control(parameter: str) -> bool:
    """Whether a parameter steers paging, sorting, format or protocol, and names nothing."""
    return norm(parameter) in _CONTROL or is_credential(parameter)


def parameters(spec: ToolSpec) -> dict[str, Json]:
    """The tool's top-level parameters with their schemas, references resolved; {} for broken schemas."""
    root = spec.input_schema
    properties = resolved(root, root).get("properties")
    if not isinstance(properties, dict):
        return {}
    return {name: resolved(part, root) for name, part in properties.items()}


def required(spec: ToolSpec) -> list[str]:
    """Names of required parameters that the schema defines."""
    names = spec.input_schema.get("required")
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def shared_prefix(specs: Iterable[ToolSpec]) -> tuple[str, ...]:
    """The first word that nearly all tools of a server begin with ("github"), unless it is a verb."""
    named = [tokens(spec.original_name or spec.name) for spec in specs if not spec.path]
    if len(named) < 2:
        return ()
    first = named[0][:1]
    if not first or first[0] in VERBS or any(name[:1] != first or len(name) < 2 for name in named):
        return ()
    return first
