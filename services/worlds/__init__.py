"""The tools' side of a run: hand-written servers and simulated ones, pure and stateful."""
