"""How the user points at a record of an earlier step, and whether that can mean only the one.

"the first order" after a list, "that order" after a look-up, "the new order" after a creation, "the first
product of that order" for what a record holds. A plan in which such words could mean another record is
not for telling: the planner takes another source or another tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from schemas.blueprint import Fact, FromFact, FromStep, ListOf
from services.sim.json_schema import plain
from services.sim.plan_steps import Item, Planned, scalars
from services.sim.vocabulary import GENERIC_KEYS, name_words, noun_of, same, snake
from services.sim.wording import ORDINALS, listed
from services.worlds.words import plural as plural_noun
from services.worlds.words import singular

NUMBERS: Final = {2: "two", 3: "three", 4: "four", 5: "five"}
LISTING: Final = ("list", "search")


def pointed_at(
    parameter: str, source: FromStep, group: Sequence[Planned], by_id: dict[str, Planned]
) -> tuple[str, str]:
    """What an argument from a result is, as a noun, and how the user points at it.

    "track", "the first track"; "requester", "the requester of the second ticket".
    """
    step, origin = group[0], by_id[source.step]
    twins = [
        one.id for one in by_id.values() if one.wave == origin.wave and one.tool.name == origin.tool.name
    ]
    label = step.meaning.labels.get(parameter) or name_words(parameter)
    holder = holder_noun(source.path, origin)
    key = next((part for part in reversed(source.path) if isinstance(part, str)), "")
    noun = noun_of(label) or noun_of(name_words(key)) or holder
    if same(noun, list_noun(source.path)):
        holder = noun
    if within_record(source, origin, holder):
        # The list's own name says nothing: "the first product of that order", never "of the first order".
        return noun, f"{ordinal(group, source, origin, noun, twins)} of {whole(origin, holder, twins)}"
    holder_reference = ordinal(group, source, origin, holder, twins)
    if same(noun, holder):
        return noun, ordinal(group, source, origin, noun, twins)
    if holder in ("result", "record"):
        return noun, f"the {noun} you get there"
    return noun, f"the {noun} of {holder_reference}"


def within_record(source: FromStep, origin: Planned, holder: str) -> bool:
    """Whether a value stands in a list that the one returned record has, and that has no name of its own."""
    listed_in = item_of(origin.id, source, origin)
    return (
        listed_in is not None
        and listed_in.length > 1
        and origin.meaning.verb not in LISTING
        and holder == origin.meaning.entity
        and not same(holder, list_noun(source.path))
    )


def item_of(step: str, source: FromStep, origin: Planned) -> Item | None:
    """The element of the innermost list that a path of this step's observation goes through."""
    for place in range(len(source.path) - 1, -1, -1):
        index = source.path[place]
        if isinstance(index, int):
            value = origin.observation
            for part in source.path[:place]:
                value = value[part]
            return Item(step, source.path[:place], index, len(value))
    return None


def list_noun(path: Sequence[str | int]) -> str:
    """The singular of the key of the innermost list on a path; empty where there is none."""
    for index in range(len(path) - 1, 0, -1):
        key = path[index - 1]
        if isinstance(path[index], int) and isinstance(key, str):
            words = name_words(key).split()
            return " ".join([*words[:-1], singular(words[-1])]) if words else ""
    return ""


def holder_noun(path: Sequence[str | int], origin: Planned) -> str:
    """The noun for the record that holds the value: the singular of the list's key, else the entity."""
    key, entity = list_noun(path), origin.meaning.entity or "result"
    plain_key = key and len(key.split()) <= 2 and plural_noun(key).split()[-1].lower() not in GENERIC_KEYS
    if plain_key or (key and plural_noun(entity) == entity and key in ("item", "entry", "record")):
        return key
    return entity


def ordinal(
    group: Sequence[Planned], source: FromStep, origin: Planned, noun: str, twins: Sequence[str]
) -> str:
    """How the user points at a record: "the first order", "that order", "the first two orders"."""
    own = item_of(origin.id, source, origin)
    items = [
        next((item for item in step.items if own and (item.step, item.path) == (own.step, own.path)), None)
        for step in group
    ]
    indices = [item.index for item in items if item is not None and item.length > 1]
    if len(group) > 1 and len(indices) == len(group):
        unique = sorted(set(indices))
        if len(unique) > 1 and unique == list(range(len(unique))):
            return f"the first {NUMBERS.get(len(unique), len(unique))} {plural_noun(noun)}"
        named = listed([ORDINALS[min(index, 3)] for index in unique])
        return f"the {named} {plural_noun(noun) if len(unique) > 1 else noun}"
    if indices:
        return f"the {ORDINALS[min(indices[0], 3)]} {noun}"
    return whole(origin, noun, twins)


def whole(origin: Planned, noun: str, twins: Sequence[str]) -> str:
    """How the user points at what a step returned as a whole: "that order", "the new order"."""
    new = "new " if origin.meaning.verb == "create" else ""
    if len(twins) > 1:
        return f"the {ORDINALS[min(twins.index(origin.id), 3)]} {new}{noun}"
    return f"the {new}{noun}" if new else f"that {noun}"


