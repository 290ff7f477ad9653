"""Off-policy evaluation: what a policy would have been worth, from the log of another one and its propensities."""
