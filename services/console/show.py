"""One trajectory for a reader: as Markdown, and as plain text with a few colours for a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from schemas.blueprint import Blueprint
from services.console.errors import UserError
from services.console.export import decoded
from services.console.export import row as row_of
from services.console.ledger import Ledger
from services.sim.code_tool import CODE_TOOL

if TYPE_CHECKING:
    from rich.text import Text

Json = dict[str, Any]
Name = TypeVar("Name", str, tuple[str, str])
Count = TypeVar("Count", int, float)

WIDTH: Final = 100
SHORT: Final = 12
"""Lines of an observation that a terminal is shown."""
MARKDOWN_CHARACTERS: Final = 4000
INVISIBLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control and direction characters, which could rewrite the screen or turn a line around."""
STYLES: Final = {"user": "bold cyan", "assistant": "bold green", "tool": "magenta", "system": "dim"}


def find(ledger: Ledger, which: str) -> tuple[Json, Blueprint]:
    """The row and the blueprint of a row number (from 0) or a run id.

    Raises:
        UserError: there is none.
    """
    run = which
    if which.isdigit():
        admitted = ledger.admitted
        if int(which) >= len(admitted):
            there = f"rows go from 0 to {len(admitted) - 1}" if admitted else "no row is admitted yet"
            raise UserError(f"there is no row {which}", there)
        run = admitted[int(which)].run
    try:
        return row_of(ledger, run), ledger.blueprint(run)
    except LookupError as error:
        raise UserError(error.args[0], "give a row number (from 0) or a run's id, such as c7.12.1") from None


def show_markdown(row: Json, blueprint: Blueprint) -> str:
    """The trajectory as a Markdown page."""
    about = row["metadata"]
    parts = [f"# {row['id']}", "", f"**Goal** {inline(blueprint.goal)}", ""]
    parts += ["| | |", "|---|---|"]
    parts += [f"| {name} | {inline(value)} |" for name, value in facts(row, blueprint)]
    parts += ["", "## Conversation", ""]
    for message in row["messages"]:
        role = message["role"]
        if role == "tool":
            text = cut(pretty(message["content"]), MARKDOWN_CHARACTERS)
            parts += [f"**tool** `{message['name']}` answers `{message['tool_call_id']}`", ""]
            parts += [*fenced(text, "json"), ""]
            continue
        if message.get("content"):
            parts += [f"**{role}**", "", *quoted(message["content"]), ""]
        for call in message.get("tool_calls") or ():
            function = call["function"]
            parts += [f"**{role}** calls `{function['name']}` (`{call['id']}`)", ""]
            code = code_in(function)
            parts += [
                *(fenced(code, "python") if code else fenced(pretty(function["arguments"]), "json")),
                "",
            ]
    parts += ["## Verdict", "", *verdict_lines(about, "- ")]
    return "\n".join(visible(part) for part in parts).rstrip() + "\n"


def show_text(row: Json, blueprint: Blueprint, width: int = WIDTH) -> Text:
    """The trajectory for a terminal of ``width`` columns; long observations are cut."""
    from rich.text import Text

    text = Text()
    text.append(visible(row["id"]), style="bold")
    text.append("\n")
    for name, value in [("goal", blueprint.goal), *facts(row, blueprint)]:
        _labelled(text, name, str(value), "dim", "", width)
    text.append("\n")
    for message in row["messages"]:
        role = message["role"]
        style = STYLES.get(role, "")
        if role == "system":
            continue
        if role == "tool":
            _labelled(text, "tool", shortened(pretty(message["content"]), width), style, "dim", width)
            continue
        if message.get("content"):
            _labelled(text, role, message["content"], style, "", width)
        for call in message.get("tool_calls") or ():
            function = call["function"]
            code = code_in(function)
            made = f"{function['name']}:\n{code}" if code else call_text(function)
            _labelled(text, "call", made, style, "yellow", width)
    text.append("\n")
    for line in verdict_lines(row["metadata"], ""):
        text.append(visible(line) + "\n", style="green" if row["metadata"]["verdict"]["passed"] else "red")
    return text


def call_text(function: Json) -> str:
    """A call as it is written in a line: ``name(argument=value)``."""
    return f"{function['name']}({arguments(function['arguments'])})"


