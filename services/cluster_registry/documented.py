"""Arguments that a tool's description documents, for tools whose schema says nothing of them.

Scraped catalogs often lost the schemas and kept the docstrings. Read are the habits of docstrings: a section
under ``Args:`` or the like, as lines or run together into one, and ``:param name:``. What is made of them is
a guess at what was lost, and says so in the schema's ``$comment``.
"""

from __future__ import annotations

import json
import re
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.text import clean, word_set, words

RECOVERED: Final = "recovered from the description"
"""``$comment`` of an input schema that was made from a description."""
MAX_ARGUMENTS: Final = 32
TEXT_LENGTH: Final = 300

HEAD: Final = re.compile(
    r"(?:^|(?<=[\s.!?。*#]))(?:Args|Arguments|Keyword Arguments|Keyword Args|Parameters|Params|"
    r"(?:Get|Post|Request|Path|Query|Body) Request Parameters|Request Parameters|Required Parameters|"
    r"Input Parameters|Tool Parameters|Inputs?(?: \([a-z ]+\))?|参数|参数说明|输入参数|Parámetros|Argumentos)"
    r"[ \t]*(?:\*\*)?[ \t]*[:：](?:\*\*)?",
)
END: Final = re.compile(
    r"(?:^|\s)(?:Returns?|Return value|Return Value|Raises|Yields|Outputs?|Response|Responses|Examples?|"
    r"Example usage|Usage|Usage Example|Notes?|NOTE|Note|Warnings?|Important|IMPORTANT|Error Responses|"
    r"返回|返回值|示例|注意)\s*[:：]|(?:^|\s)```"
)
ENTRY: Final = re.compile(
    r"(?:^|(?<=\s))(?P<bullet>[-*•]\s*)?[`*\"']{0,3}(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})[`*\"']{0,3}"
    r"\s*(?:[(（](?P<kind>[^()（）]{1,80}(?:\([^()]*\))?[^()（）]{0,40})[)）]"
    r"\s*(?:[:：](?=\s)|[-–—]\s(?!\s*\w+\s*[(:]))|[:：](?=\s)(?!\s*https?://))\s*"
)
PARAM: Final = re.compile(
    r":param\s+(?:(?P<kind>\w+)\s+)?(?P<name>\w+)\s*:\s*(?P<text>.*?)(?=:\w+|\Z)", re.DOTALL
)
NO_NAMES: Final = word_set(
    "e g i eg ie example examples note notes default defaults http https warning important tip hint usage "
    "mean means have has str int float bool list dict "
    "see optional required or and if returns return raises where one values supported options allowed valid "
    "following with for format formats the a an in is are be can will must should when use either "
    "parameter parameters args arguments params keys fields attributes properties"
)
"""Words before a colon in running text; a line of its own may be named by the last of them."""
INJECTED: Final = frozenset({"ctx", "self", "cls"})
INJECTED_TEXT: Final = re.compile(
    r"\b(fast)?mcp\b.*\bcontext\b|\bcontext (object|for logging)\b", re.IGNORECASE
)
OPTIONAL: Final = re.compile(
    r"\boptional(ly)?\b|\bdefaults?\b|可选|默认|\bif (not )?(provided|given|omitted)\b", re.IGNORECASE
)
REQUIRED: Final = re.compile(r"\brequired\b|必填|必需", re.IGNORECASE)
DEFAULT: Final = re.compile(
    r"\bdefaults?(?: value)?(?:\s*(?:to|is|=|:)\s*|\s+)(?P<quote>[\"'`]?)(?P<value>[^\s\"'`,;)]{1,60})",
    re.IGNORECASE,
)
QUOTED: Final = re.compile(r"[\"'`]([\w./+-]{1,40})[\"'`]")
CHOICE: Final = re.compile(
    r"(?:one of|either|must be|supported values(?: are)?|valid values(?: are)?|allowed values(?: are)?|"
    r"possible values(?: are)?|options?(?: are)?|values|can be|type -)\s*:?\s*[\[(]?\s*"
    r"(?P<list>[\"'`][\w./+-]{1,40}[\"'`](?:[^\"'`]{1,40}?[\"'`][\w./+-]{1,40}[\"'`]){1,30})",
    re.IGNORECASE,
)
LEADING_CHOICE: Final = re.compile(
    r"\A(?:[\w -]{0,30}?[-:(]\s*)?"
    r"(?P<list>[\"'`][\w./+-]{1,40}[\"'`](?:\s*(?:,|or|, or|/|\|)\s*[\"'`][\w./+-]{1,40}[\"'`])+)"
)
KINDS: Final = (
    ("array", re.compile(r"\b(list|array|sequence|tuple|set)\b", re.IGNORECASE)),
    ("object", re.compile(r"\b(dict|dictionary|object|map|mapping|json object)\b", re.IGNORECASE)),
    ("boolean", re.compile(r"\b(bool|boolean)\b", re.IGNORECASE)),
    ("integer", re.compile(r"\b(int|integer)\b", re.IGNORECASE)),
    ("number", re.compile(r"\b(float|number|double|decimal)\b", re.IGNORECASE)),
    ("string", re.compile(r"\b(str|string|text|date|datetime|uuid|url)\b", re.IGNORECASE)),
)
TEXT_KINDS: Final = (
    ("string", re.compile(r"\A(optional )?(a )?(json|comma[- ]separated)", re.IGNORECASE)),
    ("boolean", re.compile(r"\A(optional )?(whether|if true|true (to|if|for)|flag)\b|是否", re.IGNORECASE)),
    ("array", re.compile(r"\A(optional )?(an? )?(list|array) of\b", re.IGNORECASE)),
    (
        "object",
        re.compile(
            r"\A(optional )?(an? )?(dict|dictionary|mapping|object (with|containing|of))\b", re.IGNORECASE
        ),
    ),
    (
        "integer",
        re.compile(
            r"\A(optional )?(the )?(how many|(maximum |max |total )?number of|page (number|size))\b",
            re.IGNORECASE,
        ),
    ),
)
TYPED: Final = re.compile(r"((?:str|int|float|bool|list|dict|List|Dict|Optional)(?:\[[^\]]*\])?)\s*:\s+")
PAGING: Final = word_set(
    "limit offset page cursor per_page page_size pagesize items_per_page max_results maxresults count sort "
    "sort_by order order_by direction start_at startat page_token next_token expand fields"
)
COUNTING: Final = word_set("limit offset count page size num max min top days hours minutes seconds year")


