"""The log on Kafka, and how replicas of a service are hosted on it. Nothing else here knows Kafka."""
