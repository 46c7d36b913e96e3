"""What a running campaign shows: a live display, a line now and then, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, Self

from schemas.evolution import CampaignSpec
from services.console.ledger import Keep, Ledger
from services.console.show import most_first
from services.kit.log import Record

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

TICK_S: Final = 0.25
LINE_EVERY_S: Final = 5.0
BAR: Final = 40
REASONS: Final = 4
"""Kinds of failure that are shown, the most frequent first."""


class Progress(Protocol):
    """Follows a campaign; a context manager. ``ledger`` is what it has folded.

    Draws while it folds, at most every ``TICK_S`` seconds; ``tick`` draws when nothing comes.
    """

    ledger: Ledger

    def fold(self, record: Record) -> None:
        """One more record of the log."""

    def tick(self) -> None:
        """Time has passed."""

    def note(self, text: str) -> None:
        """Something to say in between."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Show how it ended."""


def progress(spec: CampaignSpec, *, quiet: bool, keep: Keep = "nothing") -> Progress:
    """The display that fits: none, live on a terminal, lines elsewhere. All on stderr.

    ``keep`` says what its ledger is to keep beyond what is shown.
    """
    if quiet:
        return Silent(spec, keep)
    if sys.stdout.isatty() and sys.stderr.isatty():
        return Live(spec, keep=keep)
    return Lines(spec, keep=keep)


class Silent:
    """Shows nothing."""

    def __init__(self, spec: CampaignSpec, keep: Keep = "nothing") -> None:
        self.ledger = Ledger(spec.campaign, keep)

    def fold(self, record: Record) -> None:
        """See Progress."""
        if self.ledger.keep != "nothing":
            self.ledger.fold(record)

    def tick(self) -> None:
        """See Progress."""

    def note(self, text: str) -> None:
        """See Progress."""

    def __enter__(self) -> Self:
        """See Progress."""
        return self

    def __exit__(self, *_: object) -> None:
        """See Progress."""


class Lines:
    """A line each time that a tenth more is admitted, and every few seconds."""

    def __init__(
        self,
        spec: CampaignSpec,
        write: Callable[[str], object] = lambda text: print(text, file=sys.stderr, flush=True),  # noqa: T201
        now: Callable[[], float] = time.monotonic,
        keep: Keep = "nothing",
    ) -> None:
        self.ledger = Ledger(spec.campaign, keep)
        self._spec = spec
        self._write = write
        self._now = now
        self._began = self._last = now()
        self._shown = ""
        self._tenth = 0
        self._every = Every(now)

    def fold(self, record: Record) -> None:
        """See Progress."""
        self.ledger.fold(record)
        if self._every.due():
            self.tick()

    def tick(self) -> None:
        """See Progress."""
        tenth = 10 * self.ledger.admitted_count // max(1, self._spec.trajectories)
        if tenth > self._tenth or self._now() - self._last >= LINE_EVERY_S:
            self._tenth = tenth
            self._show()

    def note(self, text: str) -> None:
        """See Progress."""
        self._write(text)

    def __enter__(self) -> Self:
        """See Progress."""
        return self

    def __exit__(self, *_: object) -> None:
        """See Progress."""
        self._show()

    def _show(self) -> None:
        text = line(self.ledger, self._spec)
        if text != self._shown and self.ledger.records:
            self._write(f"{clock_text(self._now() - self._began)}  {text}")
        self._shown, self._last = text, self._now()


class Live:
    """A display that is redrawn in place."""

    def __init__(self, spec: CampaignSpec, console: Console | None = None, keep: Keep = "nothing") -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self.ledger = Ledger(spec.campaign, keep)
        self._spec = spec
        self._began = time.monotonic()
        self._every = Every(time.monotonic)
        self._note = ""
        self._live = RichLive(
            console=console or Console(stderr=True), auto_refresh=False, get_renderable=self.render
        )

    def fold(self, record: Record) -> None:
        """See Progress."""
        self.ledger.fold(record)
        if self._every.due():
            self.tick()

    def tick(self) -> None:
        """See Progress."""
        self._live.refresh()

    def note(self, text: str) -> None:
        """See Progress."""
        self._note = text
        self._live.refresh()

    def __enter__(self) -> Self:
        """See Progress."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """See Progress."""
        self._note = ""
        self._live.refresh()
        self._live.stop()

    def render(self) -> RenderableType:
        """The display as it stands now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        ledger, spec = self.ledger, self._spec
        count = ledger.admitted_count
        filled = BAR * count // max(1, spec.trajectories)
        head = Text.assemble(
            (spec.campaign, "bold"), (f"  seed {spec.seed} · {spec.catalog} · {phase(ledger)}", "dim")
        )
        bar = Text.assemble(
            ("━" * filled, "green"), ("━" * (BAR - filled), "bright_black"),
            (f"  {count}", "bold green"), f" of {spec.trajectories} admitted",
        )  # fmt: skip
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", width=9)
        grid.add_column()
        for name, text in details(ledger):
            grid.add_row(name, text)
        grid.add_row("elapsed", clock_text(time.monotonic() - self._began))
        parts: list[RenderableType] = [head, bar, grid]
        if self._note:
            parts.append(Text(self._note, style="yellow"))
        return Group(*parts)