def unclear(steps: Sequence[Planned], facts: dict[str, Fact]) -> list[str]:
    """Ids of the steps with an argument that the user's words could take from another record, too."""
    by_id = {step.id: step for step in steps}
    return [
        step.id
        for index, step in enumerate(steps)
        if any(
            mistakable(step, name, part, steps[:index], by_id)
            if isinstance(part, FromStep)
            else isinstance(part, FromFact) and outdated(step, part, steps[:index], facts)
            for name, source in step.sources.items()
            for part in (source.items if isinstance(source, ListOf) else (source,))
        )
        or at_odds(step, by_id)
        or crossed(step, steps[:index], by_id)
    ]


def crossed(step: Planned, before: Sequence[Planned], by_id: dict[str, Planned]) -> bool:
    """Whether a step takes an earlier element of a list than its twin before it.

    "The first and third channels" are told in the list's order, and so are the texts for them.
    """
    for twin in before:
        if (twin.wave, twin.tool.name) != (step.wave, step.tool.name):
            continue
        for name, source in step.sources.items():
            other = twin.sources.get(name)
            if isinstance(source, FromStep) and isinstance(other, FromStep):
                mine = item_of(source.step, source, by_id[source.step])
                theirs = item_of(other.step, other, by_id[other.step])
                same_list = mine and theirs and (mine.step, mine.path) == (theirs.step, theirs.path)
                if mine and theirs and same_list and mine.index <= theirs.index:
                    return True
    return False


def at_odds(step: Planned, by_id: dict[str, Planned]) -> bool:
    """Whether a step works on two records of a kind at once: on "the second booking" and "that booking"."""
    wholes: dict[str, set[str]] = {}
    for name, source in step.sources.items():
        if isinstance(source, FromStep):
            whole_record = pointed_at(name, source, [step], by_id)[1].rpartition(" of ")[2]
            wholes.setdefault(whole_record.rpartition(" ")[2], set()).add(whole_record)
    return any(len(references) > 1 for references in wholes.values())


def mistakable(
    step: Planned, parameter: str, source: FromStep, before: Sequence[Planned], by_id: dict[str, Planned]
) -> bool:
    """Whether another record than the one that an argument is read from answers to the same words."""
    origin = by_id[source.step]
    earlier = [other for other in before if other.wave < step.wave and other.id != origin.id]
    twins = [other for other in earlier if (other.wave, other.tool.name) == (origin.wave, origin.tool.name)]
    others = [other for other in earlier if other not in twins]
    label = step.meaning.labels.get(parameter) or name_words(parameter)
    holder = holder_noun(source.path, origin)
    noun = noun_of(label) or holder
    if same(noun, list_noun(source.path)):
        holder = noun
    value = step.values.get(parameter)
    if twins:
        # "the new message" of two that were written side by side: the words do not say which.
        return True
    item = item_of(origin.id, source, origin)
    outer = [part for part in source.path if isinstance(part, int)]
    if len(outer) > 1:
        # Which order's first item it is, the words do not say.
        return True
    if item is not None and item.length > 1 and not within_record(source, origin, holder):
        return any(lists(other, holder) for other in others)
    rivals = [other for other in others if same(other.meaning.entity, holder) and not shows(other, value)]
    if origin.meaning.verb == "create":
        return any(other.meaning.verb == "create" for other in rivals)
    # A list that the user had made before the record was looked up is no rival of "that order".
    return any(other.meaning.verb not in LISTING or other.wave >= origin.wave for other in rivals)


def outdated(step: Planned, source: FromFact, before: Sequence[Planned], facts: dict[str, Fact]) -> bool:
    """Whether "that order" for an order told before could be one that a step has returned since."""
    if source.fact not in facts or source.fact in step.told:
        return False
    noun, value = noun_of(facts[source.fact].label), facts[source.fact].value
    return bool(noun) and any(
        same(other.meaning.entity, noun) and other.meaning.verb not in LISTING and not shows(other, value)
        for other in before
        if other.wave < step.wave
    )


def shows(step: Planned, value: Any) -> bool:
    """Whether a step was given a value, or returned it outside of lists: its record is the same one."""
    known = [plain(one) for one in step.values.values()]
    known += [
        plain(one)
        for path, one in scalars(step.observation)
        if not any(isinstance(part, int) for part in path)
    ]
    return plain(value) in known


def lists(step: Planned, noun: str) -> bool:
    """Whether a step returns several records that a noun may mean."""
    if step.meaning.verb in LISTING:
        return same(step.meaning.entity, noun)
    return any(
        same(list_noun(path), noun)
        for path, _ in scalars(step.observation)
        if any(isinstance(part, int) and part for part in path)
    )


def names_of(step: Planned) -> list[str]:
    """Identifiers of the one record that a step returned: the values of its own id."""
    own = {"id", f"{snake(step.meaning.entity)}_id"}
    return [
        plain(value)
        for path, value in scalars(step.observation)
        if not any(isinstance(part, int) for part in path) and snake(str(path[-1])) in own
    ]
