"""sandbox-exec: runs code where it can do no harm, or refuses."""
