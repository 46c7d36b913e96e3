"""Carrying out a script's readings: every value comes from the messages or from the tool's own schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from services.sim.json_schema import MISSING, at, options, property_schema, resolve
from services.sim.script import Ask, Read, ReadList, ReadObject, ReadResult, ReadSchema, ReadUser
from services.sim.script_maker import between
from services.sim.spelling import unspell
from services.sim.wording import article

Json = dict[str, Any]


class Unreadable(ValueError):  # noqa: N818  (it is the value that is unreadable; the assistant says so)
    """A value that the messages do not hold. The text says what, in the user's words."""


def asks(read: Read) -> Iterator[str]:
    """Labels of what has to be asked for to make this argument."""
    match read:
        case Ask(label=label):
            yield label
        case ReadObject(fields=fields):
            for part in fields.values():
                yield from asks(part)
        case ReadList(items=items):
            for part in items:
                yield from asks(part)
        case _:
            return


def value_of(
    read: Read, schema: Json, root: Json, messages: Sequence[Json], results: dict[str, Any], name: str
) -> Any:
    """The value of one argument, read where the script says.

    Raises:
        Unreadable: when it is not there.
    """
    match read:
        case ReadUser(message=index, after=after, before=before):
            text = (
                between(str(messages[index].get("content")), after, before) if index < len(messages) else None
            )
            if text is None:
                raise Unreadable(f"I couldn't find the {words(name)} in what you told me")
            try:
                return unspell(text, schema, root)
            except ValueError:
                raise Unreadable(f"{text} doesn't look like a valid {words(name)}") from None
        case ReadResult(step=step, path=path):
            value = at(results.get(step), path) if step in results else MISSING
            if value is MISSING:
                raise Unreadable(f"the earlier result doesn't contain the {words(name)} that I need")
            return value
        case ReadSchema(of=keyword, index=index):
            return fixed_value(keyword, index, schema, root, name)
        case ReadObject(fields=fields):
            return {
                key: value_of(part, property_schema(schema, key, root), root, messages, results, key)
                for key, part in fields.items()
            }
        case ReadList(items=items):
            part_schema = property_schema(schema, 0, root)
            return [value_of(part, part_schema, root, messages, results, name) for part in items]
        case Ask(label=label):
            raise Unreadable(f"I still need {article(label)}")


def fixed_value(keyword: str, index: int, schema: Json, root: Json, name: str) -> Any:
    """The default, const or enum member that the tool's schema holds."""
    for option in (resolve(schema, root), *options(schema, root)):
        if keyword == "enum":
            members = option.get("enum")
            if isinstance(members, list) and index < len(members):
                return members[index]
        elif keyword in option:
            return option[keyword]
    raise Unreadable(f"the tool no longer says what its {words(name)} may be")


def words(identifier: str) -> str:
    """An identifier as words: "orderId" → "order id"."""
    spaced = "".join(f" {char}" if char.isupper() else char for char in identifier)
    return " ".join(spaced.replace("_", " ").replace("-", " ").lower().split())
