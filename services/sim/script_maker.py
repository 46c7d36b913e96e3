"""From a blueprint and the messages so far to the assistant's script: places, never values.

For every argument that the user holds, the place is the user message and the text around the value, the
neighbouring values cut out of it. A fact that no message holds yet becomes a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.blueprint import Blueprint, Constant, Fact, FromFact, FromStep, ListOf, ObjectOf, Source, Work
from services.sim.code_work import sources_of
from services.sim.json_schema import options, plain, property_schema
from services.sim.script import (
    Ask,
    AssistantScript,
    Read,
    ReadList,
    ReadObject,
    ReadResult,
    ReadSchema,
    ReadUser,
    ScriptAnswer,
    ScriptStep,
    ScriptWork,
)
from services.sim.spelling import spell

Json = dict[str, Any]

ANCHOR = 48
"""Length in characters that an anchor is cut to where the shorter form is still unambiguous."""


@dataclass(frozen=True, slots=True)
class Span:
    """A fact's value in a text: ``text[start:end]``."""

    fact: str
    start: int
    end: int


def make_script(blueprint: Blueprint, messages: Sequence[Json]) -> AssistantScript:
    """The script for the assistant's next turn; message indices are those of ``messages``.

    Raises:
        ValueError: when a step has a constant that its tool's schema does not fix, or an unknown tool.
    """
    places = find_places(blueprint.facts, messages)
    tools = {tool.name: tool for tool in blueprint.tools}
    steps = []
    for step in blueprint.steps:
        if step.tool not in tools:
            raise ValueError(f"step {step.id}: {step.tool!r} is not among the blueprint's tools")
        root = tools[step.tool].input_schema
        steps.append(
            ScriptStep(
                id=step.id,
                tool=step.tool,
                wave=step.wave,
                arguments={
                    name: reading(source, property_schema(root, name, root), root, places)
                    for name, source in step.arguments.items()
                },
                purpose=step.purpose,
                code=writing(step.work, places) if step.work is not None else None,
            )
        )
    answer = tuple(
        ScriptAnswer(label=fact.label, step=fact.step, path=fact.path) for fact in blueprint.answer_facts
    )
    return AssistantScript(steps=tuple(steps), answer=answer)


def writing(work: Work, places: dict[str, Read]) -> ScriptWork:
    """What code is to be written, and where the facts in it are read."""
    names = [source.fact for source in sources_of(work) if isinstance(source, FromFact)]
    return ScriptWork(work=work, facts={name: places[name] for name in names})


def reading(source: Source, schema: Json, root: Json, places: dict[str, Read]) -> Read:
    """Where the assistant reads an argument that the plan takes from ``source``."""
    match source:
        case FromFact(fact=fact):
            return places[fact]
        case FromStep(step=step, path=path):
            return ReadResult(step=step, path=path)
        case Constant(value=value):
            return fixed(value, schema, root)
        case ObjectOf(fields=fields):
            return ReadObject(
                fields={
                    name: reading(part, property_schema(schema, name, root), root, places)
                    for name, part in fields.items()
                }
            )
        case ListOf(items=items):
            part_schema = property_schema(schema, 0, root)
            return ReadList(items=tuple(reading(part, part_schema, root, places) for part in items))


def fixed(value: Any, schema: Json, root: Json) -> ReadSchema:
    """Where the schema itself holds ``value``.

    Raises:
        ValueError: when it is neither its default nor its const nor an enum member.
    """
    wanted = plain(value)
    for option in (schema, *options(schema, root)):
        for keyword in ("default", "const"):
            if keyword in option and plain(option[keyword]) == wanted:
                return ReadSchema(of=keyword)
        members = option.get("enum")
        for index, member in enumerate(members if isinstance(members, list) else ()):
            if plain(member) == wanted:
                return ReadSchema(of="enum", index=index)
    raise ValueError(f"{value!r} is not fixed by the schema: neither default nor const nor enum member")


def find_places(facts: Sequence[Fact], messages: Sequence[Json]) -> dict[str, Read]:
    """For each fact, by name, the first place where a user message holds it readably, else a question."""
    places: dict[str, Read] = {}
    for index, message in enumerate(messages):
        content = message.get("content")
        if message.get("role") != "user" or not isinstance(content, str):
            continue
        spans = find_spans(facts, content)
        for number, span in enumerate(spans):
            if span.fact in places:
                continue
            before = spans[number - 1].end if number else 0
            after = spans[number + 1].start if number + 1 < len(spans) else len(content)
            place = anchored(index, content, span, before, after)
            if place is not None:
                places[span.fact] = place
    return places | {fact.name: Ask(label=fact.label) for fact in facts if fact.name not in places}


def find_spans(facts: Sequence[Fact], text: str) -> list[Span]:
    """All whole-word occurrences of the facts' values in ``text``, in order, longer values first.

    Of facts with equal values, the first occurrence goes to the first fact, and so on; what is left
    over stays with the last.
    """
    spans: list[Span] = []
    spelled: dict[str, list[str]] = {}
    for fact in facts:
        spelled.setdefault(spell(fact.value), []).append(fact.name)
    for value in sorted(spelled, key=lambda text_: (-len(text_), text_)):
        names = spelled[value]
        found = 0
        start = text.find(value)
        while start >= 0:
            end = start + len(value)
            free = all(end <= span.start or span.end <= start for span in spans)
            if free and stands_alone(text, start, end):
                spans.append(Span(names[min(found, len(names) - 1)], start, end))
                found += 1
            start = text.find(value, start + 1)
    return sorted(spans, key=lambda span: span.start)


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` is not a part of a longer word or number."""
    left = text[start - 1] if start else " "
    right = text[end] if end < len(text) else " "
    beyond = text[end + 1] if end + 1 < len(text) else " "
    if left.isalnum() or left in "_-." or right.isalnum() or right in "_-":
        return False
    return not (right in ".,:" and beyond.isdigit() and text[end - 1].isdigit())


def anchored(message: int, text: str, span: Span, floor: int, ceiling: int) -> ReadUser | None:
    """Anchors around ``span`` that lead back to it; ``None`` where the text around it is ambiguous.

    ``floor`` and ``ceiling`` are where the neighbouring values end and begin.
    """
    left, right = text[floor : span.start], text[span.end : ceiling]
    for after in (left[-ANCHOR:], left):
        for before in (right[:ANCHOR], right):
            place = ReadUser(message=message, after=after, before=before)
            if between(text, after, before) == text[span.start : span.end]:
                return place
    return None


def between(text: str, after: str, before: str) -> str | None:
    """The part of ``text`` between two anchors, as ``ReadUser`` defines it; ``None`` if there is none."""
    start = text.find(after)
    if start < 0:
        return None
    start += len(after)
    if not before:
        return text[start:] or None
    end = len(text) - len(before) if text.endswith(before) else text.find(before, start)
    return text[start:end] if end > start else None
