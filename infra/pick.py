"""Prints the part of requirements.lock that an image with some extras needs: ``pick.py kafka,redis``.

``pick.py build-system`` prints what the package itself is built with, ``pick.py =numpy,pandas`` these two.
pip resolves the extras with the lock's versions as constraints; what it names is then cut out of the lock,
hashes and all, for ``pip install --require-hashes``.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==.*(?:\n +.*)*", re.MULTILINE)


def normal(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: str) -> list[tuple[str, str]]:
    """Name and text of each entry; a package has several where Pythons need different versions of it."""
    return [(normal(found["name"]), found[0]) for found in ENTRY.finditer(lock)]


def constraint(entry: str) -> str:
    """An entry without its hashes."""
    return entry.splitlines()[0].rstrip("\\ ")


def needed(requirements: list[str], constraints: list[str]) -> list[str]:
    """Names of everything that ``requirements`` bring with them, on this Python and machine."""
    with tempfile.TemporaryDirectory() as folder:
        limits = Path(folder) / "constraints.txt"
        limits.write_text("\n".join(constraints) + "\n")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        options = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--report=-"]
        report = subprocess.run(
            [*pip, *options, f"--constraint={limits}", *requirements], check=True, stdout=subprocess.PIPE
        )
    return [normal(one["metadata"]["name"]) for one in json.loads(report.stdout)["install"]]


def asked(extras: str) -> list[str]:
    """What pyproject.toml asks for, with ``extras`` separated by commas."""
    if extras.startswith("="):
        return extras[1:].split(",")
    declared = tomllib.loads(Path("pyproject.toml").read_text())
    if extras == "build-system":
        return list(declared["build-system"]["requires"])
    project = declared["project"]
    more = (project["optional-dependencies"][extra] for extra in extras.split(",") if extra)
    return [*project["dependencies"], *(requirement for some in more for requirement in some)]


def main(extras: str) -> None:
    """Print the part for ``extras``."""
    locked = entries(Path("requirements.lock").read_text())
    names = set(needed(asked(extras), [constraint(entry) for _, entry in locked]))
    if missing := sorted(names - {name for name, _ in locked}):
        raise SystemExit(f"error: requirements.lock lacks {', '.join(missing)}: make lock")
    print("\n".join(entry for name, entry in locked if name in names))


if __name__ == "__main__":
    main(sys.argv[1])
