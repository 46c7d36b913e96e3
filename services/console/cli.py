"""``tds``: the command line. Nothing but typer is imported before a command runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from services.console import (
    cli_console,
    cli_dead,
    cli_edges,
    cli_import,
    cli_measure,
    cli_report,
    cli_stack,
)
from services.console.cli_options import AsJson, OnStack, Where
from services.console.errors import FAILED, INTERRUPTED, UserError, complain, explain, print_json

if TYPE_CHECKING:
    from services.console.config import RunConfig
    from services.console.preview import Estimate
    from services.console.source import Source

Json = dict[str, Any]

app = typer.Typer(
    name="tds",
    help="Synthesize diverse multi-turn tool-use trajectories, steered by measured diversity.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cli_dead.app, name="dead")
app.command("import")(cli_import.import_catalog)

ROLES_HELP: Final = "(roles: planner, user, assistant, tools, judge, or all)"
Catalog = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="What `tds import` wrote, or any of the files it reads [built-in]."),
]
Trajectories = Annotated[
    int | None, typer.Option("--trajectories", "-n", metavar="N", help="How many [100].")
]
Seed = Annotated[int | None, typer.Option(metavar="S", help="Same seed, same dataset [0].")]
Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="ROLE=MODEL", help=f"Who plays it [sim] {ROLES_HELP}.")
]
BaseUrls = Annotated[
    list[str] | None,
    typer.Option("--base-url", metavar="ROLE=URL", help="Where the model is, in OpenAI's protocol."),
]
Concurrency = Annotated[
    int | None, typer.Option(metavar="N", help="Calls under way at once; no matter to the dataset [16].")
]
BudgetUsd = Annotated[float | None, typer.Option(metavar="X", help="Spend at most this [no limit].")]
BudgetTokens = Annotated[int | None, typer.Option(metavar="N", help="Use at most so many tokens [no limit].")]
MaxSlots = Annotated[int | None, typer.Option(metavar="M", help="Give up after so many slots [4 N].")]
GenerationSize = Annotated[int | None, typer.Option(metavar="G", help="Slots of one generation [25].")]
Lookahead = Annotated[
    int | None, typer.Option(metavar="L", help="A generation is steered by the one L before it [2].")
]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="YAML, TOML or JSON with the flags' names as keys.")
]


@app.command()
def run(
    catalog: Catalog = None,
    trajectories: Trajectories = None,
    seed: Seed = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="A new folder [out/CAMPAIGN].")] = None,
    campaign: Annotated[str | None, typer.Option(metavar="NAME", help="The campaign's name [cS].")] = None,
    model: Models = None,
    base_url: BaseUrls = None,
    concurrency: Concurrency = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    max_slots: MaxSlots = None,
    generation_size: GenerationSize = None,
    lookahead: Lookahead = None,
    attempts: Annotated[int | None, typer.Option(metavar="N", help="Attempts at one slot [3].")] = None,
    max_turns: Annotated[int | None, typer.Option(metavar="N", help="Turns of one run [24].")] = None,
    code: Annotated[
        str | None,
        typer.Option(metavar="off|on|auto", help="Have code written and run; auto: where it can be [off]."),
    ] = None,
    code_share: Annotated[
        float | None, typer.Option(metavar="X", help="Share of the slots that aim at code [0.6].")
    ] = None,
    signature_cap: Annotated[
        int | None, typer.Option(metavar="N", help="Rows that may share a reasoning signature [any].")
    ] = None,
    min_gain: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, max=1, help="A row must add X times what rows add on average [0]."),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="P",
            help="How slots are chosen: tools, random, steering, evolution or steered [uniform].",
        ),
    ] = None,
    config: Config = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR|CAMPAIGN", help="Go on with this campaign.")
    ] = None,
    stack: OnStack = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="With --stack: start it, do not follow it.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Make a dataset: start a campaign, or go on with one. Ctrl-C stops it and keeps everything.

    With --stack the stack's services carry it out, and Ctrl-C only stops following it.
    """
    flags = _given(locals(), ("model", "base_url", "config", "resume", "stack", "detach", "as_json"))
    from services.console.foreground import carry_out, carry_out_on_stack
    from services.console.launch import prepare, prepare_resume

    if resume is not None:
        may_change = "out" if stack else "concurrency"
        others = sorted({*flags, *_named(model=model, base_url=base_url, config=config)} - {may_change})
        if others:
            what = f"--{others[0].replace('_', '-')} cannot be given with --resume"
            raise UserError(
                what, f"The campaign's own settings stand in its log; only --{may_change} may change"
            )
    if stack:
        from services.console.stack import prepare_again, prepare_new

        if concurrency is not None:
            what = "--concurrency cannot be given with --stack"
            advice = "There each replica has TDS_CONCURRENCY calls under way; `tds up --runners N` makes N"
            raise UserError(what, advice)
        if resume is not None:
            where, prepared = prepare_again(str(resume), out)
        else:
            where, prepared = prepare_new(_load(flags, model, base_url, config))
        return carry_out_on_stack(where, prepared, detach=detach, as_json=as_json)
    if detach:
        raise UserError(
            "--detach can be given with --stack only", "On one machine this command does the work"
        )
    if resume is not None:
        prepared = prepare_resume(resume, _load(flags, None, None, None).concurrency if concurrency else None)
    else:
        prepared = prepare(_load(flags, model, base_url, config))
    return carry_out(prepared, as_json=as_json)


