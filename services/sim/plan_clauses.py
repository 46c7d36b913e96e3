"""Steps in a user's words: the tool's phrase, made to speak of the thing at hand.

"freeze a card" becomes "freeze the first card" after a list, "see a traveler's bookings" becomes "see
that traveler's bookings" after a look-up, and two calls side by side become one clause about two things.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.blueprint import Fact, FromFact, FromStep, ListOf
from services.sim.plan_references import NUMBERS, pointed_at
from services.sim.plan_steps import Planned
from services.sim.spelling import spell
from services.sim.vocabulary import (
    PEOPLE,
    USER_VERBS,
    last_word,
    noun_of,
    same,
)
from services.sim.wording import ORDINALS, pick
from services.worlds.vocabulary import is_sayable
from services.worlds.words import plural as plural_noun

ANYONE: Final = r"(?:someone|somebody|a person|a colleague|a user|a customer|a contact|a teammate)"
AFTER_NOUN: Final = (
    r"(?=$|[.,;:)]|\s+(?:a|an|the|my|your|his|her|its|their|of|in|on|at|to|from|for|by|with|and|or|that|which|who|whose"
    r"|where|when|is|are|was|were|has|have|up|down|out|off|over|away|back|again|next|now|today|directly|into|onto"
    r"|under|as|it|before|after|between|through|without|via|using|\w+ed|\w+ing|someone|something|\d)\b)"
)
VAGUE: Final = re.compile(
    r"\b(another|some|something|someone|somebody|anyone|one of|nobody|any|twice|times)\b"
)
"""Words that leave open which thing is meant: no good for telling what was done."""
CODE: Final = re.compile(r"(?=\S*\d)[\w.#/-]{2,24}")


@dataclass(frozen=True, slots=True)
class Clause:
    """What the user says of one or several steps.

    ``facts`` are told with it, those in ``woven`` within ``text`` already. ``own``: it says what the
    user gets, and cannot follow "could you". ``alongside``: it goes with the clause before it.
    """

    text: str
    facts: tuple[Fact, ...]
    woven: tuple[str, ...]
    verb: str
    own: bool
    alongside: bool


def make_clauses(
    steps: Sequence[Planned], facts: dict[str, Fact], rng: random.Random
) -> tuple[list[Clause], dict[str, str]]:
    """One clause per step, or per group of steps with the same tool side by side; and purposes by step id.

    A purpose is what the assistant will say that it did, so it comes from a phrase for something that can
    be done for others; empty where the tool has none.
    """
    by_id = {step.id: step for step in steps}
    clauses: list[Clause] = []
    purposes: dict[str, str] = {}
    for step in steps:
        if step.id in purposes:
            continue
        group = [other for other in steps if other.wave == step.wave and other.tool.name == step.tool.name]
        alongside = any(by_id[name].wave == step.wave for name in purposes)
        told_here = tuple(
            facts[name] for other in group for name in other.told if name in facts and not facts[name].asked
        )
        forms = [
            (phrase, *refer(phrase, group, by_id, facts))
            for phrase in map(with_article, step.meaning.phrases[:4])
        ]
        fitting = [form for form in forms if form[2]] or forms
        phrase, text, _ = fitting[rng.randrange(len(fitting))]
        doable = [form for form in fitting if not is_own(form[0])] or [
            form for form in forms if not is_own(form[0])
        ]
        doable.sort(key=lambda form: (VAGUE.search(form[1]) is not None, form[0] != phrase))
        purpose = doable[0][1] if doable else ""
        purposes.update({other.id: purpose for other in group})
        text, woven = weave(text, told_here, rng)
        clauses.append(Clause(text, told_here, woven, step.meaning.verb, is_own(phrase), alongside))
    return clauses, purposes


def awkward(steps: Sequence[Planned], facts: dict[str, Fact]) -> int:
    """How many steps no phrase of their tool speaks of smoothly, or only by a name that is no plain word."""
    by_id = {step.id: step for step in steps}
    count = 0
    for step in steps:
        if not step.needs:
            continue
        group = [other for other in steps if other.wave == step.wave and other.tool.name == step.tool.name]
        forms = [refer(phrase, group, by_id, facts) for phrase in step.meaning.phrases[:4]]
        count += not any(smooth and "ID" not in text.split() for text, smooth in forms)
    return count


def with_article(phrase: str) -> str:
    """The phrase with "an" before vowels."""
    phrase = re.sub(r"\ban (?=(?:uni|use|usa|eu|one\b|once|ur|uti))", "a ", phrase)
    return re.sub(r"\b(a) (?=[aeiou])(?!uni|use|usa|eu|one\b|once|ur|uti|ui)", "an ", phrase)


def is_own(phrase: str) -> bool:
    """Whether the phrase says what the user does or gets."""
    return phrase.partition(" ")[0].lower() in USER_VERBS


def refer(
    phrase: str, group: Sequence[Planned], by_id: dict[str, Planned], facts: dict[str, Fact]
) -> tuple[str, bool]:
    """The phrase about what is at hand, and whether it could be put without an awkward addition."""
    step = group[0]
    dependent = [
        (name, part)
        for name, source in step.sources.items()
        for part in (source.items if isinstance(source, ListOf) else (source,))
        if isinstance(part, FromStep)
    ]
    if dependent:
        if len(group) > 1 and any(label for label in labels_of(step, facts)):
            phrase = several(phrase, group, list(labels_of(step, facts)), entity=False) or phrase
        return refer_all(phrase, dependent, group, by_id)
    if len(group) > 1:
        replaced = several(phrase, group, list(labels_of(step, facts)))
        if replaced:
            return replaced, True
        return f"{phrase}, {'twice' if len(group) == 2 else f'{NUMBERS[len(group)]} times'}", False
    for source_ in step.sources.values():
        if isinstance(source_, FromFact) and source_.fact in facts and source_.fact not in step.told:
            noun = noun_of(facts[source_.fact].label)
            replaced = substitute(phrase, noun, f"that {noun}")
            if replaced:
                return replaced, True
    return phrase, True


def refer_all(
    phrase: str,
    dependent: Sequence[tuple[str, FromStep]],
    group: Sequence[Planned],
    by_id: dict[str, Planned],
) -> tuple[str, bool]:
    """The phrase with every record that it works on pointed at, and whether that reads well."""
    entity, text, smooth = group[0].meaning.entity, phrase, True
    said: list[str] = []
    for parameter, source in dependent:
        noun, reference = pointed_at(parameter, source, group, by_id)
        if any(reference == other or other.endswith(f" of {reference}") for other in said):
            continue
        replaced = substitute(text, noun, reference) or substitute(
            text, last_word(entity), reference, own=same(noun, entity) and not said
        )
        smooth = smooth and is_sayable(noun)
        if not replaced and smooth:
            replaced = f"{text} for {reference}"
        elif not replaced:
            # One "for …" is enough for a sentence; what else there is, the earlier results show.
            continue
        smooth = smooth and not replaced.endswith(f" for {reference}")
        text = replaced
        said.append(reference)
    return text, smooth


def substitute(phrase: str, noun: str, reference: str, *, own: bool = True) -> str:
    """The phrase with its "a(n) … noun" replaced by the reference; empty where it has none."""
    if not noun or not own:
        return ""
    head = re.escape(last_word(noun))
    # What follows must not make the noun a part of another one ("the card PDFs").
    tail = (
        rf"(?!['’])(?:{AFTER_NOUN})"
        if " of " in reference or "," in reference
        else rf"(?:{AFTER_NOUN}|(?=['’]))"
    )
    lead = (
        rf"(?:(?!(?:a|an|the|my)\b)[\w-]+\s+){{0,2}}?{head}"
        if noun == last_word(noun)
        else rf"(?:{re.escape(noun)}|{head})"
    )
    # "the project of that milestone's plan" would be the plan of the milestone.
    whole = r"(?!['’])" if " of " in reference or "," in reference else ""
    replaced, count = re.subn(
        rf"\b(?:a|an|the|one|another|my)\s+{lead}\b{whole}",
        lambda _: reference,
        phrase,
        count=1,
        flags=re.IGNORECASE,
    )
    if count:
        return replaced
    if last_word(noun).lower() in PEOPLE:
        replaced, count = re.subn(
            rf"\b{ANYONE}\b{tail}", lambda _: reference, phrase, count=1, flags=re.IGNORECASE
        )
        if count:
            return replaced
    return ""


def several(phrase: str, group: Sequence[Planned], labels: Sequence[str], *, entity: bool = True) -> str:
    """The phrase about several things of a kind ("look at two orders"); empty where it speaks of none.

    ``labels`` are those of what the user tells; ``entity``: what the tool works on may be meant, too.
    """
    many = NUMBERS.get(len(group), str(len(group)))
    nouns = [noun_of(label) for label in labels]
    nouns += [last_word(group[0].meaning.entity)] if entity else []
    for noun in nouns:
        replaced = substitute(phrase, noun, f"{many} {plural_noun(noun)}") if noun else ""
        if replaced and "s's" not in replaced and plural_noun(noun) != noun:
            return replaced.replace(" its ", " their ")
    return ""


def labels_of(step: Planned, facts: dict[str, Fact]) -> Iterator[str]:
    """Labels of the facts first used in a step, without the ordinal that tells them apart."""
    for name in step.told:
        if name in facts:
            yield re.sub(rf"^({'|'.join(ORDINALS)}) ", "", facts[name].label)


def weave(text: str, facts: Sequence[Fact], rng: random.Random) -> tuple[str, tuple[str, ...]]:
    """The clause with a code told within it ("cancel order ORD-1042"), where it can be and chance will.

    Returns the clause and the names of the facts that stand in it.
    """
    if rng.random() < 0.25:
        return text, ()
    for fact in facts:
        noun = noun_of(fact.label)
        if not noun or not isinstance(fact.value, str) or not CODE.fullmatch(spell(fact.value)):
            continue
        pattern = rf"\b(?:a|an)\s+{re.escape(noun)}\b{AFTER_NOUN}"
        named = f"{noun} {spell(fact.value)}".replace("\\", r"\\")
        replaced, count = re.subn(pattern, named, text, count=1, flags=re.IGNORECASE)
        if count:
            return replaced, (fact.name,)
    return text, ()


def choose(rng: random.Random, templates: Sequence[str], avoid: set[str]) -> str:
    """A template that was not used yet, where there is one."""
    fresh = [template for template in templates if template not in avoid] or list(templates)
    template = pick(rng, fresh)
    avoid.add(template)
    return template
