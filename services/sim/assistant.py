"""The scripted assistant: the next turn as a pure function of the messages and the script.

What has been done is read off the messages alone. Every value is read from them too, or from the tool's
own schema: what cannot be read is said to be missing, and never made up.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.kit.models.chat import ChatCall, ChatReply
from services.sim.code_text import write_code
from services.sim.code_tool import CODE_TOOL, printed
from services.sim.code_work import Unworkable, data_of
from services.sim.json_schema import at, property_schema
from services.sim.script import (
    AssistantScript,
    ScriptStep,
    ScriptWork,
)
from services.sim.script_reading import Unreadable, asks, value_of
from services.sim.spelling import literal
from services.sim.wording import addressed, article, definite, listed, past, pick, plural, sentence

Json = dict[str, Any]

TOLD = {"type": ["number", "string"]}
"""What the user tells for code: a number, or a text."""
MAX_ATTEMPTS = 5
"""Failed calls of one step after which the assistant gives up and says so."""
MAX_SUMMARY = 6
"""Steps that the final answer speaks of."""
MAX_BARE_WORDS = 5
"""Words of a reported text that stand without quotation marks."""
MAX_QUESTIONS = 2
"""Times the same thing is asked for."""

LOOKING = (
    "see", "find", "look", "search", "list", "check", "get", "read", "view", "show", "review", "browse",
    "fetch", "retrieve", "query", "count", "track", "compare", "catch", "return", "inspect", "examine",
    "describe", "identify", "lookup", "download",
)  # fmt: skip
"""First words of clauses that only ask to look at something."""
DOING = {
    "get": ("rid of",), "check": ("in ", "out ", "a patient in", "that patient in", "the patient in"),
    "review": ("a pull", "the pull", "that pull"),
}  # fmt: skip
"""What follows some of them where the clause changes something after all."""
MONEY = re.compile(
    r"\b(price|total|amount|balance|cost|fee|refund|tax|tip|paid|discount|limit|salary|pay|rent)\b",
    re.IGNORECASE,
)

LEAD_IN = (
    "Let me look into that.", "I'll take care of that now.", "Sure, one moment.",
    "Let me check that for you.",
    "On it.", "I'll start with that right away.", "Happy to help. Let me get that.", "Let me pull that up.",
)  # fmt: skip
GO_ON = (
    "Thanks, that gives me what I need for the next step.", "Got it. Moving on to the next step.",
    "Good, now the next part.", "That worked. I'll continue.", "Now I have what I need to go on.",
    "Next, I'll take care of the rest.",
)  # fmt: skip
RETRY = (
    "That didn't go through. Let me try again.", "The service had a hiccup, so I'll try once more.",
    "I got an error there. Trying again.", "That call failed. I'll repeat it.",
)  # fmt: skip
QUESTION = (
    "Could you tell me {labels}?", "Before I can do that, what {be} {labels}?",
    "I just need one more thing from you: what {be} {labels}?", "What {be} {labels}?",
    "Happy to help. Could you please give me {labels}?",
    "To go on, I need to know {labels}. Could you share {it}?",
    "Can you let me know {labels}?",
)  # fmt: skip
ASK_AGAIN = ("I'm sorry, I still need {labels} to go on. Do you have {it}?",)
DONE = (
    "All done. I {done}.", "That's done: I {done}.", "I {done}.", "I {done}.", "Done. I {done}.",
    "I {done}, as you asked.",
)  # fmt: skip
LOOKED = (
    "Here is what I found: {facts}.", "{Facts}.", "{Facts}.", "I've checked: {facts}.",
    "I looked that up for you: {facts}.",
)  # fmt: skip
REPORTED = ("{Facts}.", "{Facts}.", "{Facts}.", "For your records, {facts}.")
LISTED = ("Here is what you asked for:", "Here are the details:", "The details you wanted:")


@dataclass
class Progress:
    """How far the run is, read off its messages."""

    results: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    last_error: str = ""
    calls: int = 0


def reply(messages: Sequence[Json], tools: Sequence[Json], script: AssistantScript, seed: int) -> ChatReply:
    """The assistant's next turn: calls, a question, or the final answer.

    ``messages`` and ``tools`` are in OpenAI's form. The same arguments give the same reply.
    """
    rng = random.Random(f"{seed}/{len(messages)}/assistant")
    progress = read_progress(messages, script)
    due = next_wave(script, progress)
    if not due:
        return ChatReply(content=final_answer(script, progress, rng))
    exhausted = [step for step in due if progress.failures.get(step.id, 0) >= MAX_ATTEMPTS]
    if exhausted:
        return ChatReply(content=gave_up(exhausted[0], progress))
    missing = sorted_labels(due)
    if missing:
        return ChatReply(content=question(missing, messages, rng))
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
    calls: list[ChatCall] = []
    for step in due:
        root = schemas.get(step.tool, {})
        try:
            if step.code is not None:
                arguments = written_code(step.code, step.id, messages, tools, progress, seed)
            else:
                arguments = {
                    name: value_of(
                        read, property_schema(root, name, root), root, messages, progress.results, name
                    )
                    for name, read in step.arguments.items()
                }
        except Unreadable as error:
            return ChatReply(content=sentence(f"I'm sorry, I can't go on with this: {error}"))
        calls.append(
            ChatCall(
                id=f"call_{len(messages)}_{len(calls)}",
                name=step.tool,
                arguments=json.dumps(arguments, ensure_ascii=False),
            )
        )
    return ChatReply(content=lead_in(due, progress, rng), calls=tuple(calls))


def written_code(
    wanted: ScriptWork,
    step: str,
    messages: Sequence[Json],
    tools: Sequence[Json],
    progress: Progress,
    seed: int,
) -> Json:
    """The code tool's argument: code that holds what was read, and works on it.

    Raises:
        Unreadable: some of it is not there, or nothing can be worked out of it.
    """
    facts = {
        name: value_of(read, TOLD, TOLD, messages, progress.results, name)
        for name, read in wanted.facts.items()
    }
    about = " ".join(
        str(tool["function"].get("description")) for tool in tools if tool["function"]["name"] == CODE_TOOL
    )
    try:
        data = data_of(wanted.work, facts, progress.results)
    except Unworkable as error:
        raise Unreadable(f"the earlier results don't contain what I need: {error}") from None
    rng = random.Random(f"{seed}/{len(messages)}/code/{step}")
    return {"code": write_code(wanted.work, data, rng, about)}


def read_progress(messages: Sequence[Json], script: AssistantScript) -> Progress:
    """Which steps are done, with their observations.

    Each call belongs to the first step with its tool that is neither done nor already called in the same
    turn; an error leaves the step open.
    """
    progress = Progress()
    coded = {step.id for step in script.steps if step.code is not None}
    step_of_call: dict[str, str] = {}
    for message in messages:
        if message.get("role") == "assistant":
            taken: set[str] = set()
            for call in message.get("tool_calls") or ():
                progress.calls += 1
                for step in script.steps:
                    free = step.id not in progress.results and step.id not in taken
                    if step.tool == call["function"]["name"] and free:
                        taken.add(step.id)
                        step_of_call[call["id"]] = step.id
                        break
        elif message.get("role") == "tool":
            step_id = step_of_call.get(message.get("tool_call_id", ""))
            if step_id is None:
                continue
            observation = parsed(message.get("content"))
            error = error_of(observation)
            if step_id in coded:
                error, observation = error or code_error(observation), printed(observation)
            if error:
                progress.failures[step_id] = progress.failures.get(step_id, 0) + 1
                progress.last_error = error
            else:
                progress.results[step_id] = observation
                progress.last_error = ""
    return progress


def parsed(content: Any) -> Any:
    """An observation as a JSON value; text that is no JSON stays text."""
    if not isinstance(content, str):
        return content
    try:
        return json.loads(content)
    except ValueError:
        return content


def error_of(observation: Any) -> str:
    """The message of an error observation (``{"error": {"code": …, "message": …}}``), else an empty text."""
    if not isinstance(observation, dict) or set(observation) != {"error"}:
        return ""
    error = observation["error"]
    if isinstance(error, dict) and "code" in error:
        return str(error.get("message") or error["code"])
    return ""


def code_error(observation: Any) -> str:
    """What an observation of the code tool says that went wrong, else an empty text."""
    outcome = observation.get("outcome") if isinstance(observation, dict) else None
    if outcome == "ok":
        return ""
    said = observation if isinstance(observation, dict) else {}
    stderr = str(said.get("stderr") or "").strip().rpartition("\n")[2]
    return str(said.get("reason") or stderr or outcome or "no answer")


def next_wave(script: AssistantScript, progress: Progress) -> list[ScriptStep]:
    """The open steps of the earliest wave that has any."""
    open_steps = [step for step in script.steps if step.id not in progress.results]
    wave = min((step.wave for step in open_steps), default=0)
    return [step for step in open_steps if step.wave == wave]


def sorted_labels(steps: Sequence[ScriptStep]) -> list[str]:
    """Labels to ask for, each once, in the order of the arguments."""
    reads = [
        read
        for step in steps
        for read in (*step.arguments.values(), *(step.code.facts.values() if step.code else ()))
    ]
    labels = [label for read in reads for label in asks(read)]
    return list(dict.fromkeys(labels))


def question(labels: Sequence[str], messages: Sequence[Json], rng: random.Random) -> str:
    """A question that names what is missing; after two askings, an honest end."""
    named = listed([article(label) for label in labels])
    asked = sum(
        1
        for message in messages
        if message.get("role") == "assistant"
        and not message.get("tool_calls")
        and named in str(message.get("content"))
    )
    if asked >= MAX_QUESTIONS:
        return f"I'm sorry, but without {named} I can't complete this request."
    many = len(labels) > 1 or plural(labels[0])
    wording = pick(rng, QUESTION) if asked == 0 else pick(rng, ASK_AGAIN)
    if len(labels) > 1 and "one more thing" in wording:
        wording = QUESTION[0]
    text = wording.format(labels=named, be="are" if many else "is", it="them" if many else "it")
    return sentence(text)


def lead_in(due: Sequence[ScriptStep], progress: Progress, rng: random.Random) -> str:
    """A short sentence beside the calls, sometimes; after an error, more often."""
    retry = any(step.id in progress.failures for step in due)
    if rng.random() < (0.3 if retry else 0.6):
        return ""
    if retry:
        return pick(rng, RETRY)
    return pick(rng, GO_ON if progress.calls else LEAD_IN)


def final_answer(script: AssistantScript, progress: Progress, rng: random.Random) -> str:
    """What was changed, and every value that the script wants reported, as the observations hold it.

    What was only looked up is named by what it showed, not told as a deed.
    """
    purposes = list(dict.fromkeys(step.purpose for step in script.steps if step.purpose))
    changes = [purpose for purpose in purposes if not only_looks(purpose)]
    told = changes or ([] if script.answer else purposes)
    done = [past(definite(addressed(purpose))) for purpose in told[:MAX_SUMMARY]]
    parts = [pick(rng, DONE).format(done=listed(done))] if done else []
    reported: list[tuple[str, str]] = []
    for wanted in script.answer:
        value = at(progress.results.get(wanted.step), wanted.path)
        try:
            text = ", ".join(literal(item) for item in value) if isinstance(value, list) else literal(value)
            reported.append((wanted.label, written(wanted.label, value, text)))
        except ValueError:
            parts.append(sentence(f"I couldn't find {article(wanted.label)} in the result"))
    if len(reported) > 2 and rng.random() < 0.5:
        lines = "\n".join(f"- {label[:1].upper()}{label[1:]}: {value}" for label, value in reported)
        parts.append(f"{pick(rng, LISTED)}\n{lines}")
    elif reported:
        clauses = [
            f"{article(label)} {'are' if plural(label) else 'is'} {value}" for label, value in reported
        ]
        facts = listed(clauses)
        wordings = REPORTED if done else LOOKED
        text = pick(rng, wordings).format(facts=facts, Facts=facts[:1].upper() + facts[1:])
        # A quotation that ends in a full stop ends the sentence, too.
        parts.append(re.sub(r'([.!?]")\.$', r"\1", text))
    return " ".join(parts) or "That's done."


def only_looks(purpose: str) -> bool:
    """Whether an imperative clause asks to look at something, and changes nothing."""
    first, _, rest = purpose.lower().partition(" ")
    return first in LOOKING and not rest.startswith(DOING.get(first, ()))


def written(label: str, value: Any, text: str) -> str:
    """The text of a value: amounts of money with two decimals, sentences in quotation marks."""
    if isinstance(value, str) and (text.endswith((".", "!")) or len(text.split()) > MAX_BARE_WORDS):
        return f'"{text}"'
    whole_cents = isinstance(value, float) and abs(value) < 1e12 and round(value, 2) == value
    return f"{value:.2f}" if whole_cents and MONEY.search(label) else text


def gave_up(step: ScriptStep, progress: Progress) -> str:
    """An honest end after too many errors."""
    what = definite(addressed(step.purpose)) if step.purpose else "complete the request"
    return sentence(f"I'm sorry, I wasn't able to {what}. The service kept answering: {progress.last_error}")