@app.command()
def preview(
    catalog: Catalog = None,
    trajectories: Trajectories = None,
    seed: Seed = None,
    model: Models = None,
    base_url: BaseUrls = None,
    concurrency: Concurrency = None,
    budget_usd: BudgetUsd = None,
    budget_tokens: BudgetTokens = None,
    max_slots: MaxSlots = None,
    generation_size: GenerationSize = None,
    lookahead: Lookahead = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Make 5 trajectories, print them, and say what N would take. Leaves nothing behind."""
    flags = _given(locals(), ("model", "base_url", "config", "as_json"))
    import dataclasses

    from services.console import api
    from services.console.launch import small
    from services.console.preview import TRAJECTORIES

    whole = _load(flags, model, base_url, config)
    from services.console.progress import progress

    with progress(small(whole, TRAJECTORIES).spec(), quiet=as_json) as shown:
        found = api.preview(**whole.model_dump(exclude_defaults=True), on_record=shown.fold)
    if as_json:
        made = dataclasses.asdict(found.estimate) if found.estimate else None
        print_json({"rows": list(found.rows), "estimate": made, "status": found.status})
    else:
        _print_rows(list(zip(found.rows, found.blueprints, strict=True)))
        typer.echo(_estimate_text(found.estimate, found.status))
    return 0 if found.rows else 1


@app.command()
def status(where: Where = "", stack: OnStack = False, as_json: AsJson = False) -> int:
    """Say how a campaign stands, also while it runs; with --stack alone, how the whole stack stands."""
    if stack and not where:
        from services.console.source import Stack, kit_settings
        from services.console.stack_status import standing

        whole = standing(Stack(kit_settings()))
        if as_json:
            print_json(whole.as_json())
        else:
            typer.echo("\n".join(whole.lines()))
        return 0
    from services.console.card import card
    from services.console.ledger import Ledger
    from services.console.progress import details
    from services.console.source import source_of

    source = source_of(where, stack=stack)
    ledger = Ledger.open(source, keep="nothing")
    found = card(ledger, source.config())
    if as_json:
        print_json(found)
        return 0
    typer.echo(
        f"{found['campaign'] or where}: {found['admitted']} of {found['asked']} admitted; {found['detail']}"
    )
    for name, text in details(ledger):
        typer.echo(f"  {name:<10} {text}")
    typer.echo(f"  {'last event':<10} {found['times']['last_event'] or 'none'}")
    if ledger.state == "paused" or (ledger.state == "unfinished" and not stack):
        typer.echo(f"  {'go on':<10} {source.resume}")
    return 0


@app.command()
def show(
    where: Annotated[
        list[str],
        typer.Argument(
            metavar="[DIR|CAMPAIGN] ROW", help="Whose row, and its number from 0 or its run's id."
        ),
    ],
    stack: OnStack = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
    as_json: AsJson = False,
) -> int:
    """Print one trajectory, readable."""
    from services.console.ledger import Ledger
    from services.console.show import find, show_markdown
    from services.console.source import source_of

    if len(where) != 2 and not (stack and len(where) == 1):
        advice = "Give a folder, or --stack and a campaign; and a row's number from 0, or a run's id"
        raise UserError("which row is meant?", advice)
    *named, row = where
    found, blueprint = find(Ledger.open(source_of(named[0] if named else "", stack=stack)), row)
    if as_json:
        print_json(found)
    elif markdown:
        typer.echo(show_markdown(found, blueprint), nl=False)
    else:
        _print_rows([(found, blueprint)])
    return 0


@app.command()
def export(
    to: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    where: Where = "",
    stack: OnStack = False,
    form: Annotated[str, typer.Option("--format", help="openai or sharegpt.")] = "openai",
    failed: Annotated[bool, typer.Option("--failed", help="The failed runs instead, with reasons.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write the dataset as JSONL."""
    from services.console.card import CARD, write_card
    from services.console.export import format_named, write_dataset
    from services.console.ledger import Ledger
    from services.console.source import Folder, source_of

    chosen = format_named(form)
    if to.is_dir():
        raise UserError(f"--to {to} is a folder", "Give the name of a file")
    source = source_of(where, stack=stack)
    ledger = Ledger.open(source, keep="everything" if failed else "admitted")
    count = write_dataset(ledger, to, chosen, failed=failed)
    if isinstance(source, Folder):
        write_card(ledger, source.path)
    if as_json:
        print_json(
            {"rows": count, "file": str(to), "format": chosen, "failed": failed, "state": ledger.state}
        )
    else:
        kind = "failed runs" if failed else "rows"
        made = f"stands in {source.path / CARD}" if isinstance(source, Folder) else f"says {_status(source)}"
        typer.echo(f"{count} {kind} in {to}; how they were made {made}")
        if ledger.state != "finished":
            typer.echo(f"the campaign is {ledger.state}: `{source.resume}` goes on with it")
    if not count and not failed:
        complain(f"no row is admitted yet. {_status(source)} says how it stands")
    return 0 if count or failed else FAILED


@app.command()
def replay(
    where: Where = "",
    stack: OnStack = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decide everything again, models forbidden, and compare.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --stack: where to [out/CAMPAIGN].")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Make the card and dataset again from the log; or check that everything follows from it."""
    import dataclasses

    from services.console import api
    from services.console.source import Stack, source_of

    if out is not None and not stack:
        raise UserError("--out can be given with --stack only", "A folder's dataset is made again in it")
    source = source_of(where, stack=stack)
    if isinstance(source, Stack):
        from services.console.stack import folder_of, rebuild

        folder = folder_of(source, out)
    else:
        folder = source.path
    if not verify:
        found = rebuild(source, folder) if isinstance(source, Stack) else api.rebuild(folder)
        if as_json:
            print_json(found)
        else:
            typer.echo(
                f"{found['admitted']} of {found['asked']} rows; card and dataset in {folder} made again"
            )
        return 0
    report = api.Campaign(folder, source).replay()
    if as_json:
        print_json(dataclasses.asdict(report))
        return 0 if report.identical else 1
    if report.identical:
        typer.echo(f"identical: {report.compared} of {report.events} events derived again, and the export")
        return 0
    for difference in report.differences:
        typer.echo(difference)
    if not report.export_identical:
        typer.echo("the export differs")
    what = f"not identical: {report.compared} of {report.events} events derived again"
    complain(f"{what}. The log was changed, or written by another version of this program")
    return 1


for command in (
    cli_measure.measure,
    cli_report.report,
    cli_console.console,
    cli_edges.edges,
    cli_stack.pause,
    cli_stack.stop,
    cli_stack.up,
    cli_stack.down,
):
    app.command()(command)


@app.command()
def sim_server(
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0: a free one.")] = 0,
    host: Annotated[str, typer.Option(metavar="HOST")] = "127.0.0.1",
    latency_ms: Annotated[str, typer.Option(metavar="A:B", help="Delay of each reply.")] = "0:0",
    seed: Annotated[int, typer.Option(metavar="S", help="Of the delays.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Serve the scripted models over OpenAI-compatible HTTP, until Ctrl-C."""
    bounds = _latency_s(latency_ms)
    try:
        from services.sim.server import serve
    except ImportError as error:
        raise UserError(str(error), code=FAILED) from None
    from services.sim.actors import SimModel

    def ready(url: str) -> None:
        text = json.dumps({"base_url": url}) if as_json else f"serving sim at {url} (Ctrl-C stops)"
        typer.echo(text)

    try:
        serve(SimModel(), host, port, bounds, seed, ready)
    except ValueError as error:
        raise UserError(f"--latency-ms: {error}") from None
    except OSError as error:
        what = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise UserError(what, "choose another --port", code=FAILED) from None
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command: returns its exit code. 0 done, 1 not done or short, 2 bad input, 130 interrupted."""
    try:
        code = app(args=list(sys.argv[1:] if argv is None else argv), prog_name="tds", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(getattr(error, "ctx").get_help())  # noqa: B009
            return 2
        known = explain(error)
        if known is None:
            raise
        complain(known[0])
        return known[1]
    return code if isinstance(code, int) else 0


def _status(source: Source) -> str:
    return f"`tds status {source.words}`"


def _load(flags: Json, model: list[str] | None, base_url: list[str] | None, config: Path | None) -> RunConfig:
    from services.console.config import by_role, load

    roles = {"model": by_role(model, "--model"), "base_url": by_role(base_url, "--base-url")}
    return load({**flags, **roles}, config, os.environ)


def _given(values: Json, but: Sequence[str]) -> Json:
    """The flags that were given."""
    return {name: value for name, value in values.items() if name not in but and value is not None}


def _named(**values: Any) -> Json:
    return {name: value for name, value in values.items() if value}


def _latency_s(text: str) -> tuple[float, float]:

    low, _, high = text.partition(":")
    try:
        return float(low) / 1000, float(high or low) / 1000
    except ValueError:
        raise UserError(f"--latency-ms {text}: no range of milliseconds", "Write A:B, e.g. 50:200") from None


def _print_rows(found: list[tuple[Json, Any]]) -> None:
    import shutil

    from rich.console import Console

    from services.console.show import WIDTH, show_text

    width = min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)
    console = Console(width=width, soft_wrap=True, highlight=False)
    for number, (row, blueprint) in enumerate(found):
        if number:
            console.rule(style="dim")
        console.print(show_text(row, blueprint, width), end="")


def _estimate_text(estimate: Estimate | None, found: Json) -> str:
    from services.console.progress import amount

    if estimate is None:
        return f"nothing was admitted ({found['detail']}), so nothing can be estimated"
    cost = f"{estimate.usd:.2f} USD" if estimate.priced else "no price is known"
    if estimate.sim:
        cost = "free: sim models, not training data"
    return (
        f"\n{estimate.trajectories} trajectories would take about {amount(estimate.calls)} calls, "
        f"{amount(estimate.prompt_tokens)} prompt and {amount(estimate.completion_tokens)} completion tokens "
        f"({cost}), by the rate of these {estimate.sample}"
    )


if __name__ == "__main__":
    sys.exit(main())
