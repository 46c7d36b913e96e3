"""What a service tells of itself: log lines, metrics, traces, health."""
