"""What it takes to make clusters of many tools: time, memory, growth, and whether the bytes are the same.

    python -m benchmarks.clusters [--data ../shared/data] [--sizes 1000 3000 10000 30000]

The tools are those of both real catalogs, servers drawn in a seeded order until there are enough. Each line
is one child process that reads a catalog file, imports its servers and forms clusters through the registry's
own decisions: seconds of wall time and of CPU, and its peak of memory. *Edges* is a child of its own that
finds all edges, those between servers too. The exponent is that of CPU time between the smallest and the
largest size. Last, the largest size again with another PYTHONHASHSEED and its lines in another order: the
digests cover every byte of clusters, catalog and edges.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.edges.pairs import CATALOGS, DATA
from schemas.catalog import CatalogFormed, FormClusters, ImportServer
from schemas.envelope import Envelope
from services.cluster_registry.catalog_edges import catalog_edges
from services.cluster_registry.domain import decide, evolve, initial
from services.console.catalog_files import read_servers

SIZES = (1_000, 3_000, 10_000, 30_000)
SEED = 5
MAX_S, MAX_MB, MAX_EXPONENT = 30.0, 1000.0, 1.2
Json = dict[str, Any]


def servers(data: Path) -> list[Json]:
    """The servers of both catalogs, in a seeded order."""
    found = []
    for name in sorted(CATALOGS.values()):
        found += [one.server for one in read_servers(data / name) if isinstance(one, ImportServer)]
    random.Random(SEED).shuffle(found)
    return found


def cut(found: list[Json], size: int) -> list[Json]:
    """The first of them with ``size`` tools together; the last loses those that are too many."""
    kept: list[Json] = []
    left = size
    for server in found:
        if left <= 0:
            break
        kept.append({**server, "tools": server["tools"][:left]})
        left -= len(kept[-1]["tools"])
    return kept


def clusters(path: Path) -> Json:
    """Imports the servers of a file and forms clusters, as the registry does on its log."""
    state, digest, count = initial(), hashlib.sha256(), 0
    imports = [one for one in read_servers(path) if isinstance(one, ImportServer)]
    tools = sum(len(one.server["tools"]) for one in imports)
    number = 0
    while imports:
        one = imports.pop(0)
        state = evolve(state, Envelope(f"c{number}", "bench", "", one.server_id, one))
        number += 1
    state = evolve(state, Envelope("form", "bench", "", "catalog", FormClusters()))
    events = 0
    while drafts := decide(state):
        for draft in drafts:
            events += 1
            state = evolve(
                state, Envelope(f"e{events}", "bench", "", draft.key, draft.data, causationid=draft.cause)
            )
            if draft.cause == "form":
                count += not isinstance(draft.data, CatalogFormed)
                digest.update(draft.data.model_dump_json().encode())
    return {"tools": tools, "found": count, "digest": digest.hexdigest()[:16]}


def edges(path: Path) -> Json:
    """Finds the edges of the servers of a file."""
    imports = [one for one in read_servers(path) if isinstance(one, ImportServer)]
    found, _ = catalog_edges(imports)
    digest = hashlib.sha256(json.dumps([dataclasses.astuple(edge) for edge in found]).encode())
    tools = sum(len(one.server["tools"]) for one in imports)
    return {"tools": tools, "found": len(found), "digest": digest.hexdigest()[:16]}


def child(what: str, path: Path, hash_seed: str = "0") -> Json:
    """What a child process says of itself."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.clusters", "--child", what, "--file", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    said: Json = json.loads(done.stdout)
    return said


def in_child(what: str, path: Path) -> None:
    began = time.perf_counter()
    said = {"clusters": clusters, "edges": edges}[what](path)
    said["wall_s"] = time.perf_counter() - began
    said["cpu_s"] = time.process_time()
    said["peak_mb"] = peak_mb()
    print(json.dumps(said))


def peak_mb() -> float:
    """The most memory that this process has had; Linux's getrusage would count its parent's, too."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write(path: Path, found: list[Json]) -> Path:
    path.write_text(
        "".join(json.dumps(server, ensure_ascii=False) + "\n" for server in found), encoding="utf-8"
    )
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the catalogs")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="tools")
    parser.add_argument("--child", choices=("clusters", "edges"), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        in_child(given.child, given.file)
        return
    found = servers(given.data)
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for what in ("clusters", "edges"):
            print(
                f"{what:<10}{'tools':>8}{'found':>8}{'wall s':>9}{'CPU s':>8}{'peak MB':>9}  digest",
                flush=True,
            )
            made: list[Json] = []
            for size in sorted(given.sizes):
                file = write(Path(scratch) / f"{size}.jsonl", cut(found, size))
                said = child(what, file)
                made.append(said)
                print(
                    f"{'':<10}{said['tools']:>8}{said['found']:>8}{said['wall_s']:>9.1f}{said['cpu_s']:>8.1f}"
                    f"{said['peak_mb']:>9.0f}  {said['digest']}",
                    flush=True,
                )
            first, last = made[0], made[-1]
            exponent = math.log(last["cpu_s"] / first["cpu_s"]) / math.log(last["tools"] / first["tools"])
            print(f"{'':<10}exponent {exponent:.2f} from {first['tools']} to {last['tools']} tools")
            shuffled = cut(found, max(given.sizes))
            random.Random(SEED + 1).shuffle(shuffled)
            again = child(what, write(Path(scratch) / "again.jsonl", shuffled), "1")
            same = again["digest"] == last["digest"]
            print(
                f"{'':<10}{'the same' if same else 'NOT THE SAME'} bytes in another order, PYTHONHASHSEED 1"
            )
            if not same:
                wrong.append(f"{what}: not the same bytes")
            if last["wall_s"] > MAX_S or last["peak_mb"] > MAX_MB or exponent > MAX_EXPONENT:
                wrong.append(f"{what}: over {MAX_S:.0f} s, {MAX_MB:.0f} MB or an exponent of {MAX_EXPONENT}")
    for text in wrong:
        print(f"wrong: {text}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