def documented(description: object) -> tuple[Json | None, str]:
    """The input schema that a description documents, and the description without that section.

    None if it documents nothing; a schema without properties if it says that there are no arguments but
    those that the server passes to itself.
    """
    text = description[:8_000] if isinstance(description, str) else ""
    params = list(PARAM.finditer(text))
    if params:
        found = [(one["name"], one["kind"] or "", one["text"]) for one in params]
        return _schema(found), clean(text[: params[0].start()], 1_024)
    for head in HEAD.finditer(text):
        body = text[head.end() :]
        end = END.search(body)
        section = body[: end.start()] if end else body
        found = _lines(section) if "\n" in section.strip() else _running(section)
        if found:
            rest = text[: head.start()] + (" " + body[end.start() :].strip() if end else "")
            return _schema(found), clean(rest.strip(), 1_024)
    return None, clean(text, 1_024)


def _lines(section: str) -> list[tuple[str, str, str]]:
    """Arguments one a line; lines further in go on with the one before."""
    found: list[tuple[str, str, str]] = []
    indent = -1
    for line in section.expandtabs().splitlines():
        stripped = line.strip()
        if not stripped:
            continue
        at = len(line) - len(line.lstrip())
        match = ENTRY.match(stripped)
        if match and (indent < 0 or at <= indent):
            indent = max(indent, at)
            found.append((match["name"], match["kind"] or "", stripped[match.end() :]))
        elif found and at >= indent:
            name, kind, text = found[-1]
            found[-1] = (name, kind, f"{text} {stripped}")
        elif found:
            break
    return found


