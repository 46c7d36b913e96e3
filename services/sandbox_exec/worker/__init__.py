"""What is sent into a jail and runs there; see supervisor."""
