"""What an operator sets for the chassis by environment variables that begin with ``TDS_``.

None of it can change a dataset; what can stands in ``CampaignSpec`` and is recorded in the log.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TDS_"
SHOWN: Final = 100
"""Characters of a wrong value that are shown."""
S = TypeVar("S", bound=BaseSettings)


class KitSettings(BaseSettings):
    """Settings of one process; frozen once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below this level are not written."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object a line, or aligned text for a person."""
    grace_s: float = Field(default=30.0, ge=0, le=3600)
    """How long effects under way may take to finish once the process was told to stop, in seconds."""
    kafka: str = Field(default="127.0.0.1:9092", min_length=1)
    """Kafka's bootstrap servers: HOST:PORT, several separated by commas."""
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    """How Kafka is spoken to."""
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """How user and password are shown to Kafka, where its security says sasl."""
    kafka_user: str = ""
    """Kafka's user, where its security says sasl."""
    kafka_password: SecretStr = SecretStr("")
    """The user's password."""
    kafka_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    """Stands before the name of every topic and group, so that several stacks may share one broker."""
    redis: SecretStr = SecretStr("")
    """URL of the Redis that replicas share, as redis://[:PASSWORD@]HOST:PORT/DB; empty: they share none."""
    concurrency: int = Field(default=16, ge=1, le=10_000)
    """Effects under way at once in one replica of a service on Kafka."""
    http_host: str = "127.0.0.1"
    """Where a service on Kafka answers /live, /ready and /metrics."""
    http_port: int = Field(default=0, ge=0, le=65_535)
    """The port of that; 0: nowhere."""


def load() -> KitSettings:
    """The settings that the environment gives.

    Raises:
        ValueError: a variable has a value that makes no sense; the text names it and says what would.
    """
    return read(KitSettings, secret=("kafka_password", "redis"))


def read(kind: type[S], *, secret: Collection[str] = ()) -> S:
    """Settings of this kind, from the environment; values of ``secret`` fields are never shown.

    Raises:
        ValueError: a variable has a value that makes no sense; the text names it and says what would.
    """
    try:
        return kind()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        shown = "***" if first["loc"] and first["loc"][0] in secret else str(first["input"])[:SHOWN]
        raise ValueError(f"{name}={shown}: {first['msg']}") from None
