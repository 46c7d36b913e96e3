"""What a service is: topics, a pure fold, a pure decision, and (for performers) effects.

Two kinds. A *decider* folds whole topics into one state and decides what to append. A *performer*
works on many keys at once, one key in order: it may ask the world (a model, a tool, a sandbox), and
the answer becomes an event before anything depends on it.

In both, state changes only by events that have come back from the log, the service's own included.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from schemas.envelope import Envelope, Message
from schemas.topics import TOPIC_OF, Topic

State = TypeVar("State")
Reference = TypeVar("Reference")


@dataclass(frozen=True, slots=True)
class Draft:
    """A message about to be appended. The host gives it id, sequence, predecessor and time.

    ``correlation`` is the campaign, where there is one; ``cause`` the id of the message that led to it.
    """

    key: str
    data: Message
    correlation: str = ""
    cause: str = ""
    value: bytes = b""
    """``data`` as its payload, where whoever made the draft had to make that too."""

    @property
    def topic(self) -> Topic:
        """The one topic that carries messages of this type."""
        return TOPIC_OF[type(self.data)]


class Effect(Protocol):
    """A description of something to be done in the world: frozen, comparable, without behaviour."""


class Unperformed(Exception):  # noqa: N818  (no error: a statement of what did not happen)
    """Raised by ``perform``: this host cannot do it, now or later. The key stays where it is."""


@dataclass(frozen=True, slots=True)
class Append:
    """Next step: append these messages, then wait until they come back."""

    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Perform:
    """Next step: do this in the world, then append what came of it."""

    effect: Effect


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until another event is folded; ``why`` is for the status."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Closed:
    """The key is done: its offsets may be committed and its state forgotten."""


Step = Append | Perform | Wait | Closed


@dataclass(frozen=True)
class Decider:
    """A service that only decides.

    ``evolve`` owns the state it is given: it may change it in place and return it. ``decide`` is pure
    and returns what is due now, in order; an empty tuple means nothing. What it returned is asked
    again only after it has come back from the log, so it must not depend on anything but the state.
    ``inputs`` are all topics it folds, its own outputs included. ``folds`` are the messages whose content
    matters to it (None: all); of the others it sees only that they were there. ``gather_s`` is how long what
    it reads may gather where a read costs something, which is how much later it may decide.
    """

    name: str
    inputs: tuple[Topic, ...]
    initial: Callable[[], Any]
    evolve: Callable[[Any, Envelope], Any]
    decide: Callable[[Any], tuple[Draft, ...]]
    folds: frozenset[type[Message]] | None = None
    gather_s: float = 0.0

    @property
    def reads(self) -> tuple[Topic, ...]:
        """All topics that it reads."""
        return self.inputs


async def nothing_to_stop() -> None:
    """Of a performer that keeps nothing in the world."""


@dataclass(frozen=True)
class Performer:
    """A service that works on many keys at once.

    ``lead`` is the topic whose message opens a key; ``inputs`` are all topics keyed alike, the lead and
    the service's own outputs included; ``references`` are one-partition topics that every replica
    reads whole. ``evolve(state, event)`` owns its state and must not depend on the order between
    topics. ``next_step(state, reference)`` is pure. ``perform(effect)`` returns what to append;
    ``gave_up(state, effect, error)`` says what to append when it raised for the last time. ``folds`` are
    the messages whose content matters to it (None: all).
    """

    name: str
    lead: Topic
    inputs: tuple[Topic, ...]
    initial: Callable[[str], Any]
    evolve: Callable[[Any, Envelope], Any]
    next_step: Callable[[Any, Any], Step]
    perform: Callable[[Any], Awaitable[Sequence[Draft]]]
    gave_up: Callable[[Any, Any, BaseException], Sequence[Draft]]
    references: tuple[Topic, ...] = ()
    initial_reference: Callable[[], Any] = dict
    refer: Callable[[Any, Envelope], Any] = lambda reference, _event: reference
    folds: frozenset[type[Message]] | None = None
    announce: tuple[Draft, ...] = ()
    """Messages that a started instance appends once, unless the log has them already."""
    let_go: Callable[[str], None] = lambda _key: None
    """Told of every key that closes here or moves away: what is kept for it beside its state may go. Returns
    at once."""
    stop: Callable[[], Awaitable[None]] = nothing_to_stop
    """Called when the host has ended with it: what it keeps in the world goes."""

    @property
    def reads(self) -> tuple[Topic, ...]:
        """All topics that it reads: inputs, then references."""
        return (*self.inputs, *self.references)


Service = Decider | Performer
