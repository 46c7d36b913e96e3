"""What tests start and talk to: servers with faults, servers with nonces, a real small model."""
