"""Log lines as they come out, and the settings that shape them."""

import asyncio
import io
import json

import pytest
import structlog
from pydantic import ValidationError

from services.kit import settings
from services.kit.watched import telemetry


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(write, **how) -> list[dict]:
    sink = io.StringIO()
    telemetry.configure(sink=sink, **how)
    write(structlog.get_logger("test"))
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_level_and_time():
    (line,) = lines(lambda log: log.info("effect failed", service="toy", attempt=2, text="grün"))
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "effect failed", "level": "info", "service": "toy", "attempt": 2, "text": "grün"}


def test_lines_go_to_standard_error_and_nothing_to_standard_output(capsys):
    telemetry.configure()
    structlog.get_logger().warning("dead letter")
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["event"] == "dead letter"


def test_lines_below_the_level_are_not_written():
    def write(log):
        log.debug("a")
        log.info("b")
        log.warning("c")

    assert [line["event"] for line in lines(write, level="warning")] == ["c"]
    assert [line["event"] for line in lines(write, level="debug")] == ["a", "b", "c"]


def test_the_console_form_is_for_people():
    sink = io.StringIO()
    telemetry.configure(form="console", sink=sink)
    structlog.get_logger().warning("dead letter", topic="tds.run.events", api_key="abc")
    text = sink.getvalue()
    assert "dead letter" in text
    assert "topic=tds.run.events" in text
    assert "abc" not in text
    assert "\x1b" not in text


def test_correlation_ids_are_bound_inside_also_across_tasks_and_gone_outside():
    def write(log):
        async def work():
            log.info("in a task")

        async def scene():
            with telemetry.correlated(campaign="c7"):
                log.info("campaign")
                with telemetry.correlated(run="c7.0.1"):
                    await asyncio.create_task(work())
                log.info("campaign again")
            log.info("outside")

        asyncio.run(scene())

    found = [(line["event"], line.get("campaign"), line.get("run")) for line in lines(write)]
    assert found == [
        ("campaign", "c7", None),
        ("in a task", "c7", "c7.0.1"),
        ("campaign again", "c7", None),
        ("outside", None, None),
    ]


def test_correlation_ids_of_runs_side_by_side_do_not_mix():
    def write(log):
        async def run(name):
            with telemetry.correlated(run=name):
                await asyncio.sleep(0)
                log.info("turn", of=name)

        async def scene():
            await asyncio.gather(*(run(f"c.{n}.1") for n in range(5)))

        asyncio.run(scene())

    found = lines(write)
    assert len(found) == 5
    assert all(line["run"] == line["of"] for line in found)


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apiKey", "OPENAI_API_KEY", "x-api-key", "openai_key", "secret", "client_secret_value",
        "token", "access_token", "accessToken", "Authorization", "proxy-authorization", "password",
        "db_password", "cookie", "credentials", "private.key",
    ],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_masked_at_any_depth(name):
    (line,) = lines(
        lambda log: log.info("x", **{name: "hunter2"}, headers=[{"deep": {name: {"a": "hunter2"}}}])
    )
    assert "hunter2" not in json.dumps(line)
    assert line[name] == telemetry.MASK
    assert line["headers"][0]["deep"][name] == telemetry.MASK


@pytest.mark.parametrize(
    "name", ["key", "message_key", "prompt_tokens", "max_tokens", "keyword", "monkey", "tokenizer", "run"]
)
def test_what_only_looks_like_it_is_written(name):
    (line,) = lines(lambda log: log.info("x", **{name: "c7.0.1"}))
    assert line[name] == "c7.0.1"


def test_credentials_in_texts_and_exceptions_are_masked():
    def write(log):
        log.info("sent Authorization: Bearer abcdefgh12345678 with sk-abcdefgh12345678 and more")
        try:
            raise RuntimeError("401 for Bearer abcdefgh12345678")
        except RuntimeError:
            log.exception("call failed")

    sent, failed = lines(write)
    assert "abcdefgh" not in json.dumps([sent, failed])
    assert sent["event"].endswith("and more")
    assert "RuntimeError: 401 for ***" in failed["exception"]


def test_what_is_nested_too_deep_to_search_is_masked_and_what_is_no_json_is_written():
    deep: dict = {"leaf": "x"}
    for _ in range(50):
        deep = {"next": deep}
    (line,) = lines(lambda log: log.info("x", deep=deep, odd={1, 2}))
    assert "leaf" not in json.dumps(line)
    assert line["odd"] == "{1, 2}"


# --- settings ---------------------------------------------------------------------------------------


def test_settings_come_from_the_environment_and_have_defaults(monkeypatch):
    assert settings.load() == settings.KitSettings(log_level="info", log_format="json", grace_s=30.0)
    monkeypatch.setenv("TDS_LOG_LEVEL", "debug")
    monkeypatch.setenv("TDS_LOG_FORMAT", "console")
    monkeypatch.setenv("TDS_GRACE_S", "2.5")
    monkeypatch.setenv("TDS_SEED", "7")  # another part's
    found = settings.load()
    assert (found.log_level, found.log_format, found.grace_s) == ("debug", "console", 2.5)


@pytest.mark.parametrize(
    ("name", "value"), [("TDS_LOG_LEVEL", "loud"), ("TDS_LOG_FORMAT", "xml"), ("TDS_GRACE_S", "-1")]
)
def test_a_setting_that_makes_no_sense_is_named_with_its_value(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name}={value}: Input should be"):
        settings.load()


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        settings.load().grace_s = 1.0
