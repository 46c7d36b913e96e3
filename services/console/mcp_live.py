"""Running MCP servers as catalog entries: started or called with the official SDK, asked for their tools.

Everything is bounded: seconds, pages, tools, bytes, and lines on stdout that are no messages. A started
server gets the SDK's few safe environment variables and those named, and is gone with all its children when
this returns. Tools are taken as they come over the wire: wild ones are the registry's matter.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from schemas.catalog import ImportServer, Json
from services.console.catalog_entries import MAX_SERVER_BYTES, UNPRINTABLE, BadEntry, Ids, entry
from services.console.catalog_parts import in_parts
from services.console.errors import FAILED, UserError
from services.console.mcp_transports import (
    GivenUp,
    LastWords,
    Limits,
    called,
    called_by_sse,
    clipped,
    quiet_sdk,
    started,
)
from services.console.stopping import handled_signals

MAX_PAGES: Final = 100
MAX_GARBAGE: Final = 100
"""Lines that are no messages, before the server is given up."""
DESCRIPTION_LENGTH: Final = 1_000


@dataclass(slots=True)
class _Listing:
    """What one server said."""

    name: str = ""
    description: str = ""
    tools: list[Any] = field(default_factory=list)
    size_bytes: int = 0
    cut: str = ""
    """Why there may be more tools than these."""
    garbage: list[str] = field(default_factory=list)


def read_server(
    source: str,
    *,
    ids: Ids,
    pass_on: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    limits: Limits | None = None,
) -> list[ImportServer | BadEntry]:
    """The running server that ``source`` names: a URL, or a command line, which is started without a shell.

    ``pass_on`` names variables of ``environ`` that the started server gets too. ``ids`` are those given
    so far.

    Raises:
        UserError: the SDK is not installed, or the source or a variable makes no sense.
        KeyboardInterrupt: interrupted; the server is gone.
    """
    try:
        import anyio
        import mcp as _sdk  # noqa: F401
    except ImportError:
        advice = "Install it with `pip install 'tdscaling[models]'`"
        raise UserError(
            "running MCP servers are imported with the mcp package", advice, code=FAILED
        ) from None
    bounds = limits or Limits()
    url = _url(source)
    command = [] if url else _command(source)
    shown = _shown(url) if url else UNPRINTABLE.sub("?", source)[:120]
    env = _passed(pass_on, environ or {})
    said, words = _Listing(), LastWords()
    try:
        with words.pipe() as stderr, quiet_sdk():
            anyio.run(_listen, url, command, env, stderr, said, bounds)
    except GivenUp as gave:
        more = f", as {said.garbage[0]!r}" if gave.code == "garbage" else ""
        if said.garbage and not more:
            more = f"; a line on its stdout is no message: {said.garbage[0]!r}"
        if words.text():
            more += f"; the end of its stderr: {words.text()!r}"
        return [BadEntry(shown, gave.reason + more, gave.advice, gave.code)]
    return _entries(said, shown, ids)


async def _listen(
    url: str, command: list[str], env: dict[str, str], stderr: int, said: _Listing, limits: Limits
) -> None:
    """Ask one server for its tools, in a scope that an interruption cancels."""
    import anyio

    with anyio.CancelScope() as scope, handled_signals(scope.cancel):
        if not url:
            await _ask("stdio", started(command, env, stderr), said, limits)
            return
        try:
            await _ask("streamable HTTP", called(url, limits), said, limits)
        except GivenUp as gave:
            if gave.code == "timeout":
                raise
            try:
                await _ask("SSE", called_by_sse(url, limits), said, limits)
            except GivenUp:
                raise gave from None
    if scope.cancelled_caught:
        raise KeyboardInterrupt


async def _ask(
    by: str, transport: contextlib.AbstractAsyncContextManager[Any], said: _Listing, limits: Limits
) -> None:
    """Connect, shake hands, and read the pages.

    Raises:
        GivenUp: the server did not do its part.
    """
    import anyio
    from mcp import ClientSession, MCPError
    from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher

    flooded = anyio.CancelScope()

    async def hear(message: object) -> None:
        if isinstance(message, Exception):
            said.garbage.append(_line(message))
            if len(said.garbage) >= MAX_GARBAGE:
                flooded.cancel()

    asked = "initialize"
    try:
        with flooded, anyio.fail_after(limits.start_s) as deadline:
            async with transport as (incoming, outgoing):
                dispatcher: Any = JSONRPCDispatcher(incoming, outgoing)
                async with ClientSession(dispatcher=dispatcher, message_handler=hear) as session:
                    await _introduce(session, said)
                    asked, cursor, seen = "tools/list", "", set[str]()
                    for _ in range(MAX_PAGES):
                        deadline.deadline = anyio.current_time() + limits.page_s
                        cursor = _take(await _page(session, dispatcher, cursor), said, limits)
                        if not cursor or said.cut:
                            break
                        if cursor in seen:
                            said.cut = "it names the same next page again and again"
                            break
                        seen.add(cursor)
                    else:
                        said.cut = f"it has more than {MAX_PAGES} pages"
    except TimeoutError:
        seconds = limits.start_s if asked == "initialize" else limits.page_s
        advice = "See whether it runs by itself; give it longer with --timeout SECONDS"
        raise GivenUp("timeout", f"no answer to {asked} within {seconds:g} s over {by}", advice) from None
    except Exception as error:  # noqa: BLE001  (whatever a stranger's server leads to is told)
        cause = _cause(error)
        if isinstance(cause, GivenUp):
            raise cause from None
        if isinstance(cause, MCPError):
            text = f"{asked} failed over {by}: {clipped(cause.message)}"
            if cause.code == _closed():
                text = f"it ended, or closed the connection, before it answered {asked} over {by}"
            raise GivenUp("no_answer", text, "see whether it runs by itself, and what it prints") from None
        text = f"cannot be reached over {by}: {type(cause).__name__}: {clipped(str(cause))}"
        if isinstance(cause, OSError) and by == "stdio":
            text = f"cannot be started: {cause.strerror or cause}"
        raise GivenUp("no_answer", text, "check the command or the URL") from None
    if flooded.cancelled_caught:
        advice = "An MCP server over stdio prints messages only; have it log to stderr"
        raise GivenUp("garbage", f"{MAX_GARBAGE} lines on stdout are no messages", advice)


async def _introduce(session: Any, said: _Listing) -> None:
    """Shake hands; servers that know only the protocol without a handshake are discovered."""
    from mcp import MCPError

    try:
        await session.initialize()
    except MCPError as error:
        if error.code == _closed():
            raise
        try:
            await session.discover()
        except MCPError:
            raise error from None
    info = session.server_info
    said.name = info.name if info is not None else ""
    title = getattr(info, "title", None) or ""
    said.description = (session.instructions or title)[:DESCRIPTION_LENGTH]


async def _page(session: Any, dispatcher: Any, cursor: str) -> Json:
    """One page of tools/list, as it came over the wire where the session had a handshake."""
    from mcp.types import ListToolsResult, PaginatedRequestParams

    if session.initialize_result is None:
        params = PaginatedRequestParams(cursor=cursor) if cursor else None
        page: ListToolsResult = await session.list_tools(params=params)
        return page.model_dump(by_alias=True, mode="json", exclude_none=True)
    headers = {"mcp-protocol-version": session.protocol_version}
    raw: Json = await dispatcher.send_raw_request(
        "tools/list", {"cursor": cursor} if cursor else None, {"headers": headers}
    )
    return raw


def _take(page: Json, said: _Listing, limits: Limits) -> str:
    """Add a page's tools; returns the next page's cursor, or ""."""
    tools = page.get("tools")
    if not isinstance(tools, list):
        raise GivenUp("no_answer", "its answer to tools/list has no list of tools", "it does not speak MCP")
    for tool in tools:
        size = len(json.dumps(tool))
        if len(said.tools) >= limits.tools or said.size_bytes + size > limits.size_bytes:
            most = (
                f"{limits.tools} tools" if len(said.tools) >= limits.tools else f"{limits.size_bytes} bytes"
            )
            said.cut = f"it lists more than {most}"
            return ""
        said.tools.append(tool)
        said.size_bytes += size
    cursor = page.get("nextCursor")
    return cursor if isinstance(cursor, str) else ""


def _entries(said: _Listing, shown: str, ids: Ids) -> list[ImportServer | BadEntry]:
    """The listing as servers, in parts that fit a message, and what is to be said of it."""
    made: list[ImportServer | BadEntry] = []
    if not said.tools:
        if said.cut:
            return [BadEntry(shown, f"{said.cut} at once", "have it list less", "too_many")]
        return [BadEntry(shown, "it lists no tools", "nothing to do: there is nothing to use", "no_tools")]
    about = {"name": said.name or shown, "description": said.description}
    for raw in in_parts(about, said.tools, MAX_SERVER_BYTES):
        made.append(entry(raw, shown, about["name"], ids, MAX_SERVER_BYTES))
    if said.cut:
        what = f"{said.cut}: the first {len(said.tools)} are taken"
        made.append(BadEntry(shown, what, "the others are left out", "too_many"))
    if said.garbage:
        what = f"{len(said.garbage)} lines on stdout are no messages, as {said.garbage[0]!r}"
        made.append(BadEntry(shown, what, "have it log to stderr; its tools are taken", "garbage"))
    return made


def _closed() -> int:
    from mcp.types import CONNECTION_CLOSED

    return int(CONNECTION_CLOSED)


def _cause(error: BaseException) -> BaseException:
    """The first error of nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _line(error: Exception) -> str:
    """The line that could not be parsed, as far as the SDK's error still has it."""
    errors = getattr(error, "errors", None)
    found = errors(include_url=False)[0].get("input") if callable(errors) else str(error)
    return clipped(found if isinstance(found, str) else json.dumps(found, default=str))


def _url(source: str) -> str:
    return source.strip() if source.strip().lower().startswith(("http://", "https://")) else ""


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    parts = urlsplit(url)
    return UNPRINTABLE.sub(
        "?", urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    )


def _command(source: str) -> list[str]:
    try:
        words = shlex.split(source)
    except ValueError as error:
        raise UserError(f"--mcp {source}: {error}", "Quote it as for a shell") from None
    if not words:
        raise UserError("--mcp is empty", "Give a command line, or a URL that begins with http")
    return words


def _passed(names: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    missing = [name for name in names if name not in environ]
    if missing:
        what = f"--env {missing[0]}: no such variable is set"
        raise UserError(what, "Give the name of a variable of this shell, without a value")
    return {name: environ[name] for name in names}
