"""A campaign's card: everything about a dataset that its rows may not hold.

Counts, figures, models, cost, times, how it ended. ``card.json`` for programs, ``README.md`` for people;
both are folds of the log and of ``config.json``, and can be made again with ``tds replay DIR``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from schemas.blueprint import Usage
from schemas.evolution import ROLES, RoleModel
from services.console.export import write_atomically
from services.console.ledger import Ledger
from services.console.show import most_first
from services.kit.models.openai_wire import is_sim_named

Json = dict[str, Any]

CONFIG: Final = "config.json"
CARD: Final = "card.json"
README: Final = "README.md"
DATASET: Final = "dataset.jsonl"
SIM_WARNING: Final = "made with scripted sim models: for testing pipelines, not training data"
LISTED: Final = 20


def card(ledger: Ledger, config: Json | None = None) -> Json:
    """The card as a JSON object. ``config`` is what the folder's ``config.json`` holds."""
    spec, started, finished = ledger.spec, ledger.started, ledger.finished
    models = {role: (spec.models if spec else {}).get(role, RoleModel()) for role in ROLES}
    sim = [role for role in ROLES if is_sim_named(models[role].model)]
    catalog = ledger.catalog
    figures = ledger.figures
    usage = ledger.usage
    reasons = Counter(reason for one in ledger.abandoned for reason in one.reasons)
    notes = config or {}
    return {
        "campaign": ledger.campaign,
        "program": f"tdscaling {version()}",
        "state": ledger.state,
        "complete": bool(finished and finished.complete),
        "ended": finished.reason if finished else "",
        "detail": ended(ledger),
        "not_training_data": bool(sim),
        "warning": SIM_WARNING if sim else "",
        "asked": ledger.asked,
        "admitted": ledger.admitted_count,
        "rejected": ledger.rejections,
        "abandoned": len(ledger.abandoned),
        "abandoned_reasons": ranked(reasons),
        "failures": ranked({f"{who}: {code}": count for (who, code), count in ledger.failures.items()}),
        "generations": ledger.generations,
        "slots": ledger.slots,
        "runs": len(ledger.runs),
        "in_flight": ledger.in_flight,
        "figures": figures.model_dump(mode="json"),
        "models": {role: model.model_dump(mode="json") for role, model in models.items()},
        "sim_roles": sim,
        "usage": {**usage.model_dump(mode="json"), "tokens": usage.tokens},
        "catalog": {
            "name": spec.catalog if spec else "",
            "hash": catalog.hash if catalog else "",
            "servers": catalog.servers if catalog else ledger.servers_imported,
            "tools": catalog.tools if catalog else 0,
            "edges": catalog.edges if catalog else 0,
            "clusters": len(catalog.clusters) if catalog else 0,
            "tools_per_domain": catalog.tools_per_domain if catalog else {},
            "rejected": catalog.rejected if catalog else {},
            "not_taken": ledger.not_taken,
            "unread": notes.get("unread", []),
            "unread_count": notes.get("unread_count", 0),
        },
        "sandbox": started.sandbox if started else "",
        "code": {
            "asked": spec.code if spec else "",
            "used": bool(started and started.code),
            "share": spec.code_share if spec and started and started.code else 0.0,
            "packages": list(started.packages) if started else [],
        },
        "infeasible": list(started.infeasible) if started else [],
        "spec": spec.model_dump(mode="json") if spec else {},
        "concurrency": notes.get("concurrency", 0),
        "times": {"first_event": ledger.first_time, "last_event": ledger.last_time},
        "log": {
            "records": ledger.records,
            "dead_letters": dict(sorted(Counter(ledger.dead.values()).items())),
            "undecodable": dict(sorted(ledger.undecodable.items())),
            "dropped": ledger.dropped,
        },
    }


def ranked(given: Mapping[str, int]) -> dict[str, int]:
    """The ``LISTED`` most frequent, most frequent first."""
    return dict(most_first(given)[:LISTED])


def ended(ledger: Ledger) -> str:
    """How the campaign ended or stands, in words."""
    finished = ledger.finished
    if finished is None:
        return {
            "paused": f"paused: {ledger.paused}",
            "empty": "no campaign was started",
        }.get(ledger.state, "not finished")
    words = {
        "trajectories": "all that were asked for",
        "slots": "no slots are left",
        "budget": "the budget is spent",
        "infeasible": "nothing feasible is left",
        "stopped": "stopped",
    }
    return finished.detail or words[finished.reason]


def write_card(ledger: Ledger, folder: Path) -> Json:
    """Write ``card.json`` and ``README.md`` of a campaign's folder; returns the card.

    Raises:
        OSError: they cannot be written there.
    """
    made = card(ledger, read_config(folder))
    text = json.dumps(made, ensure_ascii=False, indent=2) + "\n"
    write_atomically(folder / CARD, iter([text.encode()]))
    write_atomically(folder / README, iter([readme(made).encode()]))
    return made


