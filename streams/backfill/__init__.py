"""Folding a log straight into an empty Redis namespace, by the worker's own fold and commit, in several processes."""
