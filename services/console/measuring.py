"""How diverse a dataset is, whoever made it: its rows as traces, measured by the monitor's own code.

Rows are taken as they come. Memory grows with the distinct tools, edges, call graphs and signatures, not with
the rows. What a row does not say is read so:

- whether a tool writes: as the worlds read it, off its name, description and schema, and the built-in
  catalog's as their servers have it; one that looks tools up (``route``) reads, and is a tool as any other;
- how many tools were on offer: those listed; where none is, the different ones that the row calls;
- a call's domain: what its tool says (``domain``, ``domains``, ``category``, ``labels``), else what the row
  says (also in its ``metadata``), else what the words of the called tool's server, name and description
  imply, by the judge that gives servers without a label their domain. A row that names several spreads its
  mass equally over them, whichever tool is of which.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from schemas.catalog import ToolSpec
from schemas.diversity import Figures, Measurement
from schemas.run import Action
from services.agent_runner.trace import Offer, actions_of
from services.cluster_registry.labels import GENERAL, DomainClassifier, server_text, tokens
from services.cluster_registry.text import snake_case
from services.cluster_registry.tool_schema import InvalidSchema, input_schema
from services.console.errors import FAILED, UserError
from services.console.export import write_atomically
from services.console.launch import read_catalog
from services.console.page import page
from services.console.row_files import BadRow, read_rows
from services.console.row_forms import Trajectory, Unusable, trajectory
from services.console.show import most_first
from services.diversity_monitor.complexity import HISTOGRAM_WIDTH
from services.diversity_monitor.corpus import Corpus
from services.diversity_monitor.coverage import call_graph, edges
from services.diversity_monitor.measurement import measure
from services.diversity_monitor.trace import moves
from services.worlds.meaning import read
from services.worlds.world import hand_written

Json = dict[str, Any]

SHOWN: Final = 20
"""Bad rows that are named on a terminal; and symbols of a distribution."""
KEPT: Final = 1000
"""Bad rows that are named at all; the rest is counted by reason."""
TOP: Final = 200
"""Symbols of a distribution in the JSON and the page."""
MAX_DOMAINS: Final = 8
ENOUGH_WORDS: Final = 3
"""Different words that the judge of domains must know: one says next to nothing."""
ENTROPIES: Final = (("domain", "domain"), ("mode_exact", "mode, exact"), ("mode_coarse", "mode, coarse"))
WHERE: Final = {
    "tool": "said by the tool",
    "row": "said by the row",
    "words": "implied by a tool's words",
    "none": "without one",
}
"""Where a row's domains come from."""
SAYS_DOMAIN: Final = ("domain", "primary_label", "domains", "category", "categories", "labels")
CODE_TOOLS: Final = frozenset(
    ("python", "code_interpreter", "execute_code", "run_code", "execute_python", "run_python",
     "python_interpreter", "python_repl", "sandbox")
)  # fmt: skip
"""Names, without their server, of tools that run code."""
FINDS_TOOLS: Final = frozenset(
    ("route", "search_tools", "find_tools", "list_tools", "retrieve_tools", "tool_search")
)
"""Names of meta-tools that look other tools up: they read, whatever their name sounds like."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: its trace, what the monitor measures of it, and where its domains came from."""

    actions: tuple[Action, ...]
    measurement: Measurement
    graph: tuple[tuple[str, ...], ...]
    found: str
    form: str


@dataclass(slots=True)
class Dataset:
    """The figures of the rows so far."""

    corpus: Corpus = field(default_factory=Corpus)
    domains: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    """Rows by where their domains came from: tool, row, words, none."""
    edges: set[bytes] = field(default_factory=set)
    graphs: set[bytes] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    bad: list[BadRow] = field(default_factory=list)
    """The first ``KEPT``."""

    @property
    def rows(self) -> int:
        """Rows measured."""
        return self.corpus.admitted

    @property
    def bad_rows(self) -> int:
        """Rows that could not be measured."""
        return sum(self.reasons.values())

    @property
    def figures(self) -> Figures:
        """The monitor's figures of all rows measured."""
        return self.corpus.figures(0)

    def take(self, measured: Measured) -> None:
        """Count one row."""
        measurement = measured.measurement
        self.corpus.admit(measurement, 0)
        self.modes[measurement.mode] += 1
        self.forms[measured.form] += 1
        self.found[measured.found] += 1
        if measured.graph:
            self.graphs.add(_digest(measured.graph))
        self.edges.update(_digest(edge) for edge in edges(measured.graph))

    def refuse(self, bad: BadRow) -> None:
        """Count one row that could not be measured."""
        self.reasons[bad.code] += 1
        if len(self.bad) < KEPT:
            self.bad.append(bad)

    def as_json(self) -> Json:
        """Everything that is told, as one JSON object."""
        figures = self.figures
        corpus = self.corpus
        return {
            "rows": self.rows,
            "ceiling_bits": figures.ceiling_bits,
            "entropy": {
                "domain": figures.domain.model_dump(),
                "mode_exact": figures.mode_exact.model_dump(),
                "mode_coarse": figures.mode_coarse.model_dump(),
            },
            "coverage": {
                "tools": figures.tools,
                "edges": len(self.edges),
                "call_graphs": len(self.graphs),
            },
            "complexity": {**figures.complexity.model_dump(mode="json"), "bin_width": HISTOGRAM_WIDTH},
            "bands": list(corpus.bands),
            "domains": _top({name: corpus.domains.mass(name) for name in corpus.domains}),
            "modes": _top(self.modes),
            "signatures": _top({name: corpus.signatures.mass(name) for name in corpus.signatures}),
            "forms": dict(sorted(self.forms.items())),
            "domain_found": dict(sorted(self.found.items())),
            "bad_rows": self.bad_rows,
            "bad_reasons": dict(sorted(self.reasons.items())),
            "bad": [{"row": one.number, "code": one.code, "reason": one.reason} for one in self.bad],
        }


