"""Strings that match a regular expression, for the simple expressions that schemas use.

A small recursive reader of the expression: literals, classes, escapes, groups, alternatives and
repetition. What it makes is checked with ``re``; where it cannot make a match it says so with None.
"""

from __future__ import annotations

import random
import re
import string
from functools import lru_cache
from typing import Final

MAX_REPEAT: Final = 12
_WORD: Final = string.ascii_lowercase + string.digits
_CLASSES: Final = {
    "d": string.digits,
    "w": _WORD,
    "s": " ",
    "D": string.ascii_lowercase,
    "S": _WORD,
    "W": "-",
}
_PRINTABLE: Final = string.ascii_letters + string.digits + " -_.,:/"


class _Unreadable(Exception):  # noqa: N818  (internal, and named for the expression)
    """The expression uses something that this reader does not know."""


class _Reader:
    """Reads one expression from left to right and writes a match as it goes."""

    def __init__(self, pattern: str, rng: random.Random, repeats: tuple[int, int]) -> None:
        self.pattern = pattern
        self.rng = rng
        self.repeats = repeats
        self.at = 0

    def alternatives(self, *, depth: int = 0) -> str:
        """One of the alternatives up to the closing parenthesis or the end."""
        if depth > 20:
            raise _Unreadable
        options = [self.sequence(depth)]
        while self.at < len(self.pattern) and self.pattern[self.at] == "|":
            self.at += 1
            options.append(self.sequence(depth))
        filled = [option for option in options if option] or options
        return self.rng.choice(filled)

    def sequence(self, depth: int) -> str:
        """Atoms with their repetitions, up to an alternative's end."""
        parts: list[str] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            start = self.at
            first = self.atom(depth)
            end = self.at
            low, high = self.repetition()
            after = self.at
            count = self.rng.randint(low, high)
            if count:
                parts.append(first)
            for _ in range(count - 1):
                self.at = start
                parts.append(self.atom(depth))
                assert self.at == end
            self.at = after
        return "".join(parts)

    def repetition(self) -> tuple[int, int]:
        """Bounds of the quantifier at the reading position; (1, 1) where there is none."""
        rest = self.pattern[self.at :]
        bounds = (1, 1)
        if rest[:1] in {"*", "+", "?"}:
            low, high = self.repeats
            bounds = {"?": (0, min(1, high)), "*": (low, high), "+": (max(low, 1), max(high, 1))}[rest[0]]
            self.at += 1
        else:
            match = re.match(r"\{(\d+)(,?)(\d*)\}", rest)
            if not match:
                return bounds
            low = int(match.group(1))
            high = int(match.group(3)) if match.group(3) else (low + 4 if match.group(2) else low)
            bounds = (min(low, 256), min(max(low, high), max(low, MAX_REPEAT), 256))
            if low == 0:
                bounds = (min(4, bounds[1]), bounds[1])
            self.at += match.end()
        if self.pattern[self.at : self.at + 1] in {"?", "+"}:
            self.at += 1
        return bounds

    def atom(self, depth: int) -> str:
        """One atom: a group, a class, an escape, an anchor or a literal."""
        char = self.pattern[self.at]
        if char == "(":
            return self.group(depth)
        if char == "[":
            return self.rng.choice(self.bracket())
        self.at += 1
        if char == "\\":
            return self.rng.choice(self.escape())
        if char in "^$":
            return ""
        if char == ".":
            return self.rng.choice(_WORD)
        return char

    def group(self, depth: int) -> str:
        """A group; look-around is not written, named and plain groups are."""
        self.at += 1
        silent = False
        if self.pattern.startswith("?", self.at):
            match = re.match(r"\?(P?<[A-Za-z]\w*>|:|i:)", self.pattern[self.at :])
            silent = match is None
            look = re.match(r"\?(=|!|<=|<!|i\))", self.pattern[self.at :])
            taken = match or look
            if taken is None:
                raise _Unreadable
            self.at += taken.end()
            if taken.group(1) == "i)":
                return ""
        inner = self.alternatives(depth=depth + 1)
        if self.pattern[self.at : self.at + 1] != ")":
            raise _Unreadable
        self.at += 1
        return "" if silent else inner

    def escape(self) -> str:
        """Characters that the escape after a backslash stands for."""
        if self.at >= len(self.pattern):
            raise _Unreadable
        char = self.pattern[self.at]
        self.at += 1
        if char in "pP" and self.pattern.startswith("{", self.at):
            name, _, _ = self.pattern[self.at + 1 :].partition("}")
            self.at += len(name) + 2
            return {"L": string.ascii_letters, "N": string.digits, "Z": " ", "P": "-"}.get(
                name[:1], string.ascii_lowercase
            )
        if char in "uxU":
            width = {"u": 4, "x": 2, "U": 8}[char]
            digits = self.pattern[self.at : self.at + width]
            if not re.fullmatch(r"[0-9a-fA-F]+", digits):
                raise _Unreadable
            self.at += width
            return chr(int(digits, 16))
        if char in "bBAZzG":
            return "\0"
        if char in "nrtfv":
            return {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}[char]
        return _CLASSES.get(char, char)

    def bracket(self) -> str:
        """Characters of a bracket class, printable ones only, letters and digits first choice."""
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        members: list[str] = []
        first = True
        while self.at < len(self.pattern) and (first or self.pattern[self.at] != "]"):
            first = False
            char = self.pattern[self.at]
            self.at += 1
            if char == "\\":
                members.extend(self.escape())
                continue
            last = self.pattern[self.at + 1 : self.at + 2]
            if self.pattern.startswith("-", self.at) and last not in {"", "]", "\\"}:
                self.at += 2
                members.extend(chr(code) for code in range(ord(char), min(ord(last), ord(char) + 255) + 1))
            else:
                members.append(char)
        if self.at >= len(self.pattern):
            raise _Unreadable
        self.at += 1
        if negated:
            members = [char for char in _PRINTABLE if char not in members]
        plain = [char for char in members if char.isascii() and char.isalnum()]
        usable = plain or [char for char in members if char.isprintable()]
        if not usable:
            raise _Unreadable
        return "".join(usable)


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """The compiled expression, or None where Python cannot read it (it is then not checked)."""
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return None


def matching(pattern: str, rng: random.Random, low: int = 0, high: int = 1 << 30) -> str | None:
    """A string of ``low`` to ``high`` characters that ``pattern`` is found in, or None."""
    short, long = (4, 8), (min(max(low, 4), 256), min(max(low + 2, 8), 256))
    for repeats in (short, long, (1, 2), (0, 0)):
        reader = _Reader(pattern, rng, repeats)
        try:
            text = reader.alternatives().replace("\0", "")
        except (_Unreadable, IndexError, AssertionError):
            return None
        if reader.at < len(pattern):
            return None
        if len(text) < low and not pattern.endswith("$"):
            text += "".join(rng.choice(text[-4:] or "a") for _ in range(min(low, 256) - len(text)))
        expression = compiled(pattern)
        if low <= len(text) <= high and (expression is None or expression.search(text)):
            return text
    return None
