"""The human's door: the tds command, export, replay, the notebook API."""