class Every:
    """Says every ``TICK_S`` seconds that it is time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last = now()

    def due(self) -> bool:
        """Whether it is time again."""
        if self._now() - self._last < TICK_S:
            return False
        self._last = self._now()
        return True


def details(ledger: Ledger) -> list[tuple[str, str]]:
    """The lines of the display, each with its name."""
    usage = ledger.usage
    counts = [f"{len(ledger.runs)}", f"{ledger.slots} slots in {ledger.generations} generations"]
    if not ledger.finished:
        counts.insert(1, f"{ledger.in_flight} in flight")
    return [
        ("rejected", rejected_text(ledger)),
        ("failed", failures_text(ledger)),
        ("diversity", diversity_text(ledger)),
        ("runs", " · ".join(counts)),
        ("models", f"{amount(usage.calls)} calls · {amount(usage.tokens)} tokens · {usage.usd:.2f} USD"),
    ]


def phase(ledger: Ledger) -> str:
    """What is going on."""
    if ledger.started is None:
        if ledger.catalog is not None:
            return "starting"
        return f"forming clusters, {ledger.servers_imported} servers read"
    if ledger.state == "unfinished":
        return "running"
    return ledger.state


def line(ledger: Ledger, spec: CampaignSpec) -> str:
    """Everything in one line."""
    if ledger.started is None:
        return phase(ledger)
    usage = ledger.usage
    parts = [
        f"{ledger.admitted_count}/{spec.trajectories} admitted",
        f"{len(ledger.rejected)} rejected",
        f"{sum(ledger.failures.values())} failed",
    ]
    if not ledger.finished:
        parts.append(f"{ledger.in_flight} in flight")
    if ledger.admitted_count:
        figures = ledger.figures
        parts.append(f"H_dom {figures.domain.bits:.2f}")
        parts.append(f"H_mode {figures.mode_exact.bits:.2f}")
        parts.append(f"CAC {figures.complexity.mean:.1f}")
    parts.append(f"{amount(usage.calls)} calls")
    parts.append(f"{amount(usage.tokens)} tokens")
    if usage.usd:
        parts.append(f"{usage.usd:.2f} USD")
    return " · ".join(parts)


def rejected_text(ledger: Ledger) -> str:
    """Verified trajectories that were refused, by gate."""
    return ranked(ledger.rejections)


def failures_text(ledger: Ledger) -> str:
    """Runs that failed, by whose fault and what; and slots given up."""
    text = ranked({f"{who} {code}": count for (who, code), count in ledger.failures.items()})
    return f"{text} · {len(ledger.abandoned)} slots abandoned" if ledger.abandoned else text


def ranked(given: dict[str, int]) -> str:
    """``9 (duplicate 7, cap 2)``."""
    if not given:
        return "0"
    ranks = most_first(given)
    shown = ", ".join(f"{name} {count}" for name, count in ranks[:REASONS])
    return f"{sum(given.values())} ({shown}{', …' if len(ranks) > REASONS else ''})"


def diversity_text(ledger: Ledger) -> str:
    """Entropies in bits, and complexity, of what is admitted so far."""
    figures = ledger.figures
    if not figures.admitted:
        return "known with the first row"
    return (
        f"H_dom {figures.domain.bits:.2f} · H_mode {figures.mode_exact.bits:.2f} exact, "
        f"{figures.mode_coarse.bits:.2f} coarse (ceiling {figures.ceiling_bits:.2f}) · "
        f"CAC {figures.complexity.mean:.1f}"
    )


def amount(number: int) -> str:
    """``950``, ``12.3 k``, ``4.56 M``."""
    if number < 10_000:
        return f"{number}"
    return f"{number / 1000:.1f} k" if number < 1_000_000 else f"{number / 1_000_000:.2f} M"


def clock_text(seconds: float) -> str:
    """``0:41``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
