"""Which parameters are secrets. No user should say one, so tools that need one are not planned with."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from services.worlds.fitting import Json
from services.worlds.words import listed, norm, tokens

_CREDENTIAL_WORDS: Final = frozenset(
    listed(
        "password passwd pwd passphrase secret secrets authorization signature hmac credential "
        "credentials jwt otp passcode bearer apikey privatekey accesstoken cookie"
    )
)


_CREDENTIAL_NAMES: Final = re.compile(
    r"^key$|api_?-?key|apikey|app_?-?key|access_?-?key|private_?-?key|secret_?-?key|auth_?-?key|(^|[^a-z])auth$"
    r"|(access|auth|oauth|refresh|session|bearer|id|api|csrf|xsrf|security|user|device|login|jwt)[_-]?token"
    r"|^x-amz-(security|credential|signature)|^(vestorly_)?auth$|client_?secret|mnemonic|seed_?phrase|cvv|cvc"
)


_NOT_CREDENTIALS: Final = re.compile(
    r"(page|next|continuation|sync|cursor|skip|start|idempotency|client_?request|delta|list)[_-]?token"
)


@lru_cache(maxsize=65536)
def _credential_name(name: str) -> bool:
    snake = "_".join(tokens(name))
    if _NOT_CREDENTIALS.search(snake):
        return False
    words = set(tokens(name))
    return (
        bool(words & _CREDENTIAL_WORDS)
        or bool(_CREDENTIAL_NAMES.search(snake))
        or norm(name) in _CREDENTIAL_WORDS
        or snake in {"token", "x_token", "xsec_token"}
    )


def is_credential(parameter: str, schema: Json | None = None) -> bool:
    """Whether a parameter is a secret (token, key, password, signature) that no user should say."""
    if isinstance(schema, dict) and schema.get("format") == "password":
        return True
    return _credential_name(parameter)
