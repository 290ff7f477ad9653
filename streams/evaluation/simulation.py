"""One evaluation from end to end: a log, a configuration and a protocol in, a result out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.onnx_ranker import OnnxRanker
from inference.ranker import Ranker
from streams.evaluation.base import Policy
from streams.evaluation.baselines import Parameters, Popular, baselines, fit_heuristic
from streams.evaluation.log import Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.result import as_json
from streams.evaluation.run import Asked, Outcome, Progress, cases_of, learned, run
from streams.evaluation.streamrank import Streamrank
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Simulation:
    """What came of it: `result` is what `--json` writes, `outcome` what everybody answered, `titles` the items'."""

    log: Log
    outcome: Outcome
    result: dict[str, Any]
    titles: dict[str, str]


def simulate(
    path: Path,
    settings: Settings,
    protocol: str,
    chosen: Chosen,
    asked: Asked,
    *,
    fit: bool = False,
    ranker: Ranker | None = None,
    progress: Progress = lambda what, done: None,
) -> Simulation:
    """Evaluate on a log; `ranker` is by default the settings' version of the shipped model.

    Raises:
        Misuse: log, holdout or settings are wrong, or there is nothing to predict.
        BadModel: the ranker's file can't be opened.
    """
    log, way = Log(path), PROTOCOLS[protocol](chosen)
    ranker = ranker or OnnxRanker(settings.models / settings.triton_model, settings.triton_version)
    streamrank = Streamrank(settings, log.items(), ranker)
    parameters = Parameters()
    if fit:
        progress("fitting the heuristic", 0)
        before = way.before(log)
        parameters = fit_heuristic(learned(log, before), cases_of(log, before, asked), asked.k, asked.seed)
    policies: Sequence[Policy] = baselines(parameters)
    outcome = run(log, way, streamrank, policies, asked, progress)
    popular = next(policy for policy in policies if isinstance(policy, Popular))
    result = as_json(protocol, log, outcome, asked, popular, streamrank)
    result["results"]["heuristic"]["parameters"] = parameters.as_json()
    return Simulation(log, outcome, result, streamrank.titles)
