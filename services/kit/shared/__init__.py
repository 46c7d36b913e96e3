"""What replicas share in Redis and may lose: replies already paid for, a rate limit, live status."""
