"""``python -m schemas.lock --check | --write``: compare the lock with the code, or bring it up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from schemas import locking


def main(argv: Sequence[str] | None = None) -> int:
    """0: the lock is as the code is. 1: it has drifted, or cannot be written; the reasons are on stderr."""
    parser = argparse.ArgumentParser(prog="python -m schemas.lock", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail when the lock and the code differ")
    what.add_argument("--write", action="store_true", help="bring the lock up to the code")
    parser.add_argument("--folder", type=Path, default=locking.FOLDER, help="the lock [schemas/lock]")
    given = parser.parse_args(argv)
    try:
        if given.write:
            changed = locking.write(given.folder)
            sys.stdout.write(f"{len(changed)} files of the lock written\n")
            return 0
        drifts = locking.check(given.folder)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for drift in drifts:
        sys.stderr.write(f"{drift}\n")
    if not drifts:
        sys.stdout.write(f"the lock in {given.folder.name} is as the code is\n")
    return 1 if drifts else 0


if __name__ == "__main__":
    sys.exit(main())
