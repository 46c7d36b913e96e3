"""Text that code has made, so that no terminal obeys it."""

from __future__ import annotations

import re
from typing import Final

UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
"""Controls but tab and line feed, what turns the direction of writing, and half surrogates."""


def visible(text: str) -> str:
    r"""The text with unsafe characters spelled as Python would, an escape as ``\x1b``; CR LF becomes LF."""
    return UNSAFE.sub(_spelled, text.replace("\r\n", "\n"))


def _spelled(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
