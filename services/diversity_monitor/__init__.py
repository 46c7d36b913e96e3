"""diversity-monitor: measures, admits, steers."""
