"""Catalog files of every shape are read; what is wrong with one is said, with its place and advice."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from schemas.catalog import ImportServer
from services.console.catalog_files import BadEntry, read_servers


def tool(name="get_order", **more):
    return {"name": name, "description": "x", "inputSchema": {"type": "object"}, **more}


def server(name="shop", *tools):
    return {"name": name, "tools": list(tools) or [tool()]}


def written(tmp_path: Path, name: str, content) -> Path:
    path = tmp_path / name
    data = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else None
    path.write_bytes(json.dumps(content).encode() if data is None else data)
    return path


def read(path: Path, **limits):
    entries = list(read_servers(path, **limits))
    good = [entry for entry in entries if isinstance(entry, ImportServer)]
    return good, [entry for entry in entries if isinstance(entry, BadEntry)]


def only_bad(path: Path, **limits) -> BadEntry:
    good, bad = read(path, **limits)
    assert not good
    assert len(bad) == 1
    assert bad[0].advice
    return bad[0]


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ([server("a"), server("b")], ["a", "b"]),
        (server("a"), ["a"]),
        ({"servers": [server("a"), server("b")]}, ["a", "b"]),
        ({"servers": {"a": {"tools": [tool()]}}}, ["a"]),
        ({"tools": [tool()]}, ["dump"]),
        ({"jsonrpc": "2.0", "id": 7, "result": {"tools": [tool()]}}, ["dump"]),
        ([tool("one"), tool("two")], ["dump"]),
        ({"serverInfo": {"name": "a"}, "tools": [tool()]}, ["a"]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_every_shape_of_a_json_document_is_read(tmp_path, content, ids, zipped):
    data = json.dumps(content, indent=1).encode()
    path = written(
        tmp_path, "dump.json.gz" if zipped else "dump.json", gzip.compress(data, mtime=0) if zipped else data
    )
    good, bad = read(path)
    assert [entry.server_id for entry in good] == ids
    assert not bad


def test_jsonl_is_read_line_by_line_with_its_places(tmp_path):
    lines = [
        json.dumps(server("a")),
        "",
        json.dumps({"name": "b", "tools": [{"name": "t", "input_schema": {}}]}),
    ]
    good, bad = read(written(tmp_path, "c.jsonl", "\n".join(lines)))
    assert [(entry.server_id, entry.origin) for entry in good] == [("a", "c.jsonl:1"), ("b", "c.jsonl:3")]
    assert good[1].server["tools"][0]["input_schema"] == {}
    assert not bad


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"name": "x", "tools": [', "not JSON"),
        ('{"name": "x", "tools": [{"name": NaN}]}', "NaN"),
        ('{"name": "x"}', "no list of tools"),
        ('{"name": "x", "tools": {"a": 1}}', "no list of tools"),
        ('"text"', "a string, not a server"),
        ("17", "a number, not a server"),
        ("[" * 5000, "nested too deep"),
        ('{"tools":[' + '{"a":' * 150 + "1" + "}" * 150 + "]}", "nested more than"),
        (b'{"name": "\xff\xfe"}', "not UTF-8"),
    ],
)
def test_one_bad_line_among_good_ones_is_reported_and_the_rest_imported(tmp_path, line, reason):
    bad_line = line if isinstance(line, bytes) else line.encode()
    good_lines = [json.dumps(server(name)).encode() for name in "abc"]
    content = b"\n".join([good_lines[0], bad_line, *good_lines[1:]])
    good, bad = read(written(tmp_path, "c.jsonl", content))
    assert [entry.server_id for entry in good] == ["a", "b", "c"]
    assert [entry.origin for entry in bad] == ["c.jsonl:2"]
    assert reason in bad[0].reason
    assert str(bad[0]).startswith("c.jsonl:2: ")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("c.json", "", "empty"),
        ("c.json", "  \n", "empty"),
        ("c.jsonl", "\n\n", "no server"),
        ("c.json", "[]", "catalog is empty"),
        ("c.json", '{"servers": []}', "catalog is empty"),
        ("c.json", "name: shop\ntools: []", "not JSON"),
        ("c.json", "{}", "the object is empty"),
        ("c.json.gz", "[]", "not gzipped"),
        ("c.jsonl.gz", gzip.compress(b"x" * 4000, mtime=0)[:20], "damaged or cut short"),
        ("c.json.gz", gzip.compress(b"[1, 2]", mtime=0)[:-6], "damaged or cut short"),
    ],
)
def test_a_file_that_is_no_catalog_says_so(tmp_path, name, content, reason):
    assert reason in only_bad(written(tmp_path, name, content)).reason


def test_a_missing_file_and_a_folder_are_reported(tmp_path):
    assert "cannot be read" in only_bad(tmp_path / "none.json").reason
    assert "cannot be read" in only_bad(tmp_path).reason


def test_a_syntax_error_in_a_document_names_its_line(tmp_path):
    bad = only_bad(written(tmp_path, "c.json", '[\n{"name": "a"},\n{"name" "b"}\n]'))
    assert bad.origin == "c.json:3"


def test_jsonl_named_json_is_told_to_be_renamed(tmp_path):
    bad = only_bad(written(tmp_path, "c.json", json.dumps(server("a")) + "\n" + json.dumps(server("b"))))
    assert ".jsonl" in bad.advice


def test_a_file_that_is_something_else_is_given_up_early(tmp_path):
    good, bad = read(written(tmp_path, "c.jsonl", "not json\n" * 10_000))
    assert not good
    assert len(bad) == 21
    assert "the rest was not read" in bad[-1].reason


def test_a_server_over_the_limit_is_left_out_and_its_largest_part_named(tmp_path):
    big = server("big", tool(description="x" * 5_000_000))
    content = "\n".join(json.dumps(entry) for entry in (server("a"), big, server("b")))
    good, bad = read(written(tmp_path, "c.jsonl", content))
    assert [entry.server_id for entry in good] == ["a", "b"]
    assert bad[0].origin == "c.jsonl:2"
    assert "3500000" in bad[0].reason
    assert "'description' of its tool 'get_order' takes 5000002 bytes" in bad[0].advice


def test_a_line_far_over_the_limit_is_skipped_without_being_parsed(tmp_path):
    content = "\n".join([json.dumps(server("a")), "[" * 9_000, json.dumps(server("b"))])
    good, bad = read(written(tmp_path, "c.jsonl", content), max_server_bytes=2_000)
    assert [entry.server_id for entry in good] == ["a", "b"]
    assert "the line takes 9001 bytes" in bad[0].reason


def test_duplicates_are_taken_once_and_said(tmp_path):
    lines = [
        {"id": "a", **server("x")},
        {"id": "a", **server("x")},
        {"id": "a", **server("x", tool("other"))},
    ]
    good, bad = read(written(tmp_path, "c.jsonl", "\n".join(map(json.dumps, lines))))
    assert [entry.server_id for entry in good] == ["a"]
    assert "the same as at c.jsonl:1" in bad[0].reason
    assert "taken by c.jsonl:1" in bad[1].reason


def test_two_servers_of_one_name_without_ids_are_told_apart(tmp_path):
    good, bad = read(written(tmp_path, "c.json", [server("x"), server("x", tool("other"))]))
    assert [entry.server_id for entry in good] == ["x", "x-2"]
    assert not bad


def test_control_and_direction_characters_stay_out_of_ids_and_messages_stay_encodable(tmp_path):
    raw = '{"name": "sh\\u202eop\\u0000 \\n1", "tools": [{"name": "t", "description": "\\ud800 half"}]}'
    good, _ = read(written(tmp_path, "c.jsonl", raw))
    assert good[0].server_id == "shop 1"
    assert ImportServer.model_validate_json(good[0].model_dump_json()) == good[0]


def test_a_byte_order_mark_does_no_harm(tmp_path):
    good, bad = read(written(tmp_path, "c.jsonl", b"\xef\xbb\xbf" + json.dumps(server("a")).encode()))
    assert [entry.server_id for entry in good] == ["a"]
    assert not bad


def test_jsonl_takes_memory_for_a_line_not_for_the_file(tmp_path):
    line = json.dumps(server("s", tool(description="x" * 100_000)))
    path = tmp_path / "c.jsonl.gz"
    with gzip.open(path, "wt", compresslevel=1) as out:
        for number in range(200):
            out.write(line.replace('"s"', f'"s{number}"') + "\n")
    tracemalloc.start()
    count = sum(isinstance(entry, ImportServer) for entry in read_servers(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200
    assert peak < 4_000_000
