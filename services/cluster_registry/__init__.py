"""cluster-registry: servers in, business clusters out."""
