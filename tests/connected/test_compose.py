"""The stack as users start it: built, healthy in time, at work, and gone without a trace."""

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.support.brokers import engine_missing, free_port

ROOT = Path(__file__).resolve().parents[2]
HEALTHY_S = 90
BUILD_S = 900


class Project:
    """A Compose project of a name of its own, on ports that nobody else uses."""

    def __init__(self):
        self.name = f"tdstest{uuid.uuid4().hex[:8]}"
        self.kafka, self.redis = free_port(), free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TDS_")},
            "TDS_KAFKA_PORT": str(self.kafka),
            "TDS_REDIS_PORT": str(self.redis),
        }

    def compose(self, *arguments, timeout_s=120):
        return self.run("docker", "compose", "-p", self.name, *arguments, timeout_s=timeout_s)

    def run(self, *command, timeout_s=120, **environment):
        done = subprocess.run(
            command, cwd=ROOT, env={**self.environment, **environment},
            capture_output=True, text=True, timeout=timeout_s, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def left(self):
        """What of it the engine still has."""
        mine = ("--filter", f"label=com.docker.compose.project={self.name}", "--quiet")
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        return "".join(self.run("docker", *kind, *mine) for kind in kinds)


@pytest.fixture(scope="module", autouse=True)
def engine():
    if why := engine_missing():
        pytest.skip(f"no stack: {why}")


def test_the_files_make_sense_to_compose_with_every_profile():
    shown = Project().compose("--profile", "monitoring", "config", "--format", "json")
    assert {"kafka", "redis", "topics", "prometheus", "grafana"} < set(json.loads(shown)["services"])


@pytest.mark.slow
def test_it_is_healthy_in_time_makes_a_dataset_and_leaves_nothing(tmp_path):
    project = Project()
    project.compose("build", "--quiet", timeout_s=BUILD_S)
    try:
        started = time.monotonic()
        project.compose(
            "up", "--detach", "--wait", "--no-build", "--scale", "agent-runner=4", timeout_s=2 * HEALTHY_S
        )
        took_s = time.monotonic() - started
        assert took_s < HEALTHY_S
        states = [
            json.loads(line) for line in project.compose("ps", "--all", "--format", "json").splitlines()
        ]
        assert len(states) == 2 + 1 + 5 + 4
        for state in states:
            if state["Service"] == "topics":
                assert (state["State"], state["ExitCode"]) == ("exited", 0)
            else:
                assert state["Health"] == "healthy", state["Name"]
                assert project.run("docker", "exec", state["Name"], "id", "-u").strip() != "0"
        tds = Path(sys.executable).with_name("tds")
        out = tmp_path / "out"
        said = project.run(
            str(tds), "run", "--stack", "--trajectories", "50", "--seed", "7", "--out", str(out),
            timeout_s=180,
            TDS_KAFKA=f"127.0.0.1:{project.kafka}",
            TDS_REDIS=f"redis://127.0.0.1:{project.redis}/0",
        )  # fmt: skip
        assert "50 of 50 admitted" in said
        assert len((out / "dataset.jsonl").read_text().splitlines()) == 50
    finally:
        project.compose("down", "--volumes", "--timeout", "30", timeout_s=180)
    assert project.left() == ""
