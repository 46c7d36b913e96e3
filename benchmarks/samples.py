r"""Draws the rows of docs/samples: ten from each of several campaigns, by a fixed seed.

    python -m benchmarks.samples --catalog ../shared/data/api_tools.jsonl.gz \
        --catalog ../shared/data/mcp_servers.jsonl.gz [--to docs/samples]

The first ten are from the built-in catalog, ten more from each ``--catalog``; every campaign makes 100 rows
with scripted models and seed 7, and the rows are drawn by ``random.Random(20)``. Same seed, same pages.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from services.console import api

ROWS = 100
EACH = 10
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--catalog", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--to", type=Path, default=Path("docs/samples"))
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    for old in given.to.glob("*.md"):
        old.unlink()
    rng = random.Random(20)
    named = ["the built-in catalog", *(f"`{one.name}`" for one in given.catalog)]
    index = [
        "# Samples",
        "",
        f"{EACH} rows from each of {1 + len(given.catalog)} campaigns of {ROWS} rows, drawn by a fixed seed;",
        f"scripted models, seed {SEED}: on {', '.join(named)}. Made by",
        "`python -m benchmarks.samples`. They show what the pipeline does; rows of scripted models are not",
        "training data.",
        "",
        "| | catalog | domains | mode | opening |",
        "|---|---|---|---|---|",
    ]
    number = 0
    with tempfile.TemporaryDirectory() as scratch:
        for catalog in (None, *given.catalog):
            name = catalog.name.partition(".")[0] if catalog else "built-in"
            more = {"catalog": catalog} if catalog else {}
            campaign = api.run(trajectories=ROWS, seed=SEED, out=Path(scratch) / name, **more)
            for which in sorted(rng.sample(range(ROWS), EACH)):
                number += 1
                page = f"{number:02d}.md"
                row = campaign.row(which)
                (given.to / page).write_text(campaign.show(which), encoding="utf-8")
                about = row["metadata"]
                opening = row["messages"][1]["content"].replace("|", "\\|").replace("\n", " ")
                index.append(
                    f"| [{number}]({page}) | {name} | {', '.join(about['domains'])} | {about['mode']} "
                    f"| {opening[:90]}{'…' if len(opening) > 90 else ''} |"
                )
    (given.to / "README.md").write_text("\n".join(index) + "\n", encoding="utf-8")
    print(f"{number} rows in {given.to}")


if __name__ == "__main__":
    main()
