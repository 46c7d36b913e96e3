"""The language of TDScaling: every command and event, and the topics that carry them."""
