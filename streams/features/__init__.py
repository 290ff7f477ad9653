"""What is known of users and items, as pure values: folds over events, and their encoding as tensors."""
