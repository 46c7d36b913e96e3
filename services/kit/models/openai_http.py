"""A thin client for servers that speak OpenAI's protocol: one POST, one attempt, one reply.

Retries, timeouts of an attempt and concurrency are not its matter (``retry.py``, the host).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.models.openai_wire import (
    MAX_REPLY_BYTES,
    failure_of,
    is_sim_named,
    parse_reply,
    request_body,
    scrub,
)
from services.kit.models.retry import AttemptFailed

CONNECT_TIMEOUT_S: Final = 10.0
# Shorter than the 5 s after which common servers drop an idle connection: else the two race, and a
# request that was never read counts as cut.
KEEPALIVE_S: Final = 4.0
MAX_CONNECTIONS: Final = 1024
KEY_VARIABLES: Final = {"openai": "OPENAI_API_KEY", "hosted_vllm": "HOSTED_VLLM_API_KEY"}


def served_name(model: str) -> str:
    """The model's name as its server knows it: without ``openai/`` or ``hosted_vllm/``."""
    prefix, slash, name = model.partition("/")
    return name if slash and prefix in KEY_VARIABLES else model


def endpoint(base_url: str, path: str) -> str:
    """URL of ``path`` under ``base_url``; a base URL without any path is taken to mean ``/v1``."""
    base = base_url.rstrip("/")
    return f"{base}{'' if urlsplit(base).path else '/v1'}/{path}"


class OpenAIClient:
    """Chat completions over HTTP. The session is opened by the first request, in its event loop.

    The API key is read from the environment for each request (OPENAI_API_KEY; HOSTED_VLLM_API_KEY for
    ``hosted_vllm/…``); without one, none is sent.
    """

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        """One attempt at the reply of ``request.model`` at ``request.base_url``.

        Raises:
            AttemptFailed: unreachable, cut, refused for now, or an answer that makes no sense.
            ModelFailed: refused for good.
        """
        body = request_body(request, served_name(request.model))
        url = endpoint(request.base_url, "chat/completions")
        headers = {"Content-Type": "application/json", **_authorization(request.model)}
        where = f"model {request.model!r} at {request.base_url}"
        status, answer, text = await self._exchange("POST", url, headers, body, where)
        if not 200 <= status < 300:
            raise failure_of(status, answer, text.decode("utf-8", "replace"), where, time.time())
        return parse_reply(text, request)

    async def probe(self, request: ChatRequest) -> None:
        """Whether the server has the model, by its list of models.

        A server without such a list, or one that answers to any name (llama.cpp), is taken to have it.

        Raises:
            AttemptFailed: unreachable, or refused for now.
            ModelFailed: refused for good; "unknown_model" with the names that there are.
        """
        where = f"the server at {request.base_url}"
        url = endpoint(request.base_url, "models")
        status, headers, text = await self._exchange("GET", url, _authorization(request.model), None, where)
        if status in (404, 405, 501):
            return
        if not 200 <= status < 300:
            raise failure_of(status, headers, text.decode("utf-8", "replace"), where, time.time())
        try:
            entries = json.loads(text)["data"]
            names = sorted(str(entry["id"]) for entry in entries)
            any_name = any(entry.get("owned_by") == "llamacpp" for entry in entries)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        name = served_name(request.model)
        has_it = name in names or (is_sim_named(request.model) and "sim" in names)
        if not any_name and not has_it:
            offered = scrub(", ".join(names)) or "none"
            detail = f"{where} has no model {name!r}; it has: {offered}"
            raise ModelFailed("unknown_model", detail, infrastructure=False)

    async def close(self) -> None:
        """Close all connections; a later request would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, where: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (case-insensitive) and body of one HTTP exchange."""
        try:
            async with self._open().request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return response.status, response.headers, await _bounded(response, where)
        except aiohttp.InvalidURL as error:
            raise ModelFailed("bad_base_url", f"{where}: this is no URL", infrastructure=True) from error
        except aiohttp.ClientSSLError as error:
            raise ModelFailed("tls", f"{where}: {scrub(str(error))}", infrastructure=True) from error
        except aiohttp.ClientConnectorError as error:
            raise AttemptFailed("unreachable", f"{where}: {scrub(str(error))}") from error
        except aiohttp.ServerTimeoutError as error:
            raise AttemptFailed("timeout", f"{where}: {scrub(str(error))}") from error
        except aiohttp.ClientResponseError as error:
            raise AttemptFailed("malformed", f"{where} speaks no HTTP: {scrub(error.message)}") from error
        except (aiohttp.ClientError, OSError) as error:
            detail = scrub(f"{type(error).__name__}: {error}")
            raise AttemptFailed("connection_cut", f"{where}: {detail}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_S)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


async def _bounded(response: aiohttp.ClientResponse, where: str) -> bytes:
    """The body, decompressed, as long as it is not larger than 4 MiB."""
    pieces, size_bytes = [], 0
    async for piece in response.content.iter_any():
        size_bytes += len(piece)
        if size_bytes > MAX_REPLY_BYTES:
            raise AttemptFailed("malformed", f"{where} sent more than {MAX_REPLY_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _authorization(model: str) -> dict[str, str]:
    variable = KEY_VARIABLES["hosted_vllm" if model.startswith("hosted_vllm/") else "openai"]
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ModelFailed("bad_key", f"{variable} holds characters that no key has", infrastructure=True)
    return {"Authorization": f"Bearer {key}"} if key else {}
