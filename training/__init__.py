"""The PyTorch side of Streamrank: data set, training, export. Serving never imports it."""
