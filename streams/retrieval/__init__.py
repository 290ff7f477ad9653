"""From a user's state to a few hundred candidates, each with its source: numpy over in-process counters."""
