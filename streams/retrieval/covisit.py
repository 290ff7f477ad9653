"""What others went on to, and came from, around the items this user touched last."""

import numpy as np

from streams.retrieval.base import Asked, Found

LIMIT = 200


class Covisit:
    """Candidates that go with the seeds; each remembers the seed that spoke for it most."""

    name = "covisit"
    kinds = frozenset({"for_you", "similar", "bundle"})
    weight = 2.0

    def find(self, asked: Asked) -> Found:
        """Return what goes with the seeds, best first."""
        found = asked.related
        best = np.lexsort((asked.catalogue.digest[found.items], -found.total))[:LIMIT]
        strongest = np.zeros(len(found.items), np.int64)
        by_strength = np.argsort(found.score, kind="stable")
        strongest[found.place[by_strength]] = found.seed[by_strength]  # the last write, of the strongest, stays
        return Found(found.items[best], asked.seeds[strongest[best]])
