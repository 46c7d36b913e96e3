"""The latest messages that were read or written here, so that they need not be read anew.

In one process several services are given the very same messages, and whoever wrote one reads it back. A
message is known by its id and by equal topic, key, headers and value; and what is made of it is frozen. So
this changes nothing but the time it takes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from schemas.envelope import PREFIX, Envelope

MESSAGES: Final = 2048
BYTES: Final = 8 * 1024 * 1024
"""Of their values, together."""

ID: Final = PREFIX + "id"
Wire = tuple[str, str, Mapping[str, str], bytes]
"""Topic, key, headers, value."""


class Known:
    """A bounded memory of messages; the oldest goes first."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, tuple[Wire, Envelope]] = OrderedDict()
        self._bytes = 0

    def find(self, topic: str, key: str, headers: Mapping[str, str], value: bytes | None) -> Envelope | None:
        """What this message is, if it is among the latest."""
        found = self._latest.get(headers.get(ID, ""))
        return found[1] if found is not None and found[0] == (topic, key, headers, value) else None

    def keep(
        self, topic: str, key: str, headers: Mapping[str, str], value: bytes, envelope: Envelope
    ) -> Envelope:
        """Remember what this message is. One of the same id that is kept already stays."""
        if envelope.id not in self._latest:
            # A copy: what is put into the headers later makes another message of it.
            self._latest[envelope.id] = (topic, key, dict(headers), value), envelope
            self._bytes += len(value)
            while len(self._latest) > MESSAGES or self._bytes > BYTES:
                (*_, oldest), _ = self._latest.popitem(last=False)[1]
                self._bytes -= len(oldest)
        return envelope
