"""How well the domain classifier does: accuracy by 5-fold cross-validation on a labelled catalog.

    python -m benchmarks.domains [CATALOG] [--write] [--json]

CATALOG is ``../shared/data/mcp_servers.jsonl.gz`` unless given. Servers go to folds by the hash of their id,
so any order of lines gives the same figures. ``--write`` makes the table that comes with the program again:
the counts of all labelled servers, of words that two servers have.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import textwrap
from collections import Counter
from pathlib import Path

from schemas.catalog import ImportServer, ServerImported
from services.cluster_registry import domain_words
from services.cluster_registry.labels import DomainClassifier, labelled_domains, server_text, tokens
from services.cluster_registry.normalize import normalize
from services.console.catalog_files import read_servers

CATALOG = Path("../shared/data/mcp_servers.jsonl.gz")
FOLDS = 5
Labelled = tuple[str, tuple[str, ...], str]


def labelled(path: Path) -> list[Labelled]:
    """Id, domains and text of each labelled server, by id: also of those without a usable tool."""
    found = []
    for command in read_servers(path):
        if not isinstance(command, ImportServer):
            continue
        domains = labelled_domains(command.server)
        event = normalize(command)
        raw = command.server
        if isinstance(event, ServerImported):
            names = [tool.name for tool in event.server.tools]
            text = server_text(event.server.name, event.server.description, names)
        else:
            text = server_text(str(raw.get("name") or raw.get("server")), str(raw.get("description")), [])
        if domains:
            found.append((command.server_id, domains, text))
    return sorted(found)


def fold(server: str) -> int:
    return int(hashlib.sha256(server.encode()).hexdigest(), 16) % FOLDS


def validated(servers: list[Labelled]) -> dict[str, float]:
    """Top-1 and top-3 accuracy over all folds, and what the commonest domain alone would get."""
    first = third = 0
    for left_out in range(FOLDS):
        judge = DomainClassifier.of(
            (domains, text) for server, domains, text in servers if fold(server) != left_out
        )
        for server, domains, text in servers:
            if fold(server) == left_out:
                ranked = judge.ranked(text)
                first += domains[0] in ranked[:1]
                third += domains[0] in ranked[:3]
    commonest = Counter(domains[0] for _, domains, _ in servers).most_common(1)[0][1]
    count = len(servers)
    return {"top_1": first / count, "top_3": third / count, "majority": commonest / count}


def table(servers: list[Labelled]) -> str:
    """The module that holds the counts."""
    made = DomainClassifier.of((domains, text) for _, domains, text in servers)
    names = sorted(made.servers)
    seen = Counter(word for _, _, text in servers for word in set(tokens(text)))
    words = []
    for word in sorted(made.vocabulary):
        if seen[word] > 1:
            pairs = [
                f"{at},{made.counts[name][word]}" for at, name in enumerate(names) if made.counts[name][word]
            ]
            words.append(f"{word}:{','.join(pairs)}")
    domains = " ".join(f"{name}:{made.servers[name]}" for name in names)
    head = (domain_words.__doc__ or "").rstrip()

    def filled(text: str) -> str:
        return textwrap.fill(text, 109, break_on_hyphens=False, break_long_words=False)

    return (
        f'"""{head}\n"""\n\nfrom __future__ import annotations\n\nfrom typing import Final\n\n'
        f'DOMAINS: Final = """\\\n{filled(domains)}\n"""\n\n'
        f'WORDS: Final = """\\\n{filled(" ".join(words))}\n"""\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("catalog", nargs="?", type=Path, default=CATALOG)
    parser.add_argument("--write", action="store_true", help="make the committed table again")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    servers = labelled(given.catalog)
    if len(servers) < FOLDS:
        parser.error(f"{given.catalog} has {len(servers)} labelled servers")
    figures = validated(servers)
    domains = len({domains[0] for _, domains, _ in servers})
    if given.write:
        Path(domain_words.__file__).write_text(table(servers), encoding="utf-8")
    if given.json:
        print(json.dumps({"servers": len(servers), "domains": domains, **figures}))
    else:
        print(f"{len(servers)} labelled servers, {domains} domains, {FOLDS}-fold cross-validation")
        print(
            f"top 1 {figures['top_1']:.3f}, top 3 {figures['top_3']:.3f}, majority {figures['majority']:.3f}"
        )


if __name__ == "__main__":
    main()
