"""What the images and the stack promise, read from their files: no engine is needed."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from schemas.topics import TOPICS
from services.kit.kafka.log import MAX_REQUEST_BYTES
from services.kit.kafka.provision import wanted
from services.kit.settings import KitSettings
from services.kit.watched.metrics import SERIES
from services.sandbox_exec.settings import SandboxSettings

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
EVERYTHING = COMPOSE["services"]
DOCKERFILE = (INFRA / "Dockerfile").read_text()
DECIDERS = {"cluster-registry", "evolution-scheduler", "diversity-monitor"}
ACTORS = {"blueprint-planner", "agent-runner"}
SIDECAR, NO_NETWORK = "sandbox-sidecar", {"sandbox-sidecar", "sandbox-code"}
SERVICES = DECIDERS | ACTORS | {"sandbox-exec"}
MIB = 1024**2


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def memory(service):
    number, unit = re.fullmatch(r"(\d+)([mg])", service["deploy"]["resources"]["limits"]["memory"]).groups()
    return int(number) * {"m": MIB, "g": 1024 * MIB}[unit]


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_container_can_do_no_more_than_it_must(name):
    service = EVERYTHING[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"][0] == "no-new-privileges:true"
    assert len(service["security_opt"]) == 1 or name == "sandbox-exec"
    assert service["user"].split(":")[0] not in {"", "0", "root"} or name == SIDECAR
    assert service["init"] is True
    assert not {"privileged", "cap_add", "container_name", "pid", "devices"} & set(service)
    assert service.get("network_mode") == ("none" if name in NO_NETWORK else None)
    assert any("docker.sock" in volume for volume in service.get("volumes", ())) == (name == SIDECAR)
    assert name not in NO_NETWORK or service["profiles"] == ["gvisor"]
    assert any(mount.startswith("/tmp:size=") for mount in service["tmpfs"])
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}


@pytest.mark.parametrize("name", EVERYTHING)
def test_ports_are_on_loopback_and_folders_of_the_repository_read_only(name):
    for port in EVERYTHING[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{TDS_\w+_PORT:-\d+\}:\d+", port)
    for volume in EVERYTHING[name].get("volumes", ()):
        source, _, mode = volume.split(":")[0], volume.split(":")[1], volume.split(":")[2:]
        engine = name == SIDECAR and source == "/var/run/docker.sock"
        assert source in COMPOSE["volumes"] or engine or ((ROOT / source).exists() and mode == ["ro"])


def test_the_sandbox_may_make_namespaces_and_nothing_else_beyond_the_others():
    """Its list of system calls is one of what is allowed."""
    options = EVERYTHING["sandbox-exec"]["security_opt"][1:]
    assert options == ["seccomp:infra/sandbox/seccomp.json", "systempaths=unconfined", "apparmor=unconfined"]
    profile = json.loads((INFRA / "sandbox" / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = [name for some in profile["syscalls"] for name in some["names"]]
    assert len(allowed) - len(set(allowed)) == 1  # personality, for two values
    assert {"clone", "unshare", "mount", "pivot_root", "umount2"} <= set(allowed)
    for name in ("ptrace", "bpf", "keyctl", "perf_event_open", "io_uring_setup", "userfaultfd", "init_module",
                 "open_by_handle_at", "process_vm_writev", "kexec_load", "reboot", "chroot"):  # fmt: skip
        assert name not in allowed


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_starts_after_what_it_needs_and_has_time_to_finish(name):
    service = EVERYTHING[name]
    assert service["depends_on"] == {
        "topics": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
    }
    module = name.replace("-", "_")
    assert service["command"] == ["faststream", "run", f"services.{module}.app:app"]
    assert (ROOT / "services" / module / "app.py").exists()
    assert seconds(service["stop_grace_period"]) > int(service["environment"]["TDS_GRACE_S"]) + 10
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" not in service  # the image's own asks /ready
    assert "ports" not in service  # else it could not be scaled


def test_topics_are_made_once_when_the_broker_is_there():
    topics = EVERYTHING["topics"]
    assert topics["command"][:3] == ["python", "-m", "services.kit.kafka.provision"]
    assert topics["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert topics["restart"] == "no"


def test_what_is_set_in_the_stack_is_known():
    known = {f"TDS_{name.upper()}" for one in (KitSettings, SandboxSettings) for name in one.model_fields}
    for name in SERVICES | {"topics", SIDECAR}:
        given = {key for key in EVERYTHING[name]["environment"] if key.startswith("TDS_")}
        assert given <= known
    assert set(re.findall(r"TDS_\w+(?==)", DOCKERFILE)) <= known


def test_keys_go_to_those_who_ask_models_and_to_nobody_else():
    for name, service in EVERYTHING.items():
        keys = {key: value for key, value in service.get("environment", {}).items() if "API_KEY" in key}
        assert bool(keys) == (name in ACTORS), name
        assert set(keys.values()) <= {None}  # handed through, never written down


def test_an_image_has_only_what_its_service_needs():
    built = {
        name: EVERYTHING[name]["build"]["args"]["EXTRAS"].split("$")[0] for name in SERVICES | {"topics"}
    }
    assert {built[name] for name in DECIDERS | {"topics"}} == {"kafka,redis"}
    assert {built[name] for name in ACTORS} == {"kafka,redis,models"}
    assert built["sandbox-exec"] == "kafka,redis,sandbox"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {one for some in built.values() for one in some.split(",")} <= set(extras)


def test_everything_fits_a_laptop_with_eight_runners():
    always = [
        service for name, service in EVERYTHING.items() if "profiles" not in service and name != "topics"
    ]
    assert sum(map(memory, always)) + 7 * memory(EVERYTHING["agent-runner"]) < 7 * 1024 * MIB


def test_the_image_runs_as_nobody_and_says_how_it_is():
    final = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in final
    assert re.search(r"^CMD \[", final, re.MULTILINE)
    assert "GET /ready " in final
    assert "RUN" not in final.split()  # nothing is installed there
    assert "PYTHONDONTWRITEBYTECODE" not in DOCKERFILE


def test_the_lock_names_everything_that_an_image_may_install_with_hashes():
    spec = importlib.util.spec_from_file_location("pick", INFRA / "pick.py")
    pick = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pick)
    lock = (ROOT / "requirements.lock").read_text()
    entries = pick.entries(lock)
    assert len(entries) == len(re.findall(r"^\S+==", lock, re.MULTILINE))
    assert "".join(entry for _, entry in entries).count("--hash=") == lock.count("--hash=")
    assert all("--hash=" in entry for _, entry in entries)
    assert all(re.fullmatch(r"\S+==\S+( ; .+[^\\ ])?", pick.constraint(entry)) for _, entry in entries)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(one for some in extras.values() for one in some)]:
        assert pick.normal(re.match(r"[\w.-]+", requirement)[0]) in {name for name, _ in entries}


def test_every_replica_is_scraped_where_it_answers():
    (job,) = yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == SERVICES
    assert found["type"] == "A"
    assert f"TDS_HTTP_PORT={found['port']}" in DOCKERFILE
    assert "TDS_HTTP_PORT" not in str(COMPOSE)


def test_the_dashboard_shows_metrics_that_there_are_and_all_that_matters():
    dashboard = json.loads((INFRA / "grafana" / "dashboards" / "tdscaling.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    named = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for expression in expressions
        for name in re.findall(r"\b(?:tds|process)_\w+", expression)
    }
    assert named - {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= set(SERIES)
    assert {
        "tds_campaign_admitted", "tds_open_keys", "tds_model_calls_total", "tds_domain_entropy_bits",
        "tds_mode_entropy_bits", "tds_lag_records", "tds_dead_letters_total", "tds_effect_seconds",
        "process_cpu_seconds_total",
    } <= named  # fmt: skip
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in dashboard["panels"]]
    cells = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_labels_that_the_dashboard_groups_by_are_those_of_the_metric():
    dashboard = json.loads((INFRA / "grafana" / "dashboards" / "tdscaling.json").read_text())
    always = {"service", "instance", "job", "le"}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            (name, *_) = re.findall(r"\btds_\w+", target["expr"]) or [""]
            series = SERIES.get(re.sub(r"_bucket$", "", name))
            labels = always | set(series.labels if series else ())
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            shown = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert {one.strip() for some in grouped for one in some.split(",")} | set(shown) <= labels


def test_grafana_is_given_its_source_and_dashboard():
    provisioning = INFRA / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    dashboard = json.loads((INFRA / "grafana" / "dashboards" / "tdscaling.json").read_text())
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "tdscaling.yml").read_text())["providers"]
    mounted = [volume.split(":") for volume in EVERYTHING["grafana"]["volumes"]]
    assert ["./infra/grafana/dashboards", provider["options"]["path"], "ro"] in mounted


def test_the_broker_makes_no_topic_by_itself_and_forgets_no_position():
    lines = (INFRA / "kafka" / "server.properties").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert settings["auto.create.topics.enable"] == "false"
    assert int(settings["offsets.retention.minutes"]) > 365 * 24 * 60
    assert "kafka:" + settings["log.dirs"] in EVERYTHING["kafka"]["volumes"]


def test_topics_keep_everything_and_dead_letters_fit():
    for name, one in wanted("p.").items():
        settings = one.settings()
        assert (settings["retention.ms"], settings["retention.bytes"]) == ("-1", "-1")
        assert settings["cleanup.policy"] == "delete"
        topic = TOPICS[name.removeprefix("p.").removesuffix(".dead")]
        if name.endswith(".dead"):
            assert one.partitions == 1
            assert one.max_bytes > wanted()[topic.name].max_bytes
        else:
            assert one.partitions == topic.partitions
            assert topic.max_bytes < one.max_bytes <= MAX_REQUEST_BYTES
