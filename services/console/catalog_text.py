"""The bytes of a catalog file as one JSON value: unzipped, JSON or YAML, with nothing a message cannot carry.

YAML is read with the plain types of YAML 1.2 and no others (``no`` and dates are text); its aliases count as
if they were written out.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from dataclasses import dataclass
from typing import IO, Any, Final, cast

MAX_DEPTH: Final = 100
MAX_YAML_BYTES: Final = 16 * 1024 * 1024
MAX_YAML_VALUES: Final = 2_000_000
MAX_YAML_CHARS: Final = 64 * 1024 * 1024
"""Values, keys among them, and their characters, every alias written out."""
INTEGER: Final = re.compile(r"[-+]?[0-9]{1,300}\Z")
NUMBER: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
GZIP_MAGIC: Final = b"\x1f\x8b"
SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")
BOM: Final = b"\xef\xbb\xbf"
YAML_NAMES: Final = (".yaml", ".yml")
YAML_START: Final = re.compile(rb"(?:\s|#[^\n]*\n|---\s)*[\"']?(?:openapi|swagger)[\"']?\s*:")
SHAPES: Final = (
    'a server is an object with "name" and "tools"; a file may hold one, a list of them, {"servers": [...]}, '
    "the result of tools/list, one server a line (.jsonl), or an OpenAPI or Swagger document"
)


class Unreadable(Exception):  # noqa: N818  (it names the finding)
    """What is wrong with a text, and what to do; ``line`` is 0 where the whole is meant."""

    def __init__(self, reason: str, advice: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.line = line


def unzipped(raw: IO[bytes], *, zipped_name: bool) -> IO[bytes]:
    """The content of an open file, unzipped if it is gzip, whatever it is called.

    Raises:
        Unreadable: it is empty, or named as gzip and is not.
    """
    head = raw.read(2)
    raw.seek(0)
    if not head:
        raise Unreadable("the file is empty", SHAPES)
    if head == GZIP_MAGIC:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))
    if zipped_name:
        raise Unreadable("named .gz, but not gzipped", "drop the .gz from its name, or compress it with gzip")
    return raw


def is_yaml(name: str, text: bytes) -> bool:
    """Whether a file, by its name without ``.gz`` or by how it begins, is meant as YAML."""
    return name.endswith(YAML_NAMES) or YAML_START.match(text[:4096]) is not None


def parse_json(text: bytes) -> Any:
    """The JSON value of ``text``.

    Raises:
        Unreadable: it is none, or is nested too deep.
    """
    decoded = _decoded(text)
    try:
        value = json.loads(decoded, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        what = (
            "cut short"
            if error.pos >= len(decoded.rstrip())
            else f"near {decoded[error.pos : error.pos + 20]!r}"
        )
        reason = f"not JSON: {error.msg} at column {error.colno} ({what})"
        advice = "mend or remove it" if error.lineno == 1 else f"mend it there; {SHAPES}"
        if error.lineno > 1 or "Extra data" in error.msg:
            advice = "mend it there, or name the file .jsonl if it has one server a line"
        raise Unreadable(reason, advice, error.lineno) from None
    except RecursionError:
        raise Unreadable("nested too deep to be read", f"at most {MAX_DEPTH} levels are taken") from None
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}", "mend or remove it") from None
    if _deeper_than(value, MAX_DEPTH):
        raise _too_deep()
    if SURROGATE.search(decoded):
        # Halves of surrogate pairs, written as escapes, are text that no UTF-8 message can carry.
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def parse_yaml(text: bytes) -> Any:
    """The JSON value of a YAML text: one document of plain types, aliases written out within bounds.

    Made from the parser's events one by one, so that nothing is entered deeper or repeated more often than
    it may be.

    Raises:
        Unreadable: it is none, or is too large, too deep, or holds what JSON does not.
    """
    import yaml

    if len(text) > MAX_YAML_BYTES:
        reason = f"{len(text)} bytes of YAML; at most {MAX_YAML_BYTES} are read"
        raise Unreadable(reason, "convert it to JSON: that may be larger")
    builder = _Builder()
    mark: Any
    line = 0
    try:
        for event in yaml.parse(_decoded(text), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            mark = event.start_mark
            line = mark.line + 1 if mark else line
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = mark.line + 1 if mark else line
        what = " ".join(str(error.problem or error.context or "cannot be read").split())
        raise Unreadable(f"not YAML: {what}", "mend it there", at) from None
    except yaml.YAMLError as error:
        raise Unreadable(f"not YAML: {' '.join(str(error).split())[:200]}", "mend it") from None
    except _Refused as refused:
        raise Unreadable(str(refused), "mend it there, or write it as JSON", line) from None
    # Written out, so that no two places share a value.
    return json.loads(json.dumps(builder.value).encode("utf-8", "replace"))


class _Refused(Exception):  # noqa: N818  (never leaves this module)
    """What is wrong with a YAML text, at the event that was taken last."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that is not closed yet: how many values and characters are in it, written out."""

    value: Any
    anchor: str | None
    values: int = 1
    chars: int = 0
    depth: int = 1
    key: str | None = None


