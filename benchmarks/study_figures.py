"""The study's figures as SVG: bars with their range, and curves over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

COLOURS = ("#8a8f98", "#2f6fb5", "#d08a2e", "#5a9a68", "#b5432f")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}"
    ".t{font-size:13px;font-weight:600}.s{font-size:11px;fill:#555}"
    "line{stroke:#ccc}"
)
Curve = Sequence[tuple[int, float]]
WIDE, TALL = 300, 150


def colours(policies: Sequence[str]) -> list[str]:
    """Grey for the first, one hue for each other."""
    found = list(COLOURS[: len(policies)])
    if len(policies) == 2:
        found[1] = COLOURS[1]
    return found


def page(title: str, policies: Sequence[str], panels: Sequence[str], columns: int = 3) -> str:
    """Panels in a grid, a title and a legend above them."""
    rows = -(-len(panels) // columns)
    width, height = columns * WIDE + 20, rows * TALL + 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
        f'<style>{STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text class="t" x="16" y="20">{escape(title)}</text>',
    ]
    for number, (policy, colour) in enumerate(zip(policies, colours(policies), strict=True)):
        x = 16 + 110 * number
        parts.append(f'<rect x="{x}" y="30" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="41">{escape(policy)}</text>')
    for number, panel in enumerate(panels):
        x, y = 10 + WIDE * (number % columns), 55 + TALL * (number // columns)
        parts.append(f'<g transform="translate({x},{y})">{panel}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def bars(
    title: str,
    policies: Sequence[str],
    measures: Sequence[tuple[str, str, Sequence[tuple[float, float, float]]]],
) -> str:
    """A panel a measure: one bar a policy with its mean, and a whisker from least to greatest."""
    panels = []
    for _, name, values in measures:
        top = max(most for _, _, most in values) or 1.0
        step = 22 if len(policies) > 3 else 32
        parts = [f'<text x="6" y="14">{escape(name)}</text>']
        for number, ((mean, least, most), colour) in enumerate(zip(values, colours(policies), strict=True)):
            y = 26 + step * number
            length, low, high = (190 * value / top for value in (mean, least, most))
            middle = y + step / 2 - 4
            parts.append(
                f'<rect x="6" y="{y}" width="{length:.1f}" height="{step - 8}" fill="{colour}"/>'
                f'<path d="M{6 + low:.1f} {middle:.1f}H{6 + high:.1f}" stroke="#222" stroke-width="1.5"/>'
                f'<text x="{12 + max(length, high):.1f}" y="{middle + 4:.1f}">{short(mean)}</text>'
            )
        panels.append("".join(parts))
    return page(title, policies, panels)


def growth(
    title: str, policies: Sequence[str], measures: Sequence[tuple[str, Sequence[Sequence[Curve]]]]
) -> str:
    """A panel a measure: a line a policy and seed, over the number of rows."""
    panels = []
    for name, by_policy in measures:
        every = [point for curves in by_policy for curve in curves for point in curve]
        right, top = max(n for n, _ in every), max(value for _, value in every) or 1.0
        parts = [
            f'<text x="6" y="14">{escape(name)}</text><line x1="6" y1="124" x2="250" y2="124"/>',
            f'<text class="s" x="6" y="138">0</text><text class="s" x="226" y="138">{right} rows</text>',
            f'<text class="s" x="252" y="{124 - 96}">{short(top)}</text>',
        ]
        for curves, colour in zip(by_policy, colours(policies), strict=True):
            for curve in curves:
                points = " ".join(f"{6 + 240 * n / right:.1f},{124 - 96 * v / top:.1f}" for n, v in curve)
                parts.append(
                    f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
                )
        panels.append("".join(parts))
    return page(title, policies, panels)


def short(value: float) -> str:
    """A number for a label."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
