"""agent-runner: plays a blueprint out, turn by turn, and verifies what happened."""
