"""Learning from what people do with slates, while it happens."""
