"""Who answers a chat request: the scripted actors, a server of OpenAI's protocol, or litellm.

- ``sim`` or ``sim?…`` without a base URL: the actors handed in;
- ``NAME``, ``openai/NAME`` or ``hosted_vllm/NAME`` with a base URL: the thin HTTP client;
- every other (``PROVIDER/MODEL``): litellm.

HTTP client and litellm are imported when a model first needs them, and wrapped in the one retry layer.
API keys come from the environment only.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from services.kit.models.chat import ChatModel, ChatReply, ChatRequest, ModelFailed
from services.kit.models.openai_wire import INSTALL, is_sim_named
from services.kit.models.retry import FailedAttempt, Gate, Retrying, RetryPolicy

Route = Literal["sim", "http", "litellm"]
PREFLIGHT: Final = RetryPolicy(attempts=3, timeout_s=15.0)


class Client(ChatModel, Protocol):
    """A ``ChatModel`` of one attempt a request, with connections to close."""

    async def probe(self, request: ChatRequest) -> None:
        """Whether the request's model is there: as cheap a question as the server allows.

        Raises:
            AttemptFailed: not now.
            ModelFailed: no.
        """

    async def close(self) -> None:
        """Close all connections."""


def route(model: str, base_url: str) -> Route:
    """Which of the three answers ``model``.

    Raises:
        ModelFailed: for a sim model behind ``openai/`` without the server it is at.
    """
    prefix, slash, _ = model.partition("/")
    if base_url:
        return (
            "http" if not slash or is_sim_named(model) or prefix in ("openai", "hosted_vllm") else "litellm"
        )
    if not is_sim_named(model):
        return "litellm"
    if prefix == "openai":
        detail = f"{model!r} without a base URL: give a sim server's, or write 'sim' for the actors in here"
        raise ModelFailed("unknown_model", detail, infrastructure=False)
    return "sim"


def check(model: str, base_url: str = "") -> None:
    """Whether requests to ``model`` could be sent at all; nothing goes over the network.

    Raises:
        ModelFailed: an unknown name, a bad base URL, a missing package or key; the text says what to do.
    """
    if base_url:
        _check_url(base_url)
    if not model.strip("/ ") or model != model.strip():
        raise ModelFailed("unknown_model", f"{model!r} is no model's name", infrastructure=False)
    where = route(model, base_url)
    if where == "http":
        if model in ("openai/", "hosted_vllm/"):
            raise ModelFailed("unknown_model", f"{model!r} has no name after its slash", infrastructure=False)
        if importlib.util.find_spec("aiohttp") is None:
            raise ModelFailed("not_installed", f"aiohttp is missing: {INSTALL}", infrastructure=True)
    elif where == "litellm":
        from services.kit.models import litellm_client

        litellm_client.check(model, base_url)


class ModelRouter:
    """All models behind one ``ChatModel``. Close it when done.

    ``sim`` answers for ``sim`` models; without it they fail. ``on_call`` hears of every attempt before it
    is made, those of the sim included; ``on_failed`` of every attempt that failed. ``seed`` is for the
    jitter of waits only. ``gate`` stands before every attempt at a model that is not played in here; its
    maker closes it.
    """

    def __init__(
        self,
        sim: ChatModel | None = None,
        *,
        policy: RetryPolicy | None = None,
        seed: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_call: Callable[[ChatRequest], None] | None = None,
        on_failed: Callable[[FailedAttempt], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._sim = sim
        self._policy = policy or RetryPolicy()
        self._rng = random.Random(f"{seed}/model retries")
        self._sleep = sleep
        self._on_call = on_call
        self._on_failed = on_failed
        self._gate = gate
        self._clients: dict[Route, Client] = {}
        self._models: dict[Route, ChatModel] = {}

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reply of ``request.model``, after as many attempts as the policy allows.

        Raises:
            ModelFailed: when there is none.
        """
        where = route(request.model, request.base_url)
        if where == "sim":
            if self._sim is None:
                raise ModelFailed("no_sim", "no scripted actors were handed in", infrastructure=True)
            if self._on_call is not None:
                self._on_call(request)
            return await self._sim.complete(request)
        if where not in self._models:
            self._models[where] = self._retrying(self._client(where), self._policy, self._gate)
        return await self._models[where].complete(request)

    async def preflight(self, model: str, base_url: str = "") -> None:
        """``check``, and then whether the model is really there: to be called before a run starts.

        A server is asked for its list of models; a provider for a reply of a few tokens, which proves the
        name and the key. Takes a minute at most.

        Raises:
            ModelFailed: the server cannot be reached, does not have the model, or refuses the key.
        """
        check(model, base_url)
        where = route(model, base_url)
        if where != "sim":
            hello = ({"role": "user", "content": "Say yes."},)
            request = ChatRequest("preflight", "", 0, model, hello, base_url, max_tokens=16)
            await self._retrying(_Probing(self._client(where)), PREFLIGHT).complete(request)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()

    def _client(self, where: Route) -> Client:
        if where not in self._clients:
            self._clients[where] = _http_client() if where == "http" else _litellm_client()
        return self._clients[where]

    def _retrying(self, inner: ChatModel, policy: RetryPolicy, gate: Gate | None = None) -> Retrying:
        return Retrying(
            inner,
            policy,
            sleep=self._sleep,
            rng=self._rng,
            on_call=self._on_call,
            on_failed=self._on_failed,
            gate=gate,
        )


class _Probing:
    """A client's probe as a ``ChatModel``, so that the retry layer goes around it too."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def complete(self, request: ChatRequest) -> ChatReply:
        await self._client.probe(request)
        return ChatReply()


def _http_client() -> Client:
    try:
        from services.kit.models.openai_http import OpenAIClient
    except ImportError as error:
        raise ModelFailed("not_installed", f"{error}: {INSTALL}", infrastructure=True) from error
    return OpenAIClient()


def _litellm_client() -> Client:
    from services.kit.models.litellm_client import LiteLLMClient

    return LiteLLMClient()


def _check_url(base_url: str) -> None:
    try:
        url = urlsplit(base_url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        detail = f"{base_url[:200]!r} is no base URL: write http(s)://HOST:PORT/v1"
        raise ModelFailed("bad_base_url", detail, infrastructure=False)
    if url.username or url.password or url.query or url.fragment:
        detail = "a base URL holds no user, key or query: put the key into OPENAI_API_KEY in the environment"
        raise ModelFailed("bad_base_url", detail, infrastructure=False)
