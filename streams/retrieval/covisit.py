"""What others went on to, and came from, around the items this user touched last."""

from streams.ordering import best_first
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
        best = best_first(found.total, asked.catalogue.digest[found.items], LIMIT)
        return Found(found.items[best], asked.seeds[found.leader[best]])
