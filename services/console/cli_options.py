"""Flags and arguments that several commands of ``tds`` share."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Where = Annotated[
    str, typer.Argument(metavar="[DIR|CAMPAIGN]", help="The campaign's folder; with --stack, its name.")
]
OnStack = Annotated[
    bool, typer.Option("--stack", help="A campaign on the stack: on the Kafka that TDS_KAFKA names.")
]
