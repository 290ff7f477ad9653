"""Whether exploration finds good items that are new, and what it costs: a shop whose click rates are known.

Of every three items by rank one is new, so a third of the best are. Of the others it is known how often they were
looked at and clicked. Every slate is made by `streams.slate.explore` from click rates as a learner would know them, and
looked at from the top down; clicks are learned every BATCH slates. Regret is what the best slate would have got in
expectation, less what this one does. No server, no ranker: it is exploration that is measured, beside none and beside
even draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Budget, Section
from streams.features.item import digest_of
from streams.slate.explore import Exploration, explore

ITEMS, BEST, K = 300, 30, 10
SLATES, BATCH, SEEDS = 30_000, 50, 20
OLD_LOOKS = 2_000.0
"""How often each old item was looked at before."""
PRIOR_LOOKS = 50.0
"""What a learner believes of a new item: the mean rate, as surely as after so many looks."""
LOOKED_AT = 1 / np.log2(np.arange(K) + 2)
"""The chance that a position is looked at."""
LATE = SLATES // 10
"""The slates at the end that tell what was learned."""
NONE = "none"
POLICIES = {
    NONE: Exploration(0.0),
    "share .1": Exploration(0.1),
    "share .2": Exploration(0.2),
    "share .1, no bonus": Exploration(0.1, bonus=0.0),
    "share .1, even draws": Exploration(0.1, temperature=100.0, bonus=0.0),
}
_DIGESTS = np.array([digest_of(f"i{n}") for n in range(ITEMS)], np.uint64)


@dataclass(frozen=True, slots=True)
class Run:
    """Of one policy and seed: the regret of each slate (SLATES,), and the share of the new best that it knows to be."""

    regret: NDArray[np.float64]
    found: float


def measure(command: str, plot: Path | None) -> list[Section]:
    """Run every policy on the same shops; draw the regret into `plot`, an SVG file."""
    runs = {name: [simulate(one, seed) for seed in range(100, 100 + SEEDS)] for name, one in POLICIES.items()}
    if plot is not None:
        draw(runs, plot)
    return [_section(runs, command)]


def simulate(exploration: Exploration, seed: int) -> Run:
    """Show slates in a shop of this seed and learn from the clicks."""
    drawn = np.random.default_rng(seed)
    rates, new = _shop(drawn)
    looks = np.where(new, 0.0, OLD_LOOKS)
    clicks = np.where(new, 0.0, drawn.binomial(int(OLD_LOOKS), rates))
    mean = clicks.sum() / looks.sum()
    most = float(np.sort(rates)[::-1][:K] @ LOOKED_AT)
    regret = np.empty(SLATES)
    for start in range(0, SLATES, BATCH):
        scores, evidence = (clicks + mean * PRIOR_LOOKS) / (looks + PRIOR_LOOKS), looks.copy()
        for n in range(start, start + BATCH):
            shown, _ = explore(scores, evidence, _DIGESTS, K, exploration, f"{seed}-0-{n}")
            regret[n] = most - float(rates[shown] @ LOOKED_AT)
            clicks[shown] += drawn.random(K) < rates[shown] * LOOKED_AT
            looks[shown] += LOOKED_AT
    known = np.argsort(-(clicks + mean * PRIOR_LOOKS) / (looks + PRIOR_LOOKS))[:BEST]
    wanted = np.flatnonzero(new & (rates >= np.sort(rates)[-BEST]))
    return Run(regret, float(np.isin(wanted, known).mean()))


def _shop(drawn: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the click rate of each item if looked at, and whether it is new."""
    rates = np.sort(drawn.beta(1.0, 20.0, ITEMS))[::-1]
    new = np.zeros(ITEMS, bool)
    new[np.arange(0, ITEMS, 3) + drawn.integers(0, 3, ITEMS // 3)] = True
    mixed = drawn.permutation(ITEMS)
    return rates[mixed], new[mixed]


def _section(runs: Mapping[str, list[Run]], command: str) -> Section:
    title = f"exploration: {SLATES:,} slates of {K} from {ITEMS} items, a third of the best {BEST} new, {SEEDS} seeds"
    section = Section(title, command)
    without = np.array([run.regret for run in runs[NONE]])  # (SEEDS, SLATES)
    for name, some in runs.items():
        regret = np.array([run.regret for run in some])
        late = 1_000 * regret[:, -LATE:].mean(axis=1)
        section.add(f"{name}: new best known", 100 * float(np.mean([run.found for run in some])), "%")
        section.add(
            f"{name}: regret of the last tenth", float(late.mean()), "clicks/1,000 slates", note=_interval(late)
        )
        section.add(f"{name}: regret in all", float(regret.sum(axis=1).mean()), "clicks")
        if name == NONE:
            continue
        for saved, what, unit in (
            (1_000 * (without - regret)[:, -LATE:].mean(axis=1), "the last tenth", "clicks/1,000 slates"),
            ((without - regret).sum(axis=1), "all", "clicks"),
        ):
            budget = Budget("at least", 0.0)
            section.add(f"{name}: regret saved in {what}", float(saved.mean()), unit, budget, _interval(saved))
        behind = np.flatnonzero((without - regret).mean(axis=0).cumsum() < 0)
        section.add(f"{name}: behind none until", float(behind.max(initial=0)), "slates")
    return section


def _interval(values: NDArray[np.float64]) -> str:
    """Return the 95 % interval of the mean over seeds."""
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return f"{values.mean() - half:,.0f} to {values.mean() + half:,.0f} over seeds"


def draw(runs: Mapping[str, list[Run]], path: Path) -> None:
    """Plot the mean regret so far by slates, with its 95 % interval over seeds."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axis, at = figure.subplots(), np.arange(0, SLATES, SLATES // 100)
    for name, some in runs.items():
        so_far = np.array([run.regret.cumsum()[at] for run in some])
        mean, half = so_far.mean(axis=0), 1.96 * so_far.std(axis=0, ddof=1) / len(some) ** 0.5
        (line,) = axis.plot(at, mean, label=name)
        axis.fill_between(at, mean - half, mean + half, color=line.get_color(), alpha=0.15, linewidth=0)
    axis.set(xlabel="slates", ylabel="regret so far, clicks", xlim=(0, SLATES))
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "explore"}):  # small, and the same each time
        figure.savefig(path, format="svg", metadata=dict.fromkeys(("Date", "Creator")))