def read_config(folder: Path) -> Json:
    """What ``config.json`` of a folder holds; empty where there is none that can be read."""
    try:
        value = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def version() -> str:
    """This program's version."""
    try:
        return metadata.version("tdscaling")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def readme(made: Json) -> str:
    """The card as a Markdown page, with the front matter that dataset hubs read."""
    figures, usage, catalog, spec = made["figures"], made["usage"], made["catalog"], made["spec"]
    total = Usage.model_validate({key: value for key, value in usage.items() if key != "tokens"})
    parts = [
        "---",
        "tags: [tool-use, function-calling, multi-turn, synthetic]",
        *(["configs:", "- config_name: default", f"  data_files: {DATASET}"] if made["admitted"] else []),
        "---",
        "",
        f"# {made['campaign'] or 'No campaign'}",
        "",
        f"{made['admitted']} of {made['asked']} multi-turn tool-use trajectories; {made['detail']}.",
        "",
        *(
            [f"> **Not training data**: {made['warning']} ({', '.join(made['sim_roles'])})."]
            if made["warning"]
            else []
        ),
        "",
        "## Counts",
        "",
        table(
            [
                ("admitted", made["admitted"]),
                ("rejected by the corpus", counts(made["rejected"])),
                ("slots abandoned", made["abandoned"]),
                ("slots opened", made["slots"]),
                ("runs", made["runs"]),
                ("failures", counts(made["failures"])),
            ]
        ),
        "",
        "## Diversity",
        "",
        "Entropies in bits. The formulas are this project's own, in the absence of published ones.",
        "",
        table(
            [
                ("domain entropy", entropy(figures["domain"])),
                ("mode entropy, exact signatures", entropy(figures["mode_exact"])),
                ("mode entropy, coarse modes", entropy(figures["mode_coarse"])),
                ("ceiling, log2 of the admitted", f"{figures['ceiling_bits']:.2f}"),
                ("cumulative action complexity", complexity(figures["complexity"])),
                ("distinct tools called", figures["tools"]),
            ]
        ),
        "",
        "## How it was made",
        "",
        table(
            [
                ("catalog", f"{catalog['name']} ({catalog['hash']})"),
                (
                    "servers, tools, clusters",
                    f"{catalog['servers']}, {catalog['tools']}, {catalog['clusters']}",
                ),
                ("not taken from it", counts(catalog["rejected"])),
                ("entries that could not be read", catalog["unread_count"]),
                *((f"model of {role}", model_text(model)) for role, model in made["models"].items()),
                ("seed", spec.get("seed", "")),
                ("policy", str(spec.get("policy") or "cells drawn uniformly")),
                ("generation size, lookahead", f"{spec.get('generation_size')}, {spec.get('lookahead')}"),
                ("sandbox", made["sandbox"]),
                ("code", code_text(made["code"])),
                ("not aimed at", "; ".join(made["infeasible"]) or "nothing left out"),
                ("model calls", total.calls),
                ("tokens, prompt and completion", f"{total.prompt_tokens}, {total.completion_tokens}"),
                ("cost", f"{total.usd:.4f} USD (0 where no price is known)"),
                ("first and last event", f"{made['times']['first_event']}, {made['times']['last_event']}"),
                ("program", made["program"]),
            ]
        ),
        "",
    ]
    return "\n".join(parts) + "\n"


def table(lines: list[tuple[str, Any]]) -> str:
    """A two-column Markdown table."""
    cells = [f"| {name} | {str(value).replace('|', '/').replace(chr(10), ' ')} |" for name, value in lines]
    return "\n".join(["| | |", "|---|---|", *cells])


def counts(given: Json) -> str:
    """``9 (duplicate 7, cap 2)``, most frequent first."""
    if not given:
        return "0"
    ranked = sorted(given.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {count}" for name, count in ranked[:8])
    more = f", {len(ranked) - 8} more kinds" if len(ranked) > 8 else ""
    return f"{sum(given.values())} ({shown}{more})"


def entropy(given: Json) -> str:
    """Bits, and over how many symbols."""
    return f"{given['bits']:.2f} over {given['distinct']}"


def complexity(given: Json) -> str:
    """Mean and percentiles."""
    return (
        f"mean {given['mean']:.1f}, p50 {given['p50']:.1f}, p90 {given['p90']:.1f}, "
        f"{given['per_step']:.2f} a step"
    )


def code_text(given: Json) -> str:
    """Whether trajectories hold code, and what decided it."""
    if not given["used"]:
        return f"none (asked for: {given['asked'] or 'nothing'})"
    packages = ", ".join(given["packages"]) or "the standard library alone"
    return f"{given['share']:.0%} of the slots aim at it (asked for: {given['asked']}); with {packages}"


def model_text(model: Json) -> str:
    """A model and where it is."""
    return f"{model['model']} at {model['base_url']}" if model["base_url"] else str(model["model"])
