"""Looks for a better recipe of the student's fit: tree-structured Parzen estimators over its few numbers that matter.

A trial is a fit on the same lists beside the same taste, judged by the validation lists' NDCG; one that is below the
median of the others at the same epoch is given up. The first trial is the recipe itself, so what is found is never
worse. Trials are noted beside the lists: a search that was cut off goes on, and draws what it would have drawn.
TPE: Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011; by optuna.
"""

from collections.abc import Callable
from typing import Any, Final

from streams.errors import MissingServer
from training.dataset import Dataset
from training.fit import VALIDATION_SCALAR, fit_early
from training.phases import Watch
from training.pretrain import pretrain
from training.recipe import Recipe, as_overrides, flat, with_values

SPACE: Final[dict[str, tuple[float, float]]] = {
    "fit.learning_rate": (3e-4, 1e-2),
    "fit.weight_decay": (1e-4, 1e-1),
    "fit.listwise": (0.1, 4.0),
}
"""What is searched, and between what; evenly in logs."""
SEARCH_FILE = "search.journal"
_STARTUP, _PATIENCE = 5, 2
"""Trials before any is given up, and epochs before one is."""
_APART = 1_000_003


class _GivenUp(Exception):
    """A trial is worse than the others."""


def search(
    dataset: Dataset, recipe: Recipe, trials: int, progress: Callable[[str], None] = lambda line: None
) -> tuple[Recipe, float]:
    """Return the best recipe of so many trials, those of an earlier search counted, and its validation NDCG.

    Raises:
        MissingServer: optuna isn't installed.
        Misuse, Diverged: as `fit`.
    """
    study = _study(dataset, recipe)
    for left in study.get_trials(deepcopy=False):
        if not left.state.is_finished() and left.params:
            study.tell(left.number, state=_state("FAIL"))  # the one that was cut off
    done = sum(one.state in (_state("COMPLETE"), _state("PRUNED")) for one in study.get_trials(deepcopy=False))
    taste = pretrain(dataset.sequences, recipe.pretraining, recipe.seed, part="early") if done < trials else None
    for number in range(done, trials):
        study.sampler = _sampler(recipe.seed * _APART + number)
        if number == 0:
            values = dict(flat(recipe))
            study.enqueue_trial({key: min(max(values[key], low), high) for key, (low, high) in SPACE.items()})
        trial = study.ask()
        drawn = {key: trial.suggest_float(key, low, high, log=True) for key, (low, high) in SPACE.items()}
        candidate = with_values(recipe, drawn)
        try:
            _, _, history = fit_early(dataset, candidate, Watch(scalars=_reporting(trial)), taste)
        except _GivenUp:
            study.tell(trial, state=_state("PRUNED"))
            progress(f"trial {number + 1} of {trials}: given up: {' '.join(as_overrides(candidate))}")
        else:
            study.tell(trial, max(history))
            progress(f"trial {number + 1} of {trials}: {max(history):.4f}: {' '.join(as_overrides(candidate))}")
    return with_values(recipe, study.best_params), study.best_value


def _reporting(trial: Any) -> Callable[[str, float, int], None]:
    def report(name: str, value: float, epoch: int) -> None:
        if name == VALIDATION_SCALAR:
            trial.report(value, epoch)
            if trial.should_prune():
                raise _GivenUp

    return report


def _study(dataset: Dataset, recipe: Recipe) -> Any:
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ModuleNotFoundError as exc:
        raise MissingServer(f"--search needs the package {exc.name}: pip install 'streamrank[train]'") from exc
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(dataset.folder / SEARCH_FILE))),
        study_name=" ".join(as_overrides(recipe)) or "defaults",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(_STARTUP, _PATIENCE),
    )


def _sampler(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed % 2**32, n_startup_trials=_STARTUP)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]
