"""The online learner: how good what it says is, and what it costs. No server is involved."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.clicks import made_shop, open_bandit
from benchmarks.journey import HOUSEHOLDS, WEEKS, ClosedLoop
from benchmarks.report import Budget, Section
from inference.tensors import HEADS
from streams.contracts.slates import Feedback
from streams.evaluation.clicks import WHO, Clicks, prequential
from streams.features.item import digest_of
from streams.online.blend import PRIOR, SWITCH
from streams.online.learner import Learner
from streams.online.rates import Rates
from streams.online.score import Scorer, Where, buckets
from streams.online.snapshot import ITEMS, encode
from streams.online.terms import moment

CAMPAIGNS = ("random_all", "bts_all", "random_men", "bts_men")
MADE, TIMED, SCORED = 20_000, 2_000, 2_000
CANDIDATES = 200


def measure(folder: Path, data: Path | None, command: str) -> list[Section]:
    """Measure on a made shop, a closed loop, each campaign of the Open Bandit files in `data`, and the cost."""
    sections = [_quality(f"a made shop, {MADE:,} slates of ten, whose ranker errs", made_shop(MADE), command)]
    learner = Learner("ranker")
    title = (
        f"Complete Journey in a closed loop, {HOUSEHOLDS:,} households, {WEEKS} weeks, clicks of a model of a shopper"
    )
    sections.append(_quality(title, ClosedLoop(folder, learner), command, learner))
    for campaign in CAMPAIGNS if data is not None else ():
        title = f"Open Bandit {campaign}, popularity so far in the ranker's place"
        sections.append(_quality(title, open_bandit(Path(str(data)) / campaign), command))
    return [*sections, _cost(command)]


def _quality(title: str, records: Iterable[Feedback], command: str, learner: Learner | None = None) -> Section:
    found = prequential(records, learner=learner)
    section = Section(f"{title}: {found.clicked:,} clicks of {found.shown:,}", command)
    for name in WHO:
        loss, error = found.log_loss[name], found.ece[name]
        section.add(f"log-loss, {name}", loss.mean, "nats", note=f"{loss.low:.5f} to {loss.high:.5f}")
        section.add(f"calibration error, {name}", error.mean, "", note=f"{error.low:.5f} to {error.high:.5f}")
    _compare(section, found)
    return section


def _compare(section: Section, found: Clicks) -> None:
    for name, less in found.blend_less.items():
        share = {"ranker": PRIOR[0], "online": PRIOR[-1]}[name]
        bound = SWITCH - np.log(share) / found.records
        note = f"{less.low:+.5f} to {less.high:+.5f}, p {less.p_value:.3f}"
        budget = Budget("at most", float(bound), f"at most {bound:.5f}, the bound")
        section.add(f"blend less {name}", less.difference, "nats", budget, note)


def _cost(command: str) -> Section:
    section = Section("the learner's cost, one process", command)
    learner, records = Learner("ranker"), list(made_shop(TIMED))
    began = time.perf_counter()
    for record in records:
        learner.take(record)
    section.add("learning", len(records) / (time.perf_counter() - began), "slates of ten/s")
    scorer = Scorer(learner.snapshot())
    rng = np.random.default_rng(1)
    where = Where(
        items=np.array([digest_of(f"i{n}") for n in range(CANDIDATES)], np.uint64),
        categories=np.array([digest_of(f"c{n % 20}") for n in range(CANDIDATES)], np.uint64),
        sources=np.full(CANDIDATES, buckets(["covisit"])[0]),
        moment=moment(1_732_212_000_000, "ios"),
    )
    p = rng.random((CANDIDATES, len(HEADS))).astype(np.float32)
    times = sorted(_times(lambda: scorer.blended(p, where)))
    section.add(f"blending {CANDIDATES} candidates, p50", times[len(times) // 2] * 1e6, "µs a slate")
    full = Rates(ITEMS)
    for n in range(2 * ITEMS):
        full.add(n, n % 7 == 0, 0.1, n)
    times = sorted(_times(full.residuals, 20))
    section.add("residuals of a full snapshot", times[10] * 1e3, "ms")
    section.add("snapshot of this shop", len(encode(learner.snapshot())) / 1e3, "kB")
    return section


def _times(call: Callable[[], object], count: int = SCORED) -> Iterator[float]:
    for _ in range(count):
        began = time.perf_counter()
        call()
        yield time.perf_counter() - began
