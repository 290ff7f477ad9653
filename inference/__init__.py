"""The Triton side of Streamrank: tensor contract, model repository, clients. Knows nothing of Kafka or Redis."""
