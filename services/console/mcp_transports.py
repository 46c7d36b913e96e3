"""Ways to a running MCP server, by the official SDK: started over stdio, or called over HTTP. All bounded."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from services.console.catalog_entries import UNPRINTABLE

WORDS_BYTES: Final = 2_000
"""How much of the end of a server's stderr is kept to be shown."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server: seconds until it has started, and for each page; tools and bytes in all."""

    start_s: float = 30.0
    page_s: float = 30.0
    tools: int = 2_000
    size_bytes: int = 16 * 1024 * 1024


class GivenUp(Exception):  # noqa: N818  (it names the finding)
    """The server cannot be imported: why, and what to do."""

    def __init__(self, code: str, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.advice = advice


def started(
    command: list[str], env: dict[str, str], stderr: int
) -> contextlib.AbstractAsyncContextManager[Any]:
    """A server started without a shell, gone with its children at the end; yields the SDK's two streams."""
    from mcp import StdioServerParameters, stdio_client

    parameters = StdioServerParameters(
        command=command[0], args=command[1:], env=env, encoding_error_handler="replace"
    )
    errlog: Any = stderr
    return stdio_client(parameters, errlog=errlog)


@contextlib.asynccontextmanager
async def called(url: str, limits: Limits) -> AsyncIterator[Any]:
    """A server called over streamable HTTP."""
    from mcp.client.streamable_http import streamable_http_client

    async with (
        _http_client(limits) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=limits.size_bytes) as streams,
    ):
        yield streams


def called_by_sse(url: str, limits: Limits) -> contextlib.AbstractAsyncContextManager[Any]:
    """A server called over SSE, as older ones are."""
    from mcp.client.sse import sse_client

    factory: Any = lambda **given: _http_client(limits, headers=given["headers"], auth=given["auth"])  # noqa: E731
    return sse_client(url, timeout=limits.page_s, httpx_client_factory=factory)


def _http_client(limits: Limits, **more: Any) -> Any:
    """An HTTP client that reads at most ``size_bytes`` of one response."""
    import httpx2

    class Bounded(httpx2.AsyncByteStream):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __aiter__(self) -> AsyncIterator[bytes]:
            count = 0
            async for chunk in self.inner:
                count += len(chunk)
                if count > 2 * limits.size_bytes:
                    raise GivenUp("too_large", f"an answer of more than {count} bytes", "ask it for less")
                yield chunk

        async def aclose(self) -> None:
            await self.inner.aclose()

    class Transport(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: Any) -> Any:
            response = await super().handle_async_request(request)
            response.stream = Bounded(response.stream)
            return response

    return httpx2.AsyncClient(timeout=httpx2.Timeout(limits.page_s), transport=Transport(), **more)


class LastWords:
    """The end of what a server prints to stderr, read in a thread so that it never waits for us."""

    def __init__(self) -> None:
        self.tail = b""

    @contextlib.contextmanager
    def pipe(self) -> Iterator[int]:
        """A file descriptor to write to."""
        reading, writing = os.pipe()
        reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        reader.start()
        try:
            yield writing
        finally:
            os.close(writing)
            reader.join(timeout=1.0)

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb", buffering=0) as stream:
            while chunk := stream.read(65536):
                self.tail = (self.tail + chunk)[-WORDS_BYTES:]

    def text(self) -> str:
        """Its last line."""
        lines = self.tail.decode("utf-8", "replace").strip().splitlines()
        return clipped(lines[-1]) if lines else ""


@contextlib.contextmanager
def quiet_sdk() -> Iterator[None]:
    """What the SDK logs of every broken line is counted and told here, once."""
    logger = logging.getLogger("mcp")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def clipped(text: str) -> str:
    """A stranger's text as it can stand in a message."""
    return UNPRINTABLE.sub(" ", " ".join(text[:2000].split()))[:160]
