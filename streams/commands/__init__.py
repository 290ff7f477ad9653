"""The verbs of the command line: one file each, no more than options, one call, and what is printed."""