def write_page(dataset: Dataset, name: str, path: Path) -> None:
    """Write the figures as one HTML page that needs nothing else.

    Raises:
        OSError: it cannot be written there.
    """
    found = dataset.as_json()
    covered, cac, ceiling = found["coverage"], found["complexity"], bits(found["ceiling_bits"])
    tiles = [
        ["rows measured", f"{found['rows']:,}", f"{found['bad_rows']:,} could not be"],
        *[
            [f"{title} entropy, bits", bits(found["entropy"][key]["bits"]), f"log2 N is {ceiling}"]
            for key, title in ENTROPIES
        ],
        ["mean complexity", f"{cac['mean']:.1f}", f"p90 {cac['p90']:.1f}"],
        ["distinct tools called", f"{covered['tools']:,}", f"{covered['edges']:,} edges between them"],
        ["distinct call graphs", f"{covered['call_graphs']:,}", ""],
    ]
    where = ", ".join(f"{count:,} {WHERE[source]}" for source, count in found["domain_found"].items())
    meta = {**found, "title": name, "subtitle": f"Domains: {where}" if where else "", "tiles": tiles}
    write_atomically(path, page(lambda: meta))


def measure_file(path: Path) -> Dataset:
    """Measure a file; bad rows are counted and passed over.

    Raises:
        UserError: there is no such file.
    """
    if not path.is_file():
        raise UserError(f"{path} is no file", "Give a JSON or JSONL file of rows, gzipped or not")
    dataset = Dataset()
    try:
        for item in read_rows(path):
            if isinstance(item, BadRow):
                dataset.refuse(item)
                continue
            number, row = item
            try:
                dataset.take(measure_row(row))
            except Unusable as unusable:
                dataset.refuse(BadRow(number, unusable.code, unusable.reason))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", code=FAILED) from None
    return dataset


def measure_row(row: Any) -> Measured:
    """Measure one row.

    Raises:
        Unusable: it is no trajectory.
    """
    try:
        made = trajectory(row)
        offer, found, spread = _offer(row, made)
        actions = actions_of(offer, made.messages)
    except RecursionError:
        raise Unusable("too_deep", "an argument or an observation is nested too deep") from None
    measurement = measure(actions, "")
    if len(spread) > 1 and found == "row":
        measurement = measurement.model_copy(update={"domains": dict.fromkeys(spread, 1 / len(spread))})
    return Measured(actions, measurement, call_graph(moves(actions)), found, made.form)


def _offer(row: Json, made: Trajectory) -> tuple[Offer, str, tuple[str, ...]]:
    """What the row offers, where its domains come from, and the domains that the row itself says."""
    calls = [call["function"]["name"] for message in made.messages for call in message.get("tool_calls", ())]
    called = list(dict.fromkeys(calls))
    tools: dict[str, Json] = {}
    for tool in made.tools:
        tools.setdefault(tool["name"], tool)
    said = _said(row)
    if not said and isinstance(row.get("metadata"), dict):
        said = _said(row["metadata"])
    schemas, writes, domains = {}, set(), {}
    found = set()
    for name in dict.fromkeys([*called, *tools]):
        tool = tools.get(name, {})
        server = made.servers.get(name, "")
        plain = name.removeprefix(f"{server}/")
        description = str(tool.get("description") or "")[:2000]
        schema = tool.get("parameters", tool.get("inputSchema", tool.get("input_schema")))
        schemas[name], changes = _definition(plain, description, json.dumps(schema))
        if changes and name not in FINDS_TOOLS:
            writes.add(name)
        if name in called:
            own = _said(tool)
            if own:
                domains[name], source = own[0], "tool"
            elif said:
                domains[name], source = (said[0] if len(said) == 1 else ""), "row"
            else:
                domains[name] = _implied(server, plain, description)
                source = "words" if domains[name] else "none"
            found.add(source)
    where = next((source for source in ("tool", "row", "words", "none") if source in found), "none")
    if not called and said:
        where = "row"
    offer = Offer(
        schemas=schemas,
        domains=domains,
        writes=frozenset(writes),
        codes=frozenset(name for name in schemas if name.rpartition("/")[2].lower() in CODE_TOOLS),
        candidates=len(tools) or len(called),
    )
    return offer, where, said


