"""Every provider that is not a server of OpenAI's protocol, by way of litellm.

litellm takes three seconds to import and would like to fetch a price list: so this module is imported
only when a model needs it, and litellm is told to use the list it carries. Its retries are off; ours is
the one retry layer.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import json
import logging
import os
import sys
import time
from typing import Any, Final

from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.models.openai_wire import INSTALL, failure_of, parse_reply, request_body, scrub
from services.kit.models.retry import AttemptFailed

# litellm's own way to tools needs mcp as well.
NEEDED: Final = ("litellm", "mcp")


def load() -> Any:
    """The litellm module, quiet and offline.

    Raises:
        ModelFailed: "not_installed", with the command that installs it.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelFailed("not_installed", f"{' and '.join(missing)} missing: {INSTALL}", infrastructure=True)
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")  # in its other mode it reads .env files
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True  # else it prints advice to stdout on every failure
    litellm.drop_params = True  # what a provider does not know (a seed, say) is left out
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "httpx"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


class LiteLLMClient:
    """Chat completions by litellm: keys from each provider's own variables, prices from its map."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """One attempt.

        Raises:
            AttemptFailed: the provider is unreachable, refuses for now, or makes no sense.
            ModelFailed: litellm is missing, the provider or model is unknown, or it refuses for good.
        """
        litellm = load()
        where = f"model {request.model!r}" + (f" at {request.base_url}" if request.base_url else "")
        body = json.loads(request_body(request, request.model))
        try:
            answer = await litellm.acompletion(
                **body, api_base=request.base_url or None, num_retries=0, max_retries=0
            )
            text = json.dumps(answer.model_dump())
        except (TimeoutError, ModelFailed):
            raise
        except Exception as error:  # noqa: BLE001  (it raises what it likes)
            raise _failure(error, where) from None  # its chain may quote headers
        return parse_reply(text, request, usd=_price(litellm, answer))

    async def probe(self, request: ChatRequest) -> None:
        """Whether the provider answers the request at all.

        Raises:
            AttemptFailed: as ``complete``.
            ModelFailed: as ``complete``.
        """
        await self.complete(request)

    async def close(self) -> None:
        """Close the connections that litellm keeps, if it was ever used."""
        if (litellm := sys.modules.get("litellm")) is not None:
            await litellm.close_litellm_async_clients()


def check(model: str, base_url: str) -> None:
    """Whether litellm knows a provider for ``model``, the model chats, and its key is there. No network.

    Raises:
        ModelFailed: "unknown_model", "no_chat_model", "no_key" or "not_installed"; the text says what to do.
    """
    litellm = load()
    known: dict[str, dict[str, Any]] = litellm.model_cost
    try:
        name, provider, *_ = litellm.get_llm_provider(model=model, api_base=base_url or None)
    except Exception:  # noqa: BLE001  (it raises what it likes)
        near = difflib.get_close_matches(model, sorted(known), n=3)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise ModelFailed(
            "unknown_model",
            f"no provider is known for model {scrub(model)!r}. {hint}Write sim, PROVIDER/MODEL (such as"
            " anthropic/claude-sonnet-4-5), or openai/NAME with the base URL of the server that has it",
            infrastructure=False,
        ) from None
    entry = known.get(model) or known.get(f"{provider}/{name}") or known.get(name) or {}
    mode = entry.get("mode", "chat")
    if mode not in ("chat", "responses"):
        raise ModelFailed(
            "no_chat_model", f"{model!r} is for {mode}, not for chat: choose another", infrastructure=False
        )
    missing: list[str] = []
    with contextlib.suppress(Exception):  # an environment it cannot judge will show at the first call
        missing = litellm.validate_environment(model=model, api_base=base_url or None)["missing_keys"]
    if missing and not base_url:
        detail = f"model {model!r} is not set up: the environment lacks {', '.join(missing)}"
        raise ModelFailed("no_key", detail, infrastructure=True)


def _failure(error: Exception, where: str) -> AttemptFailed | ModelFailed:
    """What an exception of litellm means: most have the HTTP status that they stand for."""
    status = getattr(error, "status_code", None)
    text = str(getattr(error, "message", error))
    if "Missing credentials" in text or "api_key client option must be set" in text:  # given out as a 500
        return ModelFailed("no_key", f"{where}: {scrub(text)}", infrastructure=True)
    if not isinstance(status, int) or not 300 <= status < 600:
        return AttemptFailed("client_error", f"{where}: {type(error).__name__}: {scrub(text)}")
    response = getattr(error, "response", None)
    headers = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    return failure_of(status, headers, text, where, time.time())


def _price(litellm: Any, answer: Any) -> float:
    """USD by litellm's price map; 0 when it has no price for the model."""
    price = (getattr(answer, "_hidden_params", None) or {}).get("response_cost")
    if price is None:
        try:
            price = litellm.completion_cost(completion_response=answer)
        except Exception:  # noqa: BLE001  (no price known, said in many ways)
            return 0.0
    return float(price)