class _Builder:
    """Builds one value from YAML's events."""

    def __init__(self) -> None:
        self.value: Any = None
        self.documents = 0
        self.open: list[_Open] = []
        self.anchors: dict[str, _Open | None] = {}
        """Closed anchors with their sizes; None while they are open."""

    def take(self, event: Any) -> None:
        """One event."""
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            self.documents += 1
            if self.documents > 1:
                raise _Refused("a second YAML document begins here; one is taken")
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self.check_tag(event.tag, ("map", "seq"))
            if len(self.open) >= MAX_DEPTH:
                raise _Refused(f"nested more than {MAX_DEPTH} deep")
            if self.open and isinstance(self.open[-1].value, dict) and self.open[-1].key is None:
                raise _Refused("a key is a list or mapping")
            if event.anchor:
                self.anchors[event.anchor] = None
            self.open.append(_Open({} if kind == "MappingStartEvent" else [], event.anchor))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            closed = self.open.pop()
            if isinstance(closed.value, dict):
                closed.value = _merged(closed.value)
            self.put(closed)
        elif kind == "ScalarEvent":
            self.check_tag(event.tag, ("str", "int", "float", "bool", "null"))
            plain = event.implicit[0] and event.tag != "tag:yaml.org,2002:str"
            value = _scalar(event.value) if plain else event.value
            self.put(_Open(value, event.anchor, 1, len(event.value), 0))
        elif kind == "AliasEvent":
            named = self.anchors.get(event.anchor, self)
            if named is self:
                raise _Refused(f"the alias *{event.anchor[:40]} names nothing")
            if not isinstance(named, _Open):
                raise _Refused(f"the alias *{event.anchor[:40]} stands inside of what it names")
            self.put(_Open(named.value, None, named.values, named.chars, named.depth))

    def check_tag(self, tag: str | None, known: tuple[str, ...]) -> None:
        """Only the tags of JSON's own types are taken."""
        if tag is not None and tag.removeprefix("tag:yaml.org,2002:") not in ("!", *known):
            raise _Refused(f"the tag {tag[:80]} is none of JSON's types")

    def put(self, made: _Open) -> None:
        """A whole value, where it belongs."""
        if made.anchor:
            self.anchors[made.anchor] = made
        if not self.open:
            self.value = made.value
            return
        holder = self.open[-1]
        holder.values += made.values
        holder.chars += made.chars
        holder.depth = max(holder.depth, 1 + made.depth)
        if holder.values > MAX_YAML_VALUES or holder.chars > MAX_YAML_CHARS:
            limit = f"{MAX_YAML_VALUES} values or {MAX_YAML_CHARS} characters"
            raise _Refused(f"with its aliases written out it has more than {limit}")
        if len(self.open) + made.depth > MAX_DEPTH:
            raise _Refused(f"with its aliases written out it is nested more than {MAX_DEPTH} deep")
        if isinstance(holder.value, list):
            holder.value.append(made.value)
        elif holder.key is None:
            if isinstance(made.value, list | dict):
                raise _Refused("a key is a list or mapping")
            holder.key = made.value if isinstance(made.value, str) else json.dumps(made.value)
        else:
            holder.value[holder.key] = made.value
            holder.key = None


def _scalar(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if INTEGER.match(text):
        return int(text)
    if NUMBER.match(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _merged(mapping: Any) -> Any:
    """A mapping with its merge key (``<<``) carried out."""
    merged = mapping.pop("<<", None)
    for more in merged if isinstance(merged, list) else [merged]:
        mapping = {**more, **mapping} if isinstance(more, dict) else mapping
    return mapping


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 (byte {error.start})", "save the file as UTF-8") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _too_deep() -> Unreadable:
    return Unreadable(f"nested more than {MAX_DEPTH} deep", "flatten the schema, or leave the tool out")


def _deeper_than(value: Any, limit: int) -> bool:
    layer = [value]
    for _ in range(limit):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True
