"""The words that tool definitions are made of: verbs, kinds of identity, and words that say nothing.

The lists are ours, gathered from reading real APIs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.cluster_registry.text import singular, word_set, words

Identity = tuple[str, str]
"""What a value identifies, and how: ``("order", "id")``."""

VERBS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("list", "ls", "browse", "enumerate", "index"), "list"),
    **dict.fromkeys(("search", "find", "query", "lookup", "filter", "autocomplete", "suggest"), "search"),
    **dict.fromkeys(
        ("get", "fetch", "read", "retrieve", "describe", "show", "view", "download", "check"), "get"
    ),
    **dict.fromkeys(
        ("create", "add", "new", "insert", "post", "register", "make", "invite", "book"), "create"
    ),
    **dict.fromkeys(("upload", "generate", "place", "clone"), "create"),
    **dict.fromkeys(
        ("update", "edit", "modify", "patch", "set", "change", "rename", "replace", "put"), "update"
    ),
    **dict.fromkeys(
        ("delete", "remove", "destroy", "purge", "drop", "revoke", "terminate", "erase"), "delete"
    ),
    **dict.fromkeys(("unlink", "detach", "disassociate", "deregister", "untag"), "delete"),
}
ACTIONS: Final = word_set(
    "cancel start run launch submit send close open approve reject accept decline archive unarchive "
    "restore enable disable stop restart pause resume move copy export import validate verify "
    "confirm refund pay capture publish test sync refresh reset retry associate attach tag count "
    "stats batch bulk execute merge lock unlock"
)
KINDS: Final[Mapping[str, str]] = {
    "id": "id", "ids": "id", "oid": "id", "pk": "id", "identifier": "id", "identifiers": "id",
    "uuid": "uuid", "guid": "uuid", "uid": "uid", "uri": "uri", "urn": "urn", "arn": "arn", "gid": "gid",
    "name": "name", "names": "name", "slug": "slug", "slugs": "slug", "key": "key", "keys": "key",
    "code": "code", "codes": "code", "number": "number", "sku": "sku", "skus": "sku", "email": "email",
    "username": "username", "login": "login", "handle": "handle", "sha": "sha", "symbol": "symbol",
    "symbols": "symbol", "isbn": "isbn", "barcode": "barcode", "iban": "iban", "ticker": "ticker",
    "hash": "hash", "domain": "domain", "sid": "sid", "token": "token",
    "uuids": "uuid", "guids": "uuid", "uids": "uid", "gids": "gid", "arns": "arn", "sids": "sid",
    "tickers": "ticker", "usernames": "username", "logins": "login",
}  # fmt: skip
MANY: Final = frozenset(
    {"ids", "names", "keys", "slugs", "codes", "skus", "symbols", "uuids", "guids", "uids", "arns", "sids"}
    | {"tickers", "usernames", "logins"}
)
"""Kinds of several at once."""
LISTED: Final = frozenset({"list", "array", "set"})
"""``user_id_list`` is of ids, whatever holds them."""
# What has ids of its own, though its name mostly only qualifies: a file_id is a file's.
NOUNS: Final = word_set(
    "file event session item action page field host metric column property attribute client country currency "
    "language region resource version type"
)
KEYED: Final = frozenset({"file", "event", "session", "page"})
"""Of these, what is told by a key."""
# These identify by themselves, whatever they are found in.
DISTINCTIVE: Final = frozenset({"sku", "isbn", "barcode", "iban", "ticker"})
# "next page token", "request id", "parent id": not the identity of an entity that another tool asks for.
QUALIFIERS: Final = word_set(
    "request correlation trace external reference ref parent owner creator next previous prev last "
    "first start end min max page cursor continuation since before after api access secret auth "
    "session idempotency pagination sort order_by display full given family file host status error "
    "zip postal country currency language locale region time timezone client_request client state "
    "original default new old source target from to created updated modified deleted by object "
    "resource item entity type version response result metric column field attribute property event "
    "action security public private refresh invalidation caller self x ms"
)
WRAPPERS: Final = word_set(
    "value values item items data result results response list entries entry records record objects "
    "object body content contents payload edges node nodes page pages rows row collection hits docs "
    "members embedded resources resource return output outputs info details detail summaries summary "
    "elements element"
)
ROLES: Final = word_set(
    "assignee owner author creator reporter reviewer approver recipient sender requester responsible"
)
"""What people are called for what they do: whose id it is, a list of people tells."""
PEOPLE: Final = ("user", "member", "contact", "person")
GROUPS: Final = frozenset({"me", "self", "current", "myself"})
NOISE: Final = word_set("all by with the of for a an in to and from my v1 v2 v3 api rest json async")


def entity(name: str) -> str:
    """An entity's name as one singular noun phrase: ``"purchaseOrders"`` is ``"purchase_order"``."""
    parts = [word for word in words(name) if not word.isdigit()]
    return "_".join([*parts[:-1], singular(parts[-1])]) if parts else ""


PREFIX_VERBS: Final = word_set("get list create update delete add remove find fetch")


def kind_of(name: str) -> Identity | None:
    """The identity that a field's name tells: ``orderId`` is ``("order", "id")``, ``id`` is ``("", "id")``.

    None for a name that identifies nothing, or something that no other tool asks for.
    """
    parts = words(name)
    if len(parts) > 2 and parts[-1] in LISTED and parts[-2] in KINDS:
        parts = parts[:-1]
    if not parts:
        return None
    kind = KINDS.get(parts[-1])
    if kind is None:
        return (singular(parts[1]), "id") if parts[0] == "id" and len(parts) == 2 else None
    qualifier = [word for word in parts[:-1] if not word.isdigit()]
    if qualifier and (
        (set(qualifier) <= QUALIFIERS and not (kind in ("id", "uuid", "key") and _noun(qualifier, kind)))
        or qualifier[0] in ("external", "parent", "next", "previous")
    ):
        return None
    if qualifier and qualifier[-1] == "or":  # name_or_id, projectIdOrKey: the entity is told elsewhere
        return "", kind
    if qualifier and qualifier[-1] in ("vat", "tax", "national"):  # of the papers, not of the program
        return None
    if kind in ("token", "hash", "domain") and not qualifier:
        return None
    if kind == "token" or (kind == "key" and qualifier and qualifier[-1] in QUALIFIERS - KEYED):
        return None
    if (
        kind == "name"
        and qualifier
        and qualifier[0] in ("display", "full", "given", "family", "first", "last")
    ):
        return None
    if not qualifier:
        return "", kind
    return "_".join([*qualifier[:-1], singular(qualifier[-1])]), kind


def _noun(qualifier: list[str], kind: str) -> bool:
    """Words that else only qualify name something here: a result file, but no next page."""
    if kind == "key" and qualifier[-1] not in KEYED:
        return False
    return qualifier[-1] in NOUNS and (len(qualifier) == 1 or qualifier[0] in NOUNS | {"result"})
