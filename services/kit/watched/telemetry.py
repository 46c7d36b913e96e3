"""Log lines: structured, correlated by campaign and run, and without secrets.

Call ``configure`` once, where a process starts. Wherever work for a run begins, ``correlated`` binds the
ids that every line below it then carries, across ``await`` and into tasks started inside.
"""

from __future__ import annotations

import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MASK: Final = "***"
PAUSE_S: Final = 10.0
"""A broker that is away makes its client say so many times a second."""
DEEPEST: Final = 8
"""Nesting below which a value is masked whole rather than searched."""
SECRET: Final = re.compile(
    r"(^|_)(key|keys|token|secrets?|passwd|credentials?|cookies?)$|api_?key|password|secret|authorization"
)
"""In a field's name, in lower case with underscores. ``prompt_tokens`` is a count and not meant."""
IN_TEXT: Final = re.compile(r"\b(bearer|basic)\s+[\w\-.~+/=]{8,}|\bsk-[\w\-]{8,}", re.IGNORECASE)
"""What credentials look like in a text, an exception's for example."""
PLAIN: Final = frozenset({"key", "message_key", "partition_key"})
"""The key of a message is a run or campaign id: no secret, and the thing to search for."""


class Sink(Protocol):
    """Where lines go: standard error, a file, or anything with these two methods."""

    def write(self, text: str, /) -> object:
        """Take some text."""

    def flush(self) -> None:
        """Let it out."""


def configure(
    *,
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["json", "console"] = "json",
    sink: Sink | None = None,
) -> None:
    """Set structlog up for this process. ``sink`` is standard error if not given."""
    out: Any = sys.stderr if sink is None else sink
    render: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[
            _with_ids,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            without_secrets,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


class _Forwarding(logging.Handler):
    """Hands what a library logs to structlog: of each kind of line one in ``PAUSE_S``, with a count."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        kind = (record.name, str(record.msg))
        written, held_back = self._kinds.get(kind, (-math.inf, 0))
        if record.created - written < PAUSE_S:
            self._kinds[kind] = (written, held_back + 1)
            return
        self._kinds[kind] = (record.created, 0)
        more = {"held_back": held_back} if held_back else {}
        structlog.get_logger(record.name).log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info, **more
        )


def take_over(*libraries: str) -> None:
    """Write the warnings and errors that these libraries log as lines like all others."""
    for name in libraries:
        logger = logging.getLogger(name)
        logger.handlers = [_Forwarding()]
        logger.propagate = False
        logger.setLevel(logging.WARNING)


_IDS: Final[ContextVar[Mapping[str, str]]] = ContextVar("ids", default=MappingProxyType({}))


@contextmanager
def correlated(*, campaign: str = "", run: str = "") -> Iterator[None]:
    """Every line written inside carries these ids; those left empty stay as they are outside."""
    given = {name: value for name, value in (("campaign", campaign), ("run", run)) if value}
    token = _IDS.set({**_IDS.get(), **given})
    try:
        yield
    finally:
        _IDS.reset(token)


def _with_ids(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: the ids that ``correlated`` gave, below what the line says itself."""
    return {**_IDS.get(), **event}


def without_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: masks what is named like a secret, at any depth, and credentials in texts."""
    return {name: _masked(str(name), value, 0) for name, value in event.items()}


def _masked(name: str, value: Any, depth: int) -> Any:
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\W]+", "_", name).lower()
    if value is not None and plain not in PLAIN and SECRET.search(plain):
        return MASK
    if isinstance(value, str):
        return IN_TEXT.sub(MASK, value)
    if isinstance(value, Mapping | list | tuple) and depth > DEEPEST:
        return MASK
    if isinstance(value, Mapping):
        return {key: _masked(str(key), part, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", part, depth + 1) for part in value]
    return value
