"""``tds report`` and ``tds measure --html``: the page as a browser shows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from services.console import api
from services.console.cli import main
from services.console.page import CHUNK, page
from services.console.report import write_report
from tests.support.chromium import Tab, browser, chromium
from tests.support.small_log import whole
from tests.unit.test_console import folded

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def shown(look: Callable[[Tab], Awaitable[None]]) -> None:
    """Look at something with a browser; nothing but files may be asked for, and no script may fail."""
    if chromium() is None:
        pytest.skip("no Chromium is installed: the page cannot be opened")

    async def run() -> None:
        async with browser() as tab:
            await look(tab)
            assert tab.errors == []
            assert [url for url in tab.asked if not url.startswith("file:")] == []

    asyncio.run(run())


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> api.Campaign:
    return api.run(trajectories=30, seed=3, out=tmp_path_factory.mktemp("report") / "run")


def test_the_page_shows_what_the_campaign_made(campaign: api.Campaign, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert main(["report", str(campaign.folder), "--out", str(out)]) == 0
    rows = list(campaign.rows())
    domains = {domain for row in rows for domain in row["metadata"]["domains"]}

    async def look(tab: Tab) -> None:
        await tab.open(out)
        text = await tab.ask("document.getElementById('main').innerText")
        for words in ("Entropies over time", "Archive", "Complexity", "Operators", "30 of 30", "draw"):
            assert words in text, words
        assert await tab.ask("document.querySelectorAll('[data-chart] path').length") == 6
        readouts = await tab.ask("[...document.querySelectorAll('.readout')].map((one) => one.textContent)")
        figures = json.loads((campaign.folder / "card.json").read_text())
        assert len(readouts) == 3
        assert all("log2 N 4.91" in one for one in readouts), (readouts, figures)
        heat = await tab.ask("document.getElementById('heat').textContent")
        assert all(domain in heat for domain in domains)
        await tab.until("document.querySelector('#plan')")
        happened = await tab.ask("document.getElementById('happened').textContent")
        for message in rows[0]["messages"][1:]:
            assert message["role"] == "tool" or not message["content"] or message["content"] in happened
        assert await tab.ask("document.querySelectorAll('#plan .step.missed').length") == 0

    shown(look)


def test_the_reader_searches_filters_and_opens(campaign: api.Campaign, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    main(["report", str(campaign.folder), "--out", str(out)])
    rows = list(campaign.rows())
    last = rows[-1]
    domain = last["metadata"]["domains"][0]
    said = next(m["content"] for m in reversed(last["messages"]) if m["role"] == "assistant" and m["content"])

    async def look(tab: Tab) -> None:
        await tab.open(out)
        choose = "(at, value) => { at.value = value; at.dispatchEvent(new Event('change')); }"
        field = "const at = document.getElementById('search')"
        type_in = f"(value) => {{ {field}; at.value = value; at.dispatchEvent(new Event('input')); }}"
        await tab.ask(f"({choose})(document.querySelector('select'), {json.dumps(domain)})")
        wanted = sum(domain in row["metadata"]["domains"] for row in rows)
        await tab.until(f"document.getElementById('count').textContent === '{wanted} of 30'")
        await tab.ask(f"({choose})(document.querySelector('select'), '')")
        await tab.ask(f"({type_in})({json.dumps(last['id'])})")
        await tab.until("document.getElementById('count').textContent === '1 of 30'")
        await tab.ask("document.querySelector('#list button').click()")
        await tab.until(f"document.querySelector('#detail h3').textContent === {json.dumps(last['id'])}")
        assert said in await tab.ask("document.getElementById('happened').textContent")
        await tab.ask(f"({type_in})('no such words anywhere')")
        await tab.until("document.getElementById('count').textContent === '0 of 30'")
        phrase = json.dumps(json.dumps(said[-30:], ensure_ascii=False)[1:-1])
        await tab.ask(f"document.getElementById('whole').click(); ({type_in})({phrase})")
        await tab.until("/^[1-9]/.test(document.getElementById('count').textContent)")

    shown(look)


def test_the_page_fits_a_phone(campaign: api.Campaign, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    main(["report", str(campaign.folder), "--out", str(out)])

    async def look(tab: Tab) -> None:
        await tab.open(out, width=390, height=844, phone=True, dark=True)
        assert await tab.ask("document.documentElement.scrollWidth <= innerWidth")
        sizes = (
            "all.filter((one) => one.textContent).map((one) => parseFloat(getComputedStyle(one).fontSize))"
        )
        every = "const all = [...document.querySelectorAll('svg text, p, span')]"
        assert min(await tab.ask(f"(() => {{ {every}; return {sizes}; }})()")) >= 12
        colours = await tab.ask(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        assert colours == ["rgb(20, 24, 27)", "rgb(231, 234, 236)"]
        await tab.until(
            "document.querySelector('#list button') && document.querySelector('.reader').dataset.ready"
        )
        await tab.ask("document.querySelector('#list button').click()")
        await tab.until("document.querySelector('.open #plan')")
        assert await tab.ask("getComputedStyle(document.getElementById('list')).display") == "none"
        await tab.ask("document.getElementById('back').click()")
        assert await tab.ask("getComputedStyle(document.getElementById('list')).display") != "none"

    shown(look)


def test_five_thousand_trajectories_of_hostile_text_open_and_only_what_is_seen_is_drawn(
    tmp_path: Path,
) -> None:
    count = 5000
    index: list[dict[str, Any]] = []

    def rows() -> Any:
        for number in range(count):
            index.append(
                {"id": f"c.{number}.1", "goal": f"{HOSTILE} {number}", "domains": ["d"], "mode": "single/1",
                 "band": 0, "complexity": 4.0, "operator": "draw", "tools": ["get_order"]}
            )  # fmt: skip
            texts = [{"role": "user", "content": f"{HOSTILE} {number} " + "long " * 400}]
            yield {"id": f"c.{number}.1", "goal": HOSTILE, "facts": [["mode", HOSTILE]], "steps": [],
                   "holds": [], "answers": [], "distractors": [], "messages": texts}  # fmt: skip

    def meta() -> dict[str, Any]:
        one = {"bits": 0.0, "distinct": 1, "normalized": 0.0, "perplexity": 1.0}
        return {
            "title": f"T {HOSTILE}", "subtitle": HOSTILE, "tiles": [["rows", "5,000", HOSTILE]],
            "ceiling_bits": 12.0,
            "entropy": {"domain": one, "mode_exact": one, "mode_coarse": one},
            "complexity": {"mean": 4.0, "p50": 4.0, "p90": 4.0, "per_step": 2.0, "histogram": [5000],
                           "bin_width": 4},
            "domains": [["d", 5000]], "modes": [["single/1", 5000]], "trajectories": index,
        }  # fmt: skip

    out = tmp_path / "page.html"
    with out.open("wb") as file:
        file.writelines(page(meta, rows()))
    assert out.read_bytes().count(b'class="chunk"') == count // CHUNK
    assert HOSTILE.encode() not in out.read_bytes()

    async def look(tab: Tab) -> None:
        await tab.open(out)
        await tab.until("document.getElementById('count').textContent === '5,000 of 5,000'")
        assert await tab.ask("document.querySelectorAll('#list button').length") < 40
        await tab.ask("document.getElementById('list').scrollTop = 1e9")
        await tab.until("document.querySelector('#list button:last-child b').textContent.endsWith(' 4999')")
        await tab.ask("document.querySelector('#list button:last-child').click()")
        await tab.until("document.querySelector('#detail h3').textContent === 'c.4999.1'")
        assert await tab.ask("document.title") == f"T {HOSTILE}"
        assert await tab.ask("document.querySelectorAll('img').length") == 0

    shown(look)


def test_a_measured_file_is_a_page_too(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    call = {"id": "a", "type": "function", "function": {"name": "get_order", "arguments": "{}"}}
    good = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "a", "content": "{}"},
            {"role": "assistant", "content": "Done"},
        ]
    }
    rows.write_text(json.dumps(good) + "\n" + "oops\n")
    out = tmp_path / "page.html"
    assert main(["measure", str(rows), "--html", str(out), "--json"]) == 0
    assert main(["measure", str(rows), "--html", str(rows)]) == 2

    async def look(tab: Tab) -> None:
        await tab.open(out)
        text = await tab.ask("document.getElementById('main').innerText")
        for words in (
            "rows measured",
            "single/1",
            "read>answer",
            "Rows that could not be measured",
            "not_json",
        ):
            assert words in text, words

    shown(look)


def test_the_page_is_the_same_bytes_each_time_and_tells_of_refusals(tmp_path: Path) -> None:
    ledger = folded(whole().records)
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    assert write_report(ledger, first) == write_report(ledger, second) == ledger.admitted_count
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_is_no_place_for_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