def _said(thing: Mapping[str, Any]) -> tuple[str, ...]:
    """The domains that a row or a tool says it is of, by the first of ``SAYS_DOMAIN`` that says any."""
    for key in SAYS_DOMAIN:
        value = thing.get(key)
        values = value if isinstance(value, list) else [value]
        names = [snake_case(one) for one in values if isinstance(one, str)]
        if any(names):
            return tuple(dict.fromkeys(name for name in names if name))[:MAX_DOMAINS]
    return ()


@lru_cache(maxsize=1 << 14)
def _definition(name: str, description: str, schema_text: str) -> tuple[Json, bool]:
    """The input schema of a tool, and whether the tool changes state."""
    try:
        schema = input_schema(json.loads(schema_text))[0]
    except InvalidSchema:
        schema = input_schema(None)[0]
    known = _built_in().get((name, description))
    if known is not None:
        return schema, known
    return schema, read(ToolSpec(server="", name=name, description=description, input_schema=schema)).writes


@lru_cache(maxsize=1)
def _built_in() -> Mapping[tuple[str, str], bool]:
    """Whether a tool of the built-in catalog writes, by its name and description: its machine knows."""
    machines = hand_written()
    return {
        (tool["name"], tool.get("description", "")): tool["name"] in machines[one.server_id].writes
        for one in read_catalog(None)[0]
        if one.server_id in machines
        for tool in one.server["tools"]
    }


@lru_cache(maxsize=1 << 14)
def _implied(server: str, name: str, description: str) -> str:
    """The domain that a tool's words speak for; empty where fewer than ``ENOUGH_WORDS`` are known."""
    text, judge = server_text(server, description, [name]), _judge()
    if len(judge.vocabulary.intersection(tokens(text))) < ENOUGH_WORDS:
        return ""
    found = judge.domain(text)
    return "" if found == GENERAL else found


@lru_cache(maxsize=1)
def _judge() -> DomainClassifier:
    return DomainClassifier.of_table()


def _digest(value: object) -> bytes:
    """8 bytes that stand for a value; two of a million differ in them but for one chance in ten million."""
    return hashlib.blake2b(repr(value).encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _top(masses: Mapping[str, float]) -> list[tuple[str, float]]:
    """The greatest masses, at most ``TOP``."""
    return most_first(masses)[:TOP]


def bits(value: float) -> str:
    """Bits as they are printed."""
    return f"{value:.3f}"


def lines(found: Json) -> Iterable[tuple[str, Sequence[tuple[str, ...]]]]:
    """The tables for a terminal: a title and its rows, cell by cell."""
    ceiling = bits(found["ceiling_bits"])
    entropies = []
    for key, name in ENTROPIES:
        one = found["entropy"][key]
        entropies.append((name, bits(one["bits"]), ceiling, str(one["distinct"]), f"{one['perplexity']:.1f}"))
    yield "entropy|bits|log2 N|distinct|2^H", entropies
    covered = found["coverage"]
    yield (
        "coverage|distinct",
        [
            ("tools", str(covered["tools"])),
            ("edges (tool to next tool)", str(covered["edges"])),
            ("call graphs", str(covered["call_graphs"])),
        ],
    )
    cac = found["complexity"]
    yield (
        "complexity (CAC)|",
        [(name.replace("_", " "), f"{cac[name]:.2f}") for name in ("mean", "p50", "p90", "per_step")],
    )
    width, histogram = cac["bin_width"], cac["histogram"]
    most = max(histogram, default=0) or 1
    shown = []
    for at, count in enumerate(histogram):
        end = f"–{(at + 1) * width:g}" if at + 1 < len(histogram) else "+"
        shown.append((f"{at * width:g}{end}", str(count), "█" * math.ceil(24 * count / most)))
    yield "CAC|rows|", shown
    for key, title in (("domains", "domain"), ("modes", "coarse mode")):
        yield f"{title}|rows", [(name, f"{mass:.4g}") for name, mass in found[key][:SHOWN]]