def code_in(function: Json) -> str:
    """The source in a call of the code tool, to be shown line by line; empty in any other call."""
    given = decoded(function["arguments"]) if function["name"] == CODE_TOOL else None
    code = given.get("code") if isinstance(given, dict) else None
    return code if isinstance(code, str) else ""


def facts(row: Json, blueprint: Blueprint) -> list[tuple[str, str]]:
    """What there is to know of a row besides its messages."""
    about = row["metadata"]
    distractors = set(blueprint.distractors)
    tools = [tool.name for tool in blueprint.tools if tool.name not in distractors]
    held = [
        f"{fact.label}: {plain(fact.value)}{' (when asked)' if fact.asked else ''}"
        for fact in blueprint.facts
    ]
    faults = [f"{step.tool} {step.fault.error}" for step in blueprint.steps if step.fault is not None]
    found = [
        ("persona", blueprint.persona),
        ("user knows", "; ".join(held) or "nothing in particular"),
        ("domains", ", ".join(about["domains"])),
        ("tools", f"{', '.join(tools)}" + (f" and {len(distractors)} not needed" if distractors else "")),
        ("mode", f"{about['mode'] or '-'} · {about['signature'] or '-'}"),
        ("complexity", f"{about['complexity']:.1f} (band {about['band']})"),
        ("slot", f"{about['slot']} of generation {about['generation']}, attempt {about['attempt']}"),
    ]
    return [*found, ("faults", ", ".join(faults))] if faults else found


def verdict_lines(about: Json, bullet: str) -> list[str]:
    """The verdict, and why a failed run failed."""
    found = ["passed" if about["verdict"]["passed"] else "not passed"]
    found += [
        f"{one['code']} ({one['attribution']}): {one['detail']}" for one in about["verdict"]["findings"]
    ]
    failure = about.get("failure")
    if failure and failure["stage"] != "verification":
        found.append(
            f"failed in {failure['stage']}: {failure['code']} ({failure['attribution']}) {failure['detail']}"
        )
    return [bullet + line for line in found]


def plain(value: Any) -> str:
    """A value in one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def pretty(text: str) -> str:
    """JSON text laid out; other text as it is."""
    value = decoded(text)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def arguments(text: str) -> str:
    """``order_id="A-12", limit=3``; text that is no JSON object as it is."""
    value = decoded(text)
    if not isinstance(value, dict):
        return text
    return ", ".join(f"{name}={json.dumps(item, ensure_ascii=False)}" for name, item in value.items())


def most_first(counts: Mapping[Name, Count]) -> list[tuple[Name, Count]]:
    """Names and their counts, the most frequent first, and what is as frequent by its name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def visible(text: str) -> str:
    """The text without characters that move the cursor or turn the line around."""
    return INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


def inline(text: str) -> str:
    """Text for one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def quoted(text: str) -> list[str]:
    """A Markdown quotation."""
    return [f"> {line}".rstrip() for line in text.splitlines()]


def fenced(text: str, language: str) -> list[str]:
    """A Markdown code block that no text can break out of."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]


def cut(text: str, characters: int) -> str:
    """The text, or its beginning and how much is left out."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]}\n… {len(text) - characters} characters more"


def shortened(text: str, width: int) -> str:
    """At most ``SHORT`` lines, and how many are left out."""
    lines = [line for long in text.splitlines() for line in wrapped(long, width - 12)]
    if len(lines) <= SHORT + 3:
        return text
    return "\n".join([*lines[:SHORT], f"… {len(lines) - SHORT} lines more (--markdown or --json shows them)"])


def wrapped(text: str, width: int) -> Iterator[str]:
    """The text in lines of at most ``width`` characters, broken at blanks; what stands in front is kept."""
    indent = text[: len(text) - len(text.lstrip())]
    while len(text) > width:
        at = text.rfind(" ", len(indent) + 1, width + 1)
        at = at if at > 0 else width
        yield text[:at].rstrip()
        text = indent + text[at:].lstrip()
    yield text


def _labelled(text: Text, label: str, body: str, label_style: str, style: str, width: int) -> None:
    """A label in a column of its own, and the body beside it."""
    lines: Sequence[str] = [
        line for long in visible(body).splitlines() or [""] for line in wrapped(long, width - 12)
    ]
    for number, line in enumerate(lines):
        text.append(f"{label if number == 0 else '':<11} ", style=label_style)
        text.append(line + "\n", style=style)
