"""What an operator sets for the chassis by environment variables that begin with ``TDS_``.

None of it can change a dataset; what can stands in ``CampaignSpec`` and is recorded in the log.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "TDS_"


class KitSettings(BaseSettings):
    """Settings of one process; frozen once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below this level are not written."""
    log_format: Literal["json", "console"] = "json"
    """One JSON object a line, or aligned text for a person."""
    grace_s: float = Field(default=30.0, ge=0, le=3600)
    """How long effects under way may take to finish once the process was told to stop, in seconds."""


def load() -> KitSettings:
    """The settings that the environment gives.

    Raises:
        ValueError: a variable has a value that makes no sense; the text names it and says what would.
    """
    try:
        return KitSettings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
        raise ValueError(f"{name}={first['input']}: {first['msg']}") from None
