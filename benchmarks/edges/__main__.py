"""How right the dependency edges are: against labelled pairs, and against a sample judged one by one.

    python -m benchmarks.edges [--data ../shared/data] [--pairs FILE] [--half tune|report]
    python -m benchmarks.edges --sample 80 --seed 1

*Precision*: of the labelled pairs that are predicted, how many are true. *Recall*: of the true pairs, how
many are predicted. A prediction matches a pair when servers, tools and parameter are the same. On completely
read servers every prediction that is not labelled true counts as wrong. Beside the rules stand two
baselines: equal names, and TF-IDF likeness of names and descriptions with the threshold that is best on the
half that was tuned on. Last, the judged sample: how many of the edges that this code draws with --sample 80
--seed 1 from api_tools are right, by benchmarks/edges/judged.jsonl. With --sample it only prints the sample.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.edges.baselines import Texts, best_threshold
from benchmarks.edges.pairs import CATALOGS, DATA, JUDGED, PAIRS, Key, Pair, judged, pairs
from schemas.catalog import ImportServer
from services.cluster_registry.catalog_edges import CatalogEdge, catalog_edges
from services.console.catalog_files import read_servers

SAMPLE, SEED = 80, 1
HEAD = f"{'':<34}{'pairs':>6}{'true':>6}{'found':>7}{'precision':>11}{'recall':>8}"


def imports(catalog: str, data: Path) -> list[ImportServer]:
    return [one for one in read_servers(data / CATALOGS[catalog]) if isinstance(one, ImportServer)]


def key_of(edge: CatalogEdge) -> Key:
    return edge.server_a, edge.tool_a, edge.server_b, edge.tool_b, edge.parameter


def drawn(edges: Sequence[CatalogEdge], size: int, seed: int) -> list[CatalogEdge]:
    """A sample of the edges, in the order of all."""
    numbers = sorted(random.Random(seed).sample(range(len(edges)), min(size, len(edges))))
    return [edges[number] for number in numbers]


def row(name: str, found: Sequence[Pair], says: Callable[[Pair], bool]) -> str:
    """One line of the table."""
    predicted = [pair for pair in found if says(pair)]
    hits, wanted = sum(pair.label for pair in predicted), sum(pair.label for pair in found)
    precision = f"{hits / len(predicted):.2f}" if predicted else "-"
    recall = f"{hits / wanted:.2f}" if wanted else "-"
    return f"{name:<34}{len(found):>6}{wanted:>6}{len(predicted):>7}{precision:>11}{recall:>8}"


def table(
    found: Sequence[Pair], says: Callable[[Pair], bool], others: dict[str, Callable[[Pair], bool]]
) -> None:
    """Total, halves, catalogs and kinds; the baselines beside the halves."""
    print(HEAD)
    for half in sorted({pair.half for pair in found}, reverse=True):
        own = [pair for pair in found if pair.half == half]
        print(row(f"{half}", own, says))
        for name, other in others.items():
            print(row(f"  {name}", own, other))
        for catalog in sorted(CATALOGS):
            print(row(f"  {catalog}", [pair for pair in own if pair.catalog == catalog], says))
        across = [pair for pair in own if pair.server_a != pair.server_b]
        print(row("  across servers", across, says))
        for kind in sorted({pair.kind for pair in own}):
            print(row(f"    {kind}"[:34], [pair for pair in own if pair.kind == kind], says))
    print(row("both halves", found, says))


def completely(found: Sequence[Pair], predicted: Iterable[tuple[str, Key]]) -> None:
    """The servers of which every true edge is labelled: what is predicted there and not labelled is wrong."""
    for half in sorted({pair.half for pair in found if pair.complete}, reverse=True):
        servers = {(pair.catalog, pair.server_a) for pair in found if pair.complete and pair.half == half}
        true = {
            (pair.catalog, pair.key)
            for pair in found
            if pair.label and (pair.catalog, pair.server_a) in servers
        }
        true = {one for one in true if one[1][0] == one[1][2]}
        said = {one for one in predicted if (one[0], one[1][0]) in servers and one[1][0] == one[1][2]}
        hits = len(true & said)
        print(
            f"{half}: {len(servers)} completely read servers, {len(true)} edges: {len(said)} predicted, "
            f"precision {hits / max(1, len(said)):.2f}, recall {hits / max(1, len(true)):.2f}"
        )


def sample_check(edges: Sequence[CatalogEdge]) -> None:
    """Whether the judged file is the sample that this code draws, and how much of it is right."""
    if not JUDGED.is_file():
        print("no sample is judged yet: python -m benchmarks.edges --sample 80 --seed 1 draws it")
        return
    said = judged(JUDGED)
    sample = [key_of(edge) for edge in drawn(edges, SAMPLE, SEED)]
    known = [said[key] for key in sample if key in said]
    if len(known) < len(sample):
        print(f"{len(sample) - len(known)} of the sample are not judged: the edges have changed, judge them")
    print(f"judged: {sum(known)} of {len(known)} right, {sum(known) / max(1, len(known)):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the catalogs")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="the labelled pairs")
    parser.add_argument("--half", choices=("tune", "report"), help="only this half")
    parser.add_argument("--missed", action="store_true", help="print what is wrong in the half tuned on, too")
    parser.add_argument("--sample", type=int, help="print so many edges of api_tools, and nothing else")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    if given.sample:
        edges, _ = catalog_edges(imports("api_tools", given.data))
        for edge in drawn(edges, given.sample, given.seed):
            print(json.dumps(dataclasses.asdict(edge), ensure_ascii=False))
        return
    found = [pair for pair in pairs(given.pairs) if given.half in (None, pair.half)]
    predicted: set[tuple[str, Key]] = set()
    texts: dict[str, Texts] = {}
    judgeable: list[CatalogEdge] = []
    for catalog in sorted(CATALOGS):
        servers = imports(catalog, given.data)
        edges, _ = catalog_edges(servers)
        predicted.update((catalog, key_of(edge)) for edge in edges)
        texts[catalog] = Texts(servers)
        inside = sum(edge.server_a == edge.server_b for edge in edges)
        print(
            f"{catalog}: {len(servers)} servers, {inside} edges within, {len(edges) - inside} across servers"
        )
        judgeable = edges if catalog == "api_tools" else judgeable
    tuned = [pair for pair in found if pair.half == "tune"] or found
    least = best_threshold((texts[pair.catalog].likeness(pair), pair.label) for pair in tuned)

    def says(pair: Pair) -> bool:
        return (pair.catalog, pair.key) in predicted

    table(
        found,
        says,
        {
            "by equal names": lambda pair: texts[pair.catalog].equal_names(pair),
            f"by TF-IDF from {least:.2f} on": lambda pair: texts[pair.catalog].likeness(pair) >= least,
        },
    )
    completely(found, predicted)
    sample_check(judgeable)
    if given.missed:
        for pair in found:
            if pair.half == "tune" and says(pair) != pair.label:
                print(json.dumps(dataclasses.asdict(pair), ensure_ascii=False))


if __name__ == "__main__":
    main()
