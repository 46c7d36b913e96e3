"""Scripted actors for every role: they test pipelines, they are no training data."""
