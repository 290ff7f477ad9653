"""Two configurations on the same log and the same cases: which one is better, how sure that is, and what it costs.

Each walks the log by itself, since what it learns may depend on its settings. The cases don't, and that is checked.
Differences are B - A by case, tested by user (see `intervals`). One metric decides, chosen before the run; of the seven
that are shown one often differs by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.onnx_ranker import OnnxRanker
from inference.ranker import Ranker
from streams.errors import Misuse
from streams.evaluation.baselines import Popular
from streams.evaluation.cost import cost
from streams.evaluation.intervals import paired
from streams.evaluation.log import Log
from streams.evaluation.metrics import METRICS, measure
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.result import as_json
from streams.evaluation.run import Asked, Outcome, Progress, run
from streams.evaluation.streamrank import Streamrank
from streams.evaluation.summary import DIGITS
from streams.evaluation.verdict import decide
from streams.retrieval.blend import named_sources
from streams.settings import Settings

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Configuration:
    """One side of a comparison, by the name under which errors speak of it."""

    name: str
    settings: Settings

    def ranker(self) -> Ranker:
        """Open the model; also see whether the candidate sources are there, so that both sides fail before either runs.

        Raises:
            Misuse: there is no such candidate source.
            BadModel: the model's file can't be opened.
        """
        try:
            named_sources(self.settings.sources)
        except Misuse as exc:
            raise Misuse(f"{self.name}: {exc}") from exc
        return OnnxRanker(self.settings.models / self.settings.triton_model, self.settings.triton_version)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it: `result` is what `--json` writes."""

    log: Log
    result: dict[str, Any]


def compare(
    path: Path,
    a: Configuration,
    b: Configuration,
    protocol: str,
    chosen: Chosen,
    asked: Asked,
    *,
    metric: str = "ndcg",
    progress: Progress = lambda what, done: None,
) -> Comparison:
    """Evaluate both on a log; `metric`, one of METRICS, decides.

    Raises:
        Misuse: log, holdout or settings are wrong, there is nothing to predict, or the log changed meanwhile.
        BadModel: a ranker's file can't be opened.
    """
    log, rankers = Log(path), [side.ranker() for side in (a, b)]
    results, outcomes, both = [], [], []
    for name, side, ranker in zip("AB", (a, b), rankers, strict=True):
        streamrank, popular = Streamrank(side.settings, log.items(), ranker), Popular()
        outcome = run(log, PROTOCOLS[protocol](chosen), streamrank, (popular,), asked, _named(progress, name))
        results.append(as_json(protocol, log, outcome, asked, popular, streamrank))
        outcomes.append(outcome)
        both.append(streamrank)
    if outcomes[0].cases != outcomes[1].cases:
        raise Misuse(f"{log.path}: it changed while it was read, so A and B had different cases: run it again")
    progress("timing A and B in turn", 0)
    timing = {"a": results[0]["timing"], "b": results[1]["timing"]} | cost(both[0], both[1], outcomes[0].cases, asked.k)
    settings = {"settings": differing(a.settings, b.settings)}
    return Comparison(log, settings | _result(results, outcomes, asked, metric) | {"timing": timing})


def differing(a: Settings, b: Settings) -> dict[str, dict[str, Any]]:
    """Return the settings in which the two differ, `{field: {"a": value, "b": value}}`; secrets stay hidden."""
    one, other = a.model_dump(mode="json"), b.model_dump(mode="json")
    return {name: {"a": one[name], "b": other[name]} for name in sorted(one) if one[name] != other[name]}


def _named(progress: Progress, name: str) -> Progress:
    return lambda what, done: progress(f"{name}: {what}", done)


def _result(
    results: Sequence[dict[str, Any]], outcomes: Sequence[Outcome], asked: Asked, metric: str
) -> dict[str, Any]:
    values_a, values_b = (_by_case(outcome, asked.k) for outcome in outcomes)
    users = [case.user_id for case in outcomes[0].cases]
    found = {name: paired(values_b[name], values_a[name], users, asked.seed) for name in values_a}
    other = [a.items != b.items for a, b in zip(outcomes[0].answers, outcomes[1].answers, strict=True)]
    common = {name: value for name, value in results[0].items() if name not in ("results", "timing")}
    return common | {
        **{name: _side(one) for name, one in zip("ab", results, strict=True)},
        "differences": {
            name: {
                "difference": round(one.difference, DIGITS),
                "interval": [round(one.low, DIGITS), round(one.high, DIGITS)],
                "p_value": round(one.p_value, DIGITS),
            }
            for name, one in found.items()
        },
        "other_slates": round(float(np.mean(other)), DIGITS),
        "verdict": decide(metric, found[metric], float(np.mean(other))),
    }


def _by_case(outcome: Outcome, k: int) -> dict[str, Values]:
    """Return METRICS and the share of targets among the candidates, (N,) each."""
    values = measure([answer.items for answer in outcome.answers], outcome.cases, k)
    return {name: values[name] for name in METRICS} | {"ceiling": np.array([one.ceiling for one in outcome.answers])}


def _side(result: dict[str, Any]) -> dict[str, Any]:
    side: dict[str, Any] = result["results"][Streamrank.name]
    return side | {"ceiling": result["results"]["ceiling"]["recall"]}
