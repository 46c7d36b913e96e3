"""Whether every message of an export is one that the nonce server sent, and none is used twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.release.bench import Findings, rows_of
from tests.support.json_log import read
from tests.support.nonce_server import REFERENCE, sha256

Message = dict[str, Any]


def check_messages(dataset: Path, nonces: Path, found: Findings) -> None:
    """All assistant turns, and all user turns but the first, which is the blueprint's goal."""
    sent = {one["nonce"]: one for one in read(nonces) if one["kind"] == "sending"}
    used: Counter[str] = Counter()
    wrong: list[str] = []
    for row in rows_of(dataset):
        opened = False
        for index, message in enumerate(row["messages"]):
            goal = message["role"] == "user" and not opened
            opened = opened or message["role"] == "user"
            if goal or message["role"] not in ("user", "assistant"):
                continue
            nonce = nonce_of(message)
            used[nonce] += 1
            wrong += [
                f"{row['id']} message {index}: {text}"
                for text in differences(message, row["id"], sent.get(nonce))
            ]
    doubled = [nonce for nonce, count in used.items() if count > 1]
    found.say(f"{used.total()} messages exported, {len(sent)} sent")
    found.wrong.extend(wrong[:10])
    found.expect(not doubled, f"{len(doubled)} replies used twice")


def nonce_of(message: Message) -> str:
    """The nonce in a message's call ids or at the end of its text; empty where there is none."""
    for call in message.get("tool_calls") or ():
        return str(call["id"]).split("_")[1]
    found = REFERENCE.findall(message["content"] or "")
    return str(found[-1]) if found else ""


def differences(message: Message, run: str, sent: Message | None) -> Iterator[str]:
    """In what a message is not the reply that was sent."""
    if sent is None:
        yield "the server has never sent it"
        return
    if (sent["run"], sent["role"]) != (run, message["role"]):
        yield f"it was sent to {sent['run']} as {sent['role']}"
    if sha256(message["content"] or "") != sent["content_sha256"]:
        yield "its text is not the one that was sent"
    calls = [
        {
            "id": call["id"],
            "name": call["function"]["name"],
            "arguments_sha256": sha256(call["function"]["arguments"]),
        }
        for call in message.get("tool_calls") or ()
    ]
    if calls != sent["calls"]:
        yield "its calls are not those that were sent"
