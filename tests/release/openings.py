"""What users say on real catalogs: openings that differ, and no name of a program, open slot or stand-in.

Told by the exported dataset alone. With values masked at least half of the openings are distinct, and none
is more than 2 % of them; the validator holds on every row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.release.bench import API_TOOLS, Bench, Findings, Row, Skipped
from tests.release.replacement import decoded, leaves
from tests.validator.report import validate

MIN_DISTINCT: Final = 0.5
MAX_SHARE: Final = 0.02
CATALOGS: Final = (
    ("api_tools", API_TOOLS, 500),
    ("mcp_servers", API_TOOLS.with_name("mcp_servers.jsonl.gz"), 300),
)
ADDRESS: Final = re.compile(
    r"https?://\S+|\S+@\S+|\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|dev|co|tv|systems)\b\S*"
)
IDENTIFIER: Final = re.compile(r"_|[a-z][A-Z]|\d")
SLOT: Final = re.compile(
    r"\{[^}]*\}|<[^>]*>|\[[^\]]*\]|%\(?\w*\)?s\b|\$\w+|\b(?:None|null|undefined|NaN|TODO|TBD)\b"
)
STAND_IN: Final = re.compile(r"(\b[a-z]{4,} )?\b(foo|example|string)\b", re.IGNORECASE)


def check(bench: Bench, found: Findings) -> None:
    for name, file, full in CATALOGS:
        if not file.exists():
            raise Skipped(f"there is no {file}")
        wanted = bench.size(full, 40)
        folder = bench.folder / f"openings-{name}"
        made = bench.make(folder, "--catalog", file, "--trajectories", wanted, "--seed", 1)
        if made.done.code != 0:
            found.wrong.append(f"{name}: the campaign ended with {made.done.code}: {made.done.tail()}")
            continue
        rows = made.rows()
        found.expect(len(rows) == wanted, f"{name}: {len(rows)} rows, not {wanted}")
        distinct, most, opening = variety(rows)
        found.say(
            f"{name}: {len(rows)} rows, {distinct:.0%} of openings distinct, the commonest {most} times"
        )
        found.expect(distinct >= MIN_DISTINCT, f"{name}: {distinct:.0%} of the openings are distinct")
        found.expect(most <= max(1, MAX_SHARE * len(rows)), f"{name}: {most} rows open with {opening!r}")
        complaints = [complaint for row in rows for complaint in wrong_texts(row)]
        found.wrong.extend(f"{name}: {complaint}" for complaint in complaints[:10])
        report = validate(made.dataset)
        found.say(
            f"{report.share_multi:.0%} with two or more calls, {report.share_no_args:.1%} of calls bare"
        )
        found.wrong.extend(f"{name}: {count} × {code}" for code, count in sorted(report.violations.items()))
        if bench.full:  # 40 rows are too few for shares
            found.wrong.extend(f"{name}: {missed}" for missed in report.missed)


def variety(rows: Sequence[Row]) -> tuple[float, int, str]:
    """(share of openings that are distinct with values masked, how often the commonest stands, it)."""
    openings = Counter(masked(said(row)[0], row) for row in rows)
    opening, most = openings.most_common(1)[0] if openings else ("", 0)
    return len(openings) / max(1, len(rows)), most, opening


def said(row: Row) -> list[str]:
    """The user's texts."""
    return [one["content"] for one in row["messages"] if one["role"] == "user"]


def masked(text: str, row: Row) -> str:
    """The text with addresses, values of arguments, quotations and all that has a digit in it masked."""
    values = {
        str(leaf)
        for one in row["messages"]
        for call in one.get("tool_calls") or ()
        for leaf in leaves(decoded(call["function"]["arguments"]))
        if not isinstance(leaf, bool) and len(str(leaf)) > 1
    }
    text = ADDRESS.sub("_", text)
    for value in sorted(values, key=lambda one: (-len(one), one)):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "_", text)
    text = re.sub(r"\"[^\"]*\"|“[^”]*”|\S*\d\S*", "_", text)
    return re.sub(r"(?:_[\s,.;]*)+", "_ ", text)


def wrong_texts(row: Row) -> Iterator[str]:
    """What stands in the user's texts that nobody would say."""
    functions = [tool["function"] for tool in row["tools"]]
    names = {function["name"] for function in functions}
    names |= {name for function in functions for name in parameters(function["parameters"])}
    things = {
        word.lower() for function in functions for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", function["name"])
    }  # whoever works with create_feedback_example speaks of examples
    told = " ".join(function.get("description") or "" for function in functions).lower()
    spelt = [name for name in names if IDENTIFIER.search(name) or "-" in name]
    for text in said(row):
        for name in spelt:
            if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
                yield f"{row['id']}: the user says {name!r}: {text[:200]}"
        rest = ADDRESS.sub("", text)
        stand_ins = [
            one
            for one in STAND_IN.finditer(rest)
            if one[2].lower() not in things and not (one[1] and one.group().lower() in told)
        ]  # or of a "feedback example", where a tool's text calls it so
        for found in (*SLOT.finditer(rest), *stand_ins):
            yield f"{row['id']}: {found.group()!r} stands in a user's text: {text[:200]}"


def parameters(schema: Any, depth: int = 0) -> Iterator[str]:
    """The names of all parameters of a schema, those inside of others included."""
    if not isinstance(schema, dict) or depth > 12:
        return
    own = schema.get("properties")
    yield from own if isinstance(own, dict) else ()
    inner = [*(own.values() if isinstance(own, dict) else ()), schema.get("items"), schema.get("$defs")]
    for word in ("allOf", "anyOf", "oneOf"):
        inner += schema[word] if isinstance(schema.get(word), list) else []
    for part in inner:
        yield from parameters(part, depth + 1)
