"""Who the users are: a line about each, and how they speak."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Style = Literal["plain", "polite", "brisk", "chatty", "formal"]


class Persona(NamedTuple):
    """A user: who they are, in a line, and their manner."""

    line: str
    style: Style


PERSONAS: Final = (
    Persona("an operations manager with many things to do at once", "brisk"),
    Persona("a retired teacher who is careful with words", "polite"),
    Persona("a small-business owner doing the paperwork in the evening", "chatty"),
    Persona("an accountant who wants exact figures", "formal"),
    Persona("a student who uses the service for the first time", "polite"),
    Persona("a customer support agent with a caller on the line", "brisk"),
    Persona("a team lead preparing for a meeting", "plain"),
    Persona("a freelancer who works from trains", "plain"),
    Persona("a nurse on a short break", "brisk"),
    Persona("an executive assistant who handles things for someone else", "formal"),
    Persona("a developer who automates what can be automated", "plain"),
    Persona("a parent doing errands from the phone", "chatty"),
    Persona("a data analyst who checks everything twice", "plain"),
    Persona("a volunteer who runs a local club", "chatty"),
    Persona("a consultant who writes short, clear requests", "formal"),
    Persona("a shop assistant at the end of a long shift", "polite"),
)

GREETINGS: Final[dict[Style, tuple[str, ...]]] = {
    "plain": ("", "", "Hi,", "Hello,"),
    "polite": ("Hello!", "Hi there!", "Good morning!", "Hello, I hope you can help me."),
    "brisk": ("", "", "", "Quick one:"),
    "chatty": ("Hey,", "Hi! I'm finally getting around to this.", "Hey there, I have a small errand for you.",
               "Hi, I'm in the middle of sorting a few things out."),
    "formal": ("Good afternoon.", "Hello.", "Good morning.", ""),
}  # fmt: skip
OPENINGS: Final[dict[Style, tuple[str, ...]]] = {
    "plain": ("I need to {clause}.", "I'd like to {clause}.", "I want to {clause}.", "Can you {clause}?"),
    "polite": ("Could you please {clause}?", "Would you please {clause}?", "I'd like to {clause}, please.",
               "I was hoping you could {clause}."),
    "brisk": ("{Clause}.", "Please {clause}.", "I need you to {clause}.", "Need to {clause}."),
    "chatty": ("I'd like to {clause}.", "Can you help me {clause}?", "I'm trying to {clause}.",
               "Could you {clause} for me?", "I want to {clause}."),
    "formal": ("I would like to {clause}.", "Please {clause}.", "I need to {clause}.", "Kindly {clause}."),
}  # fmt: skip
CONNECTORS: Final[dict[Style, tuple[str, ...]]] = {
    "plain": ("Then {clause}.", "After that, {clause}.", "Next, {clause}.", "Then I need to {clause}.",
              "Once that's done, {clause}.", "From there, {clause}."),
    "polite": ("Then please {clause}.", "After that, could you {clause}?", "Next, please {clause}.",
               "Once that's done, please {clause}.", "Then I'd like to {clause}.",
               "From there, please {clause}."),
    "brisk": ("Then {clause}.", "Next, {clause}.", "After that, {clause}.", "Once you have that, {clause}.",
              "From there, {clause}.", "Then I need to {clause}."),
    "chatty": ("Then {clause}, please.", "Once you have that, {clause}.", "After that I'd like to {clause}.",
               "And then, could you {clause}?", "From there, {clause}."),
    "formal": ("Then please {clause}.", "Next, please {clause}.", "After that, please {clause}.",
               "Once this is done, please {clause}.", "I would then like to {clause}."),
}  # fmt: skip
ALONGSIDE: Final[dict[Style, tuple[str, ...]]] = {
    "plain": ("Also, {clause}.", "I also need to {clause}.", "And {clause} as well."),
    "polite": ("Could you also {clause}?", "Please also {clause}.", "I'd also like to {clause}."),
    "brisk": ("Also {clause}.", "And {clause}.", "Plus, {clause}."),
    "chatty": ("Oh, and could you {clause} too?", "I'd also like to {clause}.",
               "While you're at it, {clause}."),
    "formal": ("Please also {clause}.", "In addition, please {clause}.", "I would also like to {clause}."),
}  # fmt: skip
ASKING: Final[dict[Style, tuple[str, ...]]] = {
    "plain": ("Then tell me {answers}.", "Let me know {answers}.", "I'd like to know {answers}.",
              "Tell me {answers} when you're done."),
    "polite": ("Could you let me know {answers} afterwards?", "Please tell me {answers}.",
               "It would help me to know {answers}.", "Please let me know {answers} at the end."),
    "brisk": ("Tell me {answers}.", "I need {answers}.", "Send me {answers}.", "Report {answers}."),
    "chatty": ("I'm curious about {answers}, too.", "And tell me {answers}, would you?",
               "What I really want to know is {answers}.", "Let me know {answers} when it's done."),
    "formal": ("Please report {answers}.", "Please confirm {answers}.", "I also require {answers}.",
               "Please state {answers} in your reply."),
}  # fmt: skip
OWN: Final = (
    r"(I'd (also )?like to|I want to|I need to|I also need to|I would (also |then )?like to|I'm trying to"
    r"|^Need to) \{clause"
)
"""Templates in which a clause says what the user themselves gets or does."""
