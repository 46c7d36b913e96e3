"""Dead letters for a person: listed, shown, and taken up again once the program can read them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.codec import Undecodable
from schemas.topics import TOPICS
from services.console.embedded import services
from services.console.errors import FAILED, UserError
from services.console.replay import Forbidden
from services.console.source import LOG, Folder, Source, Stack
from services.kit.dead import DeadLetter, again, exhume, rewinds, taken_up, usable
from services.kit.host import utc_now
from services.kit.log import EventLog, Offsets, Record
from services.kit.service import Performer
from services.kit.sqlite import SqliteLog

Json = dict[str, Any]
Members = Callable[[Sequence[str]], Awaitable[dict[str, int]]]
"""How many live members each of some groups has."""

SHOWN: Final = 4000
"""Characters of a value or header that a person is shown."""
DEAD: Final = tuple(topic.dead for topic in TOPICS.values())


@dataclass(frozen=True, slots=True)
class Retried:
    """What was done: how many commands were appended anew, how many events are folded again, and by whom."""

    commands: int
    events: int
    rewound: dict[str, tuple[int, ...]]
    """Per group, the partitions that it begins anew with."""
    restart: tuple[str, ...]
    """Services that refused the events: they take them when they are started anew."""


def letters(source: Source) -> list[DeadLetter]:
    """All dead letters that are not taken up again, in the order of their topics and places.

    Raises:
        LogError: the log cannot be read.
    """
    records: list[Record] = []
    source.each(records.append, DEAD)
    order = list(TOPICS)
    return sorted(exhume(records), key=lambda one: (order.index(one.topic), one.partition, one.offset))


def chosen(found: Sequence[DeadLetter], ids: Sequence[str]) -> list[DeadLetter]:
    """The letters that these ids, or beginnings of ids, name.

    Raises:
        UserError: one names none, or more than one.
    """
    named: dict[str, DeadLetter] = {}
    for given in ids:
        fits = [one for one in found if one.id.startswith(given)]
        if len(fits) != 1:
            what = f"{len(fits)} dead letters begin with {given!r}" if fits else f"no dead letter {given!r}"
            raise UserError(what, "`tds dead list` names those that are there")
        named[fits[0].id] = fits[0]
    return list(named.values())


def as_json(letter: DeadLetter, *, whole: bool = False) -> Json:
    """A letter as a JSON object; ``whole``: with its headers and value."""
    found: Json = {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "code": letter.code,
        "detail": readable(letter.detail),
        "key": readable(letter.key),
        "time": letter.time,
        "services": list(letter.services),
    }
    if whole:
        value = letter.value
        found["headers"] = {readable(name): readable(text) for name, text in letter.headers.items()}
        found["bytes"] = None if value is None else len(value)
        found["value"] = None if value is None else readable(value.decode("utf-8", "backslashreplace"))
    return found


def line(letter: DeadLetter) -> str:
    """A letter in two lines."""
    place = f"{letter.topic} {letter.partition}:{letter.offset}"
    who = ", ".join(letter.services)
    head = f"{letter.id}  {place}  {letter.code}  key {readable(letter.key, 80) or '-'}"
    return f"{head}\n    {readable(letter.detail, 200)} ({readable(who, 100)}, {readable(letter.time, 40)})"


def page(letter: DeadLetter) -> str:
    """A letter whole, for a terminal; what is long is cut."""
    value = letter.value
    parts = [line(letter), "", "headers"]
    parts += [f"    {readable(name, 200)}: {readable(text, SHOWN)}" for name, text in letter.headers.items()]
    if value is None:
        return "\n".join([*parts, "", "no value"])
    text = readable(value[:SHOWN].decode("utf-8", "backslashreplace"))
    more = f"\n    … {len(value) - SHOWN} bytes more (--json shows them)" if len(value) > SHOWN else ""
    return "\n".join([*parts, "", f"value, {len(value)} bytes", f"    {text}{more}"])


def readable(text: str, most: int = 0) -> str:
    """Text in one line, without characters that could move the cursor; at most ``most`` of them, if given."""
    shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
    return f"{shown[:most]}…" if 0 < most < len(shown) else shown


async def retry(log: EventLog, wanted: Sequence[DeadLetter], members: Members) -> Retried:
    """Take letters up again: all of them, or none.

    Raises:
        UserError: this program cannot read one, or a group that must begin anew is at work.
        LogError: the log cannot be used; what was done may be done again.
    """
    for letter in wanted:
        try:
            usable(letter)
        except Undecodable as reason:
            what = f"{letter.id} cannot be used by this program either ({readable(str(reason), 300)})"
            raise UserError(
                f"{what}. Nothing was changed", "Upgrade the program first", code=FAILED
            ) from None
    commands = [one for one in wanted if one.is_command]
    events = [one for one in wanted if not one.is_command]
    roles = services(Forbidden())
    groups = [one.name for one in roles if isinstance(one, Performer)]
    committed = {group: await log.committed(group) for group in groups} if events else {}
    begin = rewinds(events, roles, committed)
    await _refuse_at_work(begin, members)
    for group, offsets in begin.items():
        await log.commit(group, offsets)
    time = utc_now()
    await log.append([again(one) for one in commands])
    await log.append([taken_up(one, time) for one in wanted])
    refused = {name for one in events for name in one.services}
    return Retried(
        commands=len(commands),
        events=len(events),
        rewound={group: tuple(sorted({place[1] for place in offsets})) for group, offsets in begin.items()},
        restart=tuple(one.name for one in roles if one.name in refused),
    )


async def _refuse_at_work(begin: dict[str, Offsets], members: Members) -> None:
    alive = {group: count for group, count in (await members(list(begin))).items() if count} if begin else {}
    if alive:
        named = ", ".join(f"{group} ({count})" for group, count in alive.items())
        what = f"these groups have passed the events and have live members: {named}. Nothing was changed"
        advice = f"Stop them (`docker compose stop {' '.join(alive)}`), retry, and start them again"
        raise UserError(what, advice, code=FAILED)


async def retry_at(source: Folder | Stack, wanted: Sequence[DeadLetter]) -> Retried:
    """See ``retry``; for a folder, only while no run is going on in it.

    Raises:
        UserError: see ``retry``.
        LogError: the log cannot be used.
    """
    if isinstance(source, Stack):
        from services.kit.kafka.groups import members

        async with source.log() as stack_log:
            return await retry(stack_log, wanted, lambda groups: members(source.settings, groups))

    async def nobody(groups: Sequence[str]) -> dict[str, int]:
        return dict.fromkeys(groups, 0)

    async with SqliteLog(source.path / LOG) as log:
        return await retry(log, wanted, nobody)


def told(done: Retried, source: Source) -> list[str]:
    """What was done and what is left to do, in words."""
    said = []
    if done.commands:
        said.append(f"{done.commands} commands appended anew to their topics")
    if done.events:
        said.append(f"{done.events} events are folded again from their place in the log")
    for group, partitions in done.rewound.items():
        shown = ", ".join(str(one) for one in partitions[:8]) + (", …" if len(partitions) > 8 else "")
        said.append(f"{group} begins anew with {len(partitions)} partitions ({shown}) when it is started")
    if done.events and isinstance(source, Folder):
        said.append(f"go on with `{source.resume}`")
    elif done.restart:
        said.append(f"now start these anew: `docker compose restart {' '.join(done.restart)}`")
    return said


def summary(found: Sequence[DeadLetter]) -> dict[str, dict[str, int]]:
    """Counts per topic and code."""
    counts: dict[str, dict[str, int]] = {}
    for letter in found:
        codes = counts.setdefault(letter.topic, {})
        codes[letter.code] = codes.get(letter.code, 0) + 1
    return counts


def summary_text(found: Sequence[DeadLetter]) -> str:
    """``3 (tds.run.events: not_json 2, unknown_type 1)``."""
    parts = [
        f"{topic}: {', '.join(f'{readable(code, 40)} {count}' for code, count in sorted(codes.items()))}"
        for topic, codes in summary(found).items()
    ]
    return f"{len(found)} ({'; '.join(parts)})" if found else "none"
