"""The parameters of the heuristic."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Parameters:
    """Those of the formula; half-lives in days, 0 for none. `p` and the half-lives shape counts, all others do not."""

    p: float = 0.5
    beta: float = 0.4
    a: float = 0.3
    b: float = 0.1
    g: float = 0.7
    damp: float = 1.0
    half_life_days: float = 0.0
    bonus: float = 0.0
    own_half_life_days: float = 0.0

    def as_json(self) -> dict[str, float]:
        """Return them by name."""
        return asdict(self)
