"""One self-contained HTML page: its parts are files beside this one, its data stand packed inside it.

Nothing is fetched when it is opened. Data are JSON, deflated and in base64, so that no text in them can end
an element; rows stand in chunks of ``CHUNK`` and are unpacked when they are looked at. ``live_page`` is the
same page without data, which asks whoever served it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from itertools import islice
from typing import Any, Final

Json = dict[str, Any]

CHUNK: Final = 50
"""Rows that are packed together."""


def page(meta: Callable[[], Json], rows: Iterable[Json] = ()) -> Iterator[bytes]:
    """The page, part by part. ``meta`` is asked when all ``rows`` are written, and may tell of them."""
    head, tail = _part("page.html").replace("/*STYLE*/", _part("page.css")).split("<!--DATA-->")
    yield head.encode()
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in chunk)
        yield _script('class="chunk"', text)
    yield _script('id="meta"', json.dumps({**meta(), "chunk": CHUNK}, ensure_ascii=False))
    yield tail.replace("/*SCRIPT*/", _part("page.js")).encode()


def live_page() -> bytes:
    """The page without data: it listens to ``figures`` and asks for ``rows/N``, beside where it stands."""
    head, tail = _part("page.html").replace("/*STYLE*/", _part("page.css")).split("<!--DATA-->")
    head = head.replace("default-src 'none';", "default-src 'none'; connect-src 'self';")
    return (head + tail.replace("/*SCRIPT*/", _part("page.js"))).encode()


def _part(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _script(attribute: str, text: str) -> bytes:
    packed = base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), 9))
    return f'<script type="text/plain" {attribute}>'.encode() + packed + b"</script>\n"
