"""What every result is compared with: simple policies, one a file."""

from streams.evaluation.base import Policy
from streams.evaluation.baselines.cooccurrence import Cooccurrence
from streams.evaluation.baselines.fit import fit_heuristic
from streams.evaluation.baselines.heuristic import Heuristic
from streams.evaluation.baselines.most_frequent import MostFrequent
from streams.evaluation.baselines.parameters import Parameters
from streams.evaluation.baselines.popular import Popular


def baselines(parameters: Parameters) -> list[Policy]:
    """Return a new set of all baselines; `parameters` are the heuristic's."""
    return [Popular(), MostFrequent(), Cooccurrence(), Heuristic(parameters)]


__all__ = ["Heuristic", "Parameters", "Popular", "baselines", "fit_heuristic"]
