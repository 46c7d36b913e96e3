"""What each step of steering brings: all five policies on real tools, each a step beyond the one before.

    python -m benchmarks.ablation [--trajectories 100] [--seeds 0] [--to docs]

The study (``benchmarks.study``) with every policy.
"""

from __future__ import annotations

import sys

from benchmarks.study import main

if __name__ == "__main__":
    main(["--ablation", *sys.argv[1:]])
