"""``tds import``: dumps, documents and running servers into one catalog, deterministic, counted, told."""

from __future__ import annotations

import gzip
import json
import random
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.console.cli import main
from services.worlds.machines import dump

ROOT = Path(__file__).resolve().parents[2]
STRING = {"type": "string"}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"Do {name}",
        "inputSchema": {"type": "object", "properties": properties},
    }


def server(name: str, *tools: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": name, "name": name, "tools": list(tools), **more}


SERVERS = [
    server("store", tool("get_order", id=STRING), tool("bad name!", id=STRING), labels=["Retail"]),
    server("copy", tool("get_order", id=STRING), labels=["Retail"]),
    server(
        "pseudo",
        {"name": "Optional Settings", "description": "Access and manage servers by signing in."},
        labels=["Gone"],
    ),
    server("rain", tool("get_forecast", city=STRING), description="Weather forecasts"),
]
DOCUMENT = {
    "openapi": "3.0.0",
    "info": {"title": "Pets"},
    "paths": {
        "/pets/{id}": {
            "get": {"operationId": "getPet", "parameters": [{"name": "id", "in": "path", "schema": STRING}]}
        },
        "/bad": {"get": {"parameters": [{"$ref": "other.json"}]}},
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    (made / "dump.jsonl").write_text("".join(json.dumps(one) + "\n" for one in SERVERS))
    (made / "pets.yaml").write_text(json.dumps(DOCUMENT))  # JSON is YAML
    (made / "notes.txt").write_text("not meant")
    return made


def said(capsys: pytest.CaptureFixture[str], *argv: Any) -> tuple[int, str, str]:
    code = main([str(one) for one in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_folder_is_imported_counted_and_told(folder, tmp_path, capsys):
    out = tmp_path / "catalog.jsonl"
    code, text, err = said(capsys, "import", folder, "--out", out)
    assert code == 0
    assert "dump.jsonl: 5 tools of 4 servers; 3 usable, of 2 servers" in text
    assert "pseudo tool 1" in text
    assert "external reference 1" in text
    assert "infeasible, for want of a usable tool: gone" in text
    assert "other.json" in err
    assert "#/paths/~1bad/get" in err
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["id"] for one in lines] == ["Pets", "rain", "store"]
    assert [one["name"] for one in lines[2]["tools"]] == ["get_order", "bad_name"]
    assert lines[0]["tools"][0]["annotations"] == {"method": "GET", "path": "/pets/{id}"}
    assert (lines[1]["labels"], lines[1]["labels_judged"]) == (["weather"], True)
    assert (lines[2]["labels"], "labels_judged" in lines[2]) == (["retail"], False)


def test_the_same_for_machines(folder, tmp_path, capsys):
    out = tmp_path / "catalog.jsonl.gz"
    code, text, _ = said(capsys, "import", folder, "--out", out, "--json")
    found = json.loads(text)
    assert code == 0
    assert (found["servers"], found["tools"], found["infeasible"]) == (3, 4, ["gone"])
    assert found["rejected"] == {"pseudo_tool": 1, "server_no_usable_tools": 1}
    assert (found["renamed"], found["folded"], found["recovered"]) == (1, 1, 0)
    assert found["domains"]["retail"] == 2
    assert found["domains"]["weather"] == 1
    assert found["sources"][1]["unread"] == {"external_reference": 1}
    assert found["bytes"] == out.stat().st_size
    assert len(gzip.decompress(out.read_bytes()).splitlines()) == 3


@pytest.mark.slow
def test_any_order_of_lines_and_any_hash_seed_give_the_same_bytes_and_so_does_a_second_import(
    tmp_path, capsys
):
    servers = [*SERVERS, *dump()]
    made = []
    for seed in range(3):
        random.Random(f"import/{seed}").shuffle(servers)
        source, out = tmp_path / f"{seed}.jsonl", tmp_path / f"{seed}.out.jsonl"
        source.write_text("".join(json.dumps(one) + "\n" for one in servers))
        code = "import sys; from services.console.cli import main; sys.exit(main(sys.argv[1:]))"
        arguments = ["import", str(source), "--out", str(out)]
        subprocess.run(
            [sys.executable, "-c", code, *arguments],
            check=False,
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
        )
        made.append(out.read_bytes())
    assert made[0] == made[1] == made[2]
    code, _, _ = said(capsys, "import", tmp_path / "0.out.jsonl", "--out", tmp_path / "again.jsonl")
    assert code == 0
    assert (tmp_path / "again.jsonl").read_bytes() == made[0]


@pytest.mark.slow
def test_a_running_server_joins_files_and_the_catalog_makes_a_dataset(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    source, out = tmp_path / "dump.jsonl", tmp_path / "catalog.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in dump()[:3]))
    shop = shlex.join([sys.executable, "-m", "tests.support.mcp_shop"])
    code, text, _ = said(capsys, "import", source, "--mcp", shop, "--out", out, "--json")
    assert code == 0
    assert json.loads(text)["servers"] == 4
    code, _, err = said(
        capsys, "run", "--catalog", out, "-n", "3", "--seed", "1", "--out", tmp_path / "run", "--json"
    )
    assert code == 0, err
    assert len((tmp_path / "run" / "dataset.jsonl").read_text().splitlines()) == 3


def test_a_document_is_a_catalog_as_it_is(tmp_path, capsys):
    pet = {
        "type": "object",
        "properties": {"id": {**STRING, "readOnly": True}, "name": STRING},
        "required": ["name"],
    }
    answer = {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}}
    by_id = [{"name": "id", "in": "path", "required": True, "schema": STRING}]
    listed = {
        "200": {
            "content": {
                "application/json": {
                    "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}
                }
            }
        }
    }
    paths = {
        "/pets": {
            "get": {"operationId": "listPets", "responses": listed},
            "post": {
                "operationId": "createPet",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}
                },
                "responses": answer,
            },
        },
        "/pets/{id}": {
            "get": {"operationId": "getPet", "parameters": by_id, "responses": answer},
            "delete": {"operationId": "deletePet", "parameters": by_id, "responses": {}},
        },
    }
    source = tmp_path / "pets.json"
    source.write_text(
        json.dumps(
            {
                "openapi": "3.0.0",
                "info": {"title": "Pets"},
                "paths": paths,
                "components": {"schemas": {"Pet": pet}},
            }
        )
    )
    code, _, err = said(capsys, "run", "--catalog", source, "-n", "2", "--out", tmp_path / "run", "--json")
    assert code == 0, err


def test_a_source_without_use_is_told_and_the_rest_imported(folder, tmp_path, capsys):
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    code, text, err = said(capsys, "import", folder, empty, "--out", tmp_path / "c.jsonl")
    assert code == 1
    assert "3 servers" in text.splitlines()[-1]
    assert "empty.json: nothing in it can be used" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "nothing to import"),
        (["none.json"], 2, "none.json"),
        (["https://api.test/openapi.json"], 2, "not fetched"),
        (["--mcp", ""], 2, "--mcp is empty"),
        (["--mcp", "x", "--env", "NO_SUCH_VARIABLE"], 2, "NO_SUCH_VARIABLE"),
        (["--mcp", "/no/such/program"], 1, "cannot be started"),
        (["--mcp", "x", "--timeout", "0"], 2, "timeout"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_written(
    arguments, code, words, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "import", *arguments)[0::2][0] == code
    _, _, err = said(capsys, "import", *arguments)
    assert words in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_catalog_never_goes_over_a_source_or_unasked_over_a_file(folder, tmp_path, capsys, monkeypatch):
    source = folder / "dump.jsonl"
    before = source.read_bytes()
    for argv in (("import", source, "--out", source), ("import", folder, "--out", source)):
        code, _, err = said(capsys, *argv)
        assert code == 2
        assert "one of the sources" in err
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "import", source)[0] == 0
    assert said(capsys, "import", source)[0] == 2
    assert said(capsys, "import", source, "--out", "catalog.jsonl")[0] == 0
    assert source.read_bytes() == before


def test_an_id_that_two_files_use_differently_is_told(folder, tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text(json.dumps([server("store", tool("another")), SERVERS[3]]))
    _, text, err = said(capsys, "import", folder, other, "--out", tmp_path / "c.jsonl", "--json")
    assert json.loads(text)["sources"][2]["unread"] == {"id_taken": 1, "listed_twice": 1}
    assert "dump.jsonl:1" in err
