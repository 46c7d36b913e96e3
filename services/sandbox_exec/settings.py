"""What an operator sets for sandboxes by environment variables that begin with ``TDS_SANDBOX``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.kit.settings import PREFIX, read
from services.sandbox_exec.limits import MIB, Limits


class SandboxSettings(BaseSettings):
    """Settings of one process; frozen once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    sandbox: Literal["auto", "bubblewrap", "docker-gvisor", "docker-runc", "none"] = "auto"
    """Which backend; auto: bubblewrap, where it does not work Docker with gVisor, else none."""
    sandbox_image: str = Field(default="tdscaling/code", pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,250}$")
    """The image of container sandboxes: Python 3.11 or newer as python3, bash, and the allowed packages."""
    sandbox_sidecar: str = Field(default="", max_length=100)
    """The socket of the sidecar that starts containers; empty: this process asks the engine itself."""
    sandbox_memory_mb: int = Field(default=1024, ge=256, le=65_536)
    """Memory of one session."""

    @property
    def limits(self) -> Limits:
        """The limits of calls and sessions."""
        return Limits(memory_bytes=self.sandbox_memory_mb * MIB)


def load() -> SandboxSettings:
    """The settings that the environment gives.

    Raises:
        ValueError: a variable has a value that makes no sense; the text names it and says what would.
    """
    return read(SandboxSettings)
