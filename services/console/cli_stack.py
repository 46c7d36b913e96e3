"""``tds up|down|pause|stop``: the stack itself, and what may be said to a campaign on it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer

from services.console.cli_options import AsJson, OnStack
from services.console.errors import UserError, print_json

KAFKA_PORT: Final = 19092
REDIS_PORT: Final = 6379
"""Inside the containers, as docker-compose.yml has them."""
Named = Annotated[str, typer.Argument(metavar="[CAMPAIGN]", help="Its name, where there are several.")]


def pause(campaign: Named = "", stack: OnStack = False, as_json: AsJson = False) -> int:
    """Hold a campaign on the stack up: what is under way is finished. `tds run --stack --resume` goes on."""
    return _order(campaign, "pause", stack=stack, as_json=as_json)


def stop(campaign: Named = "", stack: OnStack = False, as_json: AsJson = False) -> int:
    """End a campaign on the stack for good, with the rows that it has."""
    return _order(campaign, "stop", stack=stack, as_json=as_json)


def up(
    runners: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Replicas of agent-runner.")] = 1,
    build: Annotated[bool, typer.Option("--build", help="Build the images anew first.")] = False,
) -> int:
    """Start the stack with Docker Compose, and wait until it is healthy."""
    from services.console import compose
    from services.console.source import kit_settings

    file = compose.up(runners=runners, build=build)
    known = kit_settings()
    wanted = {
        "TDS_KAFKA": (compose.published("kafka", KAFKA_PORT), known.kafka),
        "TDS_REDIS": (f"redis://{compose.published('redis', REDIS_PORT)}/0", known.redis.get_secret_value()),
    }
    typer.echo(f"the stack of {file} is up")
    unset = " ".join(f"{name}={there}" for name, (there, now) in wanted.items() if there != now)
    if unset:
        typer.echo(f"  first    export {unset}")
    typer.echo("  run      tds run --stack")
    typer.echo("  look     tds status --stack")
    typer.echo("  stop     tds down    (--volumes: and forget the log)")
    return 0


def down(
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Delete the log and all that is in it, too.")
    ] = False,
) -> int:
    """Stop the stack. Its log is kept, unless --volumes is given."""
    from services.console import compose

    compose.down(volumes=volumes)
    typer.echo("the stack is stopped" + ("; its log is deleted" if volumes else "; `tds up` goes on"))
    return 0


def _order(campaign: str, action: Literal["pause", "stop"], *, stack: bool, as_json: bool) -> int:
    if not stack:
        advice = "Say --stack; a run on one machine is stopped with Ctrl-C, and goes on with --resume"
        raise UserError(f"tds {action} is for campaigns on the stack", advice)
    from services.console.source import on_stack
    from services.console.stack import command
    from services.console.stopping import run_through

    source = on_stack(campaign)
    run_through(lambda: command(source, action))
    if as_json:
        print_json({"campaign": source.campaign, "asked_for": action})
    else:
        typer.echo(f"{source.campaign} was asked to {action}; `tds status {source.words}` says when it has")
    return 0
