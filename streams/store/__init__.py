"""Where state lives: the `FeatureStore` protocol and its two homes, memory and Redis."""