def _running(section: str) -> list[tuple[str, str, str]]:
    """Arguments run together into one line: each goes up to where the next begins."""
    entries = [
        one
        for one in ENTRY.finditer(section)
        if one["kind"]
        or (one["name"].lower() not in NO_NAMES and not (one["name"][0].isupper() and "_" not in one["name"]))
    ]
    if entries and not entries[0]["bullet"]:  # what has bullets is a list of choices then
        entries = [one for one in entries if not one["bullet"]]
    if not entries or section[: entries[0].start()].strip(" -*•\n"):
        return []  # the section begins with prose
    ends = [one.start() for one in entries[1:]] + [len(section)]
    return [
        (one["name"], one["kind"] or "", section[one.end() : end].strip())
        for one, end in zip(entries, ends, strict=True)
    ]


def _schema(found: list[tuple[str, str, str]]) -> Json:
    properties: Json = {}
    required: list[str] = []
    for name, kind, text in found:
        injected = name in INJECTED or (name == "context" and INJECTED_TEXT.search(text))
        if injected or name in properties or len(properties) >= MAX_ARGUMENTS:
            continue
        made = properties[name] = _argument(name, kind, text)
        said = f"{kind} {text[:TEXT_LENGTH]}"
        # Flags and pages are seldom needed, whether or not somebody wrote it down.
        spare = OPTIONAL.search(said) or made["type"] == "boolean" or name.lower() in PAGING
        if REQUIRED.search(said) or not spare:
            required.append(name)
    schema: Json = {"type": "object", "$comment": RECOVERED, "properties": properties}
    return {**schema, "required": required} if required else schema


def _argument(name: str, kind: str, text: str) -> Json:
    """The schema of one argument, as far as its words tell."""
    typed = TYPED.match(text)  # port: int: the port
    if typed and not kind:
        kind, text = typed[1], text[typed.end() :]
    said = clean(text.strip(" -–—"), TEXT_LENGTH)
    type_ = _type(name, kind, said)
    made: Json = {"type": type_}
    if said:
        made["description"] = said
    if type_ == "array":
        inner = re.search(r"(?:list|array|sequence)\s*(?:\[|of )\s*(\w+)", kind, re.IGNORECASE)
        item = _kind(inner[1]) if inner else ""
        made["items"] = {"type": item or "string"}
    if type_ == "string":
        listed = CHOICE.search(said) or LEADING_CHOICE.search(said) or LEADING_CHOICE.search(kind)
        values = list(dict.fromkeys(QUOTED.findall(listed["list"]))) if listed else []
        if len(values) > 1:
            made["enum"] = values
    default = _default(type_, f"{kind} {said}")
    if default is not None and ("enum" not in made or default in made["enum"]):
        made["default"] = default
    return made


def _type(name: str, kind: str, text: str) -> str:
    declared = _kind(kind)
    if declared:
        return declared
    for type_, pattern in TEXT_KINDS:
        if pattern.search(text):
            return type_
    parts = words(name)
    if parts and parts[0] in ("is", "has", "include", "enable", "only"):
        return "boolean"
    default = DEFAULT.search(text)
    if default and default["value"].rstrip(".").lower() in ("true", "false"):
        return "boolean"
    if parts and (parts[-1] in COUNTING or parts[0] in ("max", "min", "num", "per")):
        value = default["value"].rstrip(".") if default else "1"
        return "integer" if value.isdigit() else "string"
    return "string"


def _kind(kind: str) -> str:
    return next((type_ for type_, pattern in KINDS if pattern.search(kind)), "")


def _default(type_: str, text: str) -> object:
    """The default that a text names, if it is one of the type; else None."""
    match = DEFAULT.search(text)
    if match is None or type_ in ("array", "object"):
        return None
    value = match["value"].rstrip(".")
    if type_ == "string":
        return value if match["quote"] and re.fullmatch(r"[\w./:+-]+", value) else None
    try:
        found = json.loads(value.lower())
    except ValueError:
        return None
    kinds = {"boolean": bool, "integer": int, "number": (int, float)}[type_]
    return found if isinstance(found, kinds) and isinstance(found, bool) == (type_ == "boolean") else None  # type: ignore[arg-type]
