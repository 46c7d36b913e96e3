"""The stack's containers: started and stopped with Docker Compose."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.console.errors import FAILED, UserError

FILES: Final = ("docker-compose.yml", "compose.yaml")


def compose_file() -> Path:
    """The project's compose file: in this folder or one above it, else beside this program's source.

    Raises:
        UserError: there is none.
    """
    here, source = Path.cwd(), Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, source):
        for name in FILES:
            file = folder / name
            if file.is_file() and "agent-runner" in file.read_text(encoding="utf-8", errors="replace"):
                return file
    raise UserError(
        "there is no docker-compose.yml of this project here",
        "Go to the folder of the project's source, which has it, and say this again",
    )


def up(*, runners: int, build: bool) -> Path:
    """Start the stack, and wait until all of it is healthy; returns the compose file.

    Raises:
        UserError: there is no Docker, no compose file, or not all of it became healthy.
    """
    file = compose_file()
    flags = ["--detach", "--wait", "--scale", f"agent-runner={runners}", *(["--build"] if build else [])]
    if _compose(file, "up", flags):
        advice = f"See `docker compose -f {file} ps --all` and `docker compose -f {file} logs`"
        raise UserError("the stack did not come up", advice, code=FAILED)
    return file


def published(service: str, port: int) -> str:
    """Where a port of a service of the running stack is on this machine, as HOST:PORT; empty if nowhere."""
    docker = shutil.which("docker") or "docker"
    asked = subprocess.run(  # noqa: S603
        [docker, "compose", "--file", str(compose_file()), "port", service, str(port)],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def down(*, volumes: bool) -> None:
    """Stop the stack; with ``volumes`` its log goes, too.

    Raises:
        UserError: there is no Docker, no compose file, or it could not be stopped.
    """
    if _compose(compose_file(), "down", ["--volumes"] if volumes else []):
        raise UserError("the stack could not be stopped", "See what Docker says above", code=FAILED)


def _compose(file: Path, verb: str, flags: Sequence[str]) -> int:
    docker = shutil.which("docker")
    if docker is None:
        raise UserError(
            "there is no docker on this machine",
            "Install Docker with Compose, or run on this machine alone: `tds run`",
            code=FAILED,
        )
    asked = subprocess.run(  # noqa: S603
        [docker, "compose", "version"], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        said = (asked.stderr or asked.stdout).strip().splitlines() or ["no answer"]
        raise UserError(f"docker has no compose: {said[0]}", "Install its Compose plugin", code=FAILED)
    command = [docker, "compose", "--file", str(file), verb, *flags]
    return subprocess.run(command, check=False).returncode  # noqa: S603
