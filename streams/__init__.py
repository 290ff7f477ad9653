"""The Kafka side of Streamrank: events in, feature state in Redis, slates out."""
