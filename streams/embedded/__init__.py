"""Real servers from wheels, on this machine: Kafka broker, Valkey and Triton, under one supervisor."""
