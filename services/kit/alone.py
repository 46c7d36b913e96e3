"""Whether the effect under way is of a key that no other replica can have had in hand.

The host says so before it performs an effect; what replicas share may then be left unasked.
"""

from contextvars import ContextVar
from typing import Final

ALONE: Final[ContextVar[bool]] = ContextVar("alone", default=False)
