"""The whole program through the command line: no network, no key."""
