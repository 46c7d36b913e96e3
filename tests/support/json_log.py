"""A log of JSON lines that survives the kill of the process that writes it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class JsonLog:
    """Appends one JSON object a line; each is on the disk when ``write`` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")

    def write(self, **record: Any) -> None:
        self._file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log that may still be written."""
    text = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]
