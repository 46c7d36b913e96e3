"""Draws the twenty rows of docs/samples: ten from each of two campaigns, by a fixed seed.

    python benchmarks/samples.py --catalog ../shared/data/api_tools.jsonl.gz [--to docs/samples]

The first ten are from the built-in catalog, the others from ``--catalog``; both campaigns make 100 rows with
scripted models and seed 7, and the rows are drawn by ``random.Random(20)``. Same seed, same pages.
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
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("docs/samples"))
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    for old in given.to.glob("*.md"):
        old.unlink()
    rng = random.Random(20)
    index = [
        "# Twenty rows",
        "",
        f"Drawn by a fixed seed from two campaigns of {ROWS} rows, scripted models, seed {SEED}: one on the",
        f"built-in catalog, one on `{given.catalog.name}`. Made by `benchmarks/samples.py`. They show what",
        "the pipeline does; rows of scripted models are not training data.",
        "",
        "| | catalog | domains | mode | opening |",
        "|---|---|---|---|---|",
    ]
    number = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, catalog in (("built-in", None), (given.catalog.name.partition(".")[0], given.catalog)):
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
