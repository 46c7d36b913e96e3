"""The release checks: what a release must hold, measured through the public doors."""
