"""Runs a protocol: one walk through the log in which every policy learns the same events and is asked the same cases.

Cases that come with nothing to learn between them are answered together, by several processes if asked: each is a fork
that knows what was learned, so the answers are those of one process.
"""

import itertools
import multiprocessing
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from streams.errors import Misuse
from streams.evaluation.base import Case, Policy, Signal
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols.base import Protocol
from streams.evaluation.streamrank import Answer, Streamrank

CASES_AT_ONCE = 4_096
"""Cases that wait for their answers in memory; afterwards they are kept without what could not be recommended."""
_CHUNK = 128
"""Cases a process takes at a time; it has no part in the result."""
_TOLD_EVERY = 5_000

Progress = Callable[[str, int], None]
"""Told what is going on, and how many events or cases are done."""


@dataclass(slots=True)
class Outcome:
    """What every policy answered to N cases, and what it cost. `rankings` is by policy.

    `cases` have lost `masked` and `given`, which may be as long as histories and have done their work.
    `slate_ms` (N,) is the time that Streamrank took for an answer; what was asked together shares it evenly.
    """

    cases: list[Case] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    rankings: dict[str, list[list[str]]] = field(default_factory=dict)
    slate_ms: list[float] = field(default_factory=list)
    events: int = 0
    seconds: float = 0.0
    learn_seconds: float = 0.0
    rank_seconds: float = 0.0
    ranker_seconds: float = 0.0
    peak_rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """How cases are asked: `k` items each, a random `sample` (share) of them by `seed`, by so many `processes`.

    A target must have had `min_count` signals before; what has fewer is none, and a case without targets is none.
    """

    k: int
    seed: int
    sample: float = 1.0
    processes: int = 1
    min_count: int = 0


def run(
    log: Log,
    protocol: Protocol,
    streamrank: Streamrank,
    policies: Sequence[Policy],
    asked: Asked,
    progress: Progress = lambda what, done: None,
) -> Outcome:
    """Walk the log; return all answers.

    Raises:
        Misuse: the log can't be read, or holds nothing to predict.
    """
    began = time.perf_counter()
    outcome = Outcome(rankings={policy.name: [] for policy in policies})
    walk = _chosen(protocol.walk(log), asked)
    for is_case, steps in itertools.groupby(walk, lambda step: isinstance(step, Case)):
        if is_case:
            while some := list(itertools.islice(steps, CASES_AT_ONCE)):
                _answer(some, streamrank, policies, asked, outcome)  # type: ignore[arg-type]
                progress("predicting", len(outcome.cases))
        else:
            for entry in steps:
                _learn(entry, streamrank, policies)  # type: ignore[arg-type]
                outcome.events += 1
                if outcome.events % _TOLD_EVERY == 0:
                    progress("learning", outcome.events)
    if not outcome.cases:
        raise Misuse(f"{log.path}: no case is left: choose a larger --sample or a smaller --min-count")
    streamrank.flush()
    outcome.learn_seconds = streamrank.learn_seconds
    outcome.seconds = time.perf_counter() - began
    outcome.peak_rss_bytes = _peak_rss_bytes()
    return outcome


def _chosen(walk: Iterator[Entry | Case], asked: Asked) -> Iterator[Entry | Case]:
    """Yield a walk with the sampled cases, of known enough targets."""
    drawn = random.Random(asked.seed)  # noqa: S311 (a sample, no secret)
    counts: Counter[str] = Counter()
    for step in walk:
        if isinstance(step, Case):
            targets = tuple(item for item in step.targets if counts[item] >= asked.min_count)
            if targets and (asked.sample >= 1.0 or drawn.random() < asked.sample):
                yield replace(step, targets=targets)
        else:
            if asked.min_count and (one := signal(step)) is not None:
                counts[one.item_id] += 1
            yield step


def _learn(entry: Entry, streamrank: Streamrank, policies: Sequence[Policy]) -> None:
    streamrank.learn(entry)
    one = signal(entry)
    if one is not None:
        for policy in policies:
            policy.learn(one)


def _answer(
    cases: list[Case], streamrank: Streamrank, policies: Sequence[Policy], asked: Asked, outcome: Outcome
) -> None:
    streamrank.prepare()
    chunks = [cases[at : at + _CHUNK] for at in range(0, len(cases), _CHUNK)]
    ask = _Ask(streamrank, policies, asked.k)
    if not outcome.cases:
        # What is compiled or loaded at first use is no slate's time, and forks have it from here.
        streamrank.rank(chunks[0], asked.k)
    if asked.processes > 1 and len(chunks) > 1:
        _FORKED.append(ask)
        try:
            # A fork has all that was learned, without copying it.
            with multiprocessing.get_context("fork").Pool(asked.processes) as pool:
                parts = pool.map(_in_fork, chunks, chunksize=1)
        finally:
            _FORKED.clear()
    else:
        parts = [ask(chunk) for chunk in chunks]
    outcome.cases += [replace(case, masked=frozenset(), given=()) for case in cases]
    for answers, rankings, rank_seconds, ranker_seconds in parts:
        outcome.answers += answers
        outcome.slate_ms += [1000 * rank_seconds / len(answers)] * len(answers)
        for name, ranking in rankings.items():
            outcome.rankings[name] += ranking
        outcome.rank_seconds += rank_seconds
        outcome.ranker_seconds += ranker_seconds


_Part = tuple[list[Answer], dict[str, list[list[str]]], float, float]


class _Ask:
    """Asks every policy about some cases; returns the answers, and the seconds that Streamrank and its ranker took."""

    def __init__(self, streamrank: Streamrank, policies: Sequence[Policy], k: int) -> None:
        self._streamrank = streamrank
        self._policies = policies
        self._k = k

    def __call__(self, cases: Sequence[Case]) -> _Part:
        before = self._streamrank.rank_seconds, self._streamrank.ranker_seconds
        answers = self._streamrank.rank(cases, self._k)
        after = self._streamrank.rank_seconds, self._streamrank.ranker_seconds
        rankings = {policy.name: [policy.rank(case, self._k) for case in cases] for policy in self._policies}
        return answers, rankings, after[0] - before[0], after[1] - before[1]


_FORKED: list[_Ask] = []
"""What a forked process finds in its memory; empty but while one is forked."""


def _in_fork(cases: Sequence[Case]) -> _Part:
    return _FORKED[0](cases)


def _peak_rss_bytes() -> int:
    """Return the most memory that this process, or one that it forked, ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def learned(log: Log, protocol: Protocol) -> Callable[[], Iterable[Signal]]:
    """Return a function whose result iterates, each time anew, over what a protocol teaches before its first case.

    What comes later may be the target of a case.
    """

    def again() -> Iterator[Signal]:
        for step in itertools.takewhile(lambda step: isinstance(step, Entry), protocol.walk(log)):
            if (one := signal(step)) is not None:  # type: ignore[arg-type]
                yield one

    return again


def cases_of(log: Log, protocol: Protocol, asked: Asked | None = None) -> list[Case]:
    """Return the cases of a protocol, all of them; only with targets that are known enough for `asked`."""
    walk = protocol.walk(log) if asked is None else _chosen(protocol.walk(log), replace(asked, sample=1.0))
    return [step for step in walk if isinstance(step, Case)]
