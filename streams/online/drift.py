"""Finds out that what a model meets is not what it was: ADWIN and Page-Hinkley over signals of the feedback.

A signal is one number a record. Its first WARM_UP values say what is usual (mean and deviation); from then on
both detectors watch the standardised value, cut at +-MOST. After a detection the signal begins anew. ADWIN (Bifet and
Gavaldà, SDM 2007) finds changes of any size if it is given time, Page-Hinkley (Page, Biometrika 41, 1954) finds lasting
ones soon. ALARMS is shared out among all detectors (Bonferroni); what it comes to is measured by `python -m benchmarks
drift`.
"""

import math
import struct
from collections.abc import Mapping
from importlib.metadata import version

from msgspec import Struct
from river import drift

from streams.contracts.models import DriftDetected

WARM_UP = 500
MOST = 4.0
ALARMS = 0.002
"""The significance of all of ADWIN's tests at a record taken together."""
TOLERANCE = 0.1
"""What Page-Hinkley lets pass, in deviations: a smaller change counts as none."""
THRESHOLD = 150.0
"""Deviations that must pile up beyond the tolerance: a change of one deviation is found after some 170 records."""
_LEAST_DEVIATION = 1e-3
_RECENT = 0.02
"""The weight of a value in the mean of recent ones, which is evidence."""
_SUMS = struct.Struct("<6d")
_RIVER = version("river")


class KeptSignal(Struct, frozen=True):
    """A signal as it is stored: values so far, mean and squared deviations of the warm-up, mean of late, detectors."""

    values: int
    mean: float
    squares: float
    recent: float
    window: bytes
    sums: bytes


class KeptSignals(Struct, frozen=True):
    """All signals by name, and the version of River whose window they hold."""

    river: str = _RIVER
    signals: dict[str, KeptSignal] = {}


class _Window(drift.ADWIN):
    """ADWIN whose state can be taken out and put back."""

    def __init__(self, delta: float) -> None:
        super().__init__(delta)  # type: ignore[no-untyped-call]

    def finds(self, value: float) -> bool:
        super().update(value)  # type: ignore[no-untyped-call]
        return self.drift_detected

    def kept(self) -> bytes:
        state: bytes = self._helper.__getstate__()
        return state

    def restore(self, kept: bytes) -> None:
        self._helper.__setstate__(kept)


class _Sums(drift.PageHinkley):
    """Page-Hinkley whose state can be taken out and put back."""

    def __init__(self) -> None:
        super().__init__(min_instances=1, delta=TOLERANCE, threshold=THRESHOLD, alpha=1.0)

    def finds(self, value: float) -> bool:
        super().update(value)  # type: ignore[no-untyped-call]
        return self.drift_detected

    def kept(self) -> bytes:
        mean = self._x_mean
        sums = (self._sum_increase, self._sum_decrease, self._min_increase, self._max_decrease)
        return _SUMS.pack(mean.n, mean.get(), *sums)

    def restore(self, kept: bytes) -> None:
        n, mean, *sums = _SUMS.unpack(kept)
        self._sum_increase, self._sum_decrease, self._min_increase, self._max_decrease = sums
        if n:
            self._x_mean.update(mean, n)


class _Signal:
    """One signal and its detectors; `delta` is the significance of its ADWIN."""

    def __init__(self, delta: float, kept: KeptSignal | None = None) -> None:
        self._window = _Window(delta)
        self._sums = _Sums()
        self._values, self._mean, self._squares, self._recent = 0, 0.0, 0.0, 0.0
        if kept is not None:
            self._values, self._mean, self._squares, self._recent = kept.values, kept.mean, kept.squares, kept.recent
            self._window.restore(kept.window)
            self._sums.restore(kept.sums)

    def update(self, value: float) -> str | None:
        """Take in a value; return the name of the detector that found a change."""
        self._values += 1
        if self._values <= WARM_UP:
            gap = value - self._mean
            self._mean += gap / self._values
            self._squares += gap * (value - self._mean)
            self._recent = self._mean
            return None
        self._recent += _RECENT * (value - self._recent)
        deviation = max(math.sqrt(self._squares / WARM_UP), _LEAST_DEVIATION)
        standard = min(max((value - self._mean) / deviation, -MOST), MOST)
        summed = self._sums.finds(standard)
        if self._window.finds((standard + MOST) / (2 * MOST)):
            return "adwin"
        return "page-hinkley" if summed else None

    def evidence(self) -> dict[str, float]:
        """Return how the signal changed: its mean at first and of late, and how many values that took."""
        deviation = math.sqrt(self._squares / WARM_UP)
        return {"before": self._mean, "deviation": deviation, "after": self._recent, "records": float(self._values)}

    def kept(self) -> KeptSignal:
        return KeptSignal(self._values, self._mean, self._squares, self._recent, self._window.kept(), self._sums.kept())


class Watch:
    """Watches the named signals of one model."""

    def __init__(self, model: str, names: tuple[str, ...], kept: KeptSignals | None = None) -> None:
        """What another version of River kept can't be read: then all signals begin anew."""
        self._model = model
        self._delta = ALARMS / len(names)
        stored = kept.signals if kept is not None and kept.river == _RIVER else {}
        self._signals = {name: _Signal(self._delta, stored.get(name)) for name in names}

    def update(self, values: Mapping[str, float], at_ms: int) -> list[DriftDetected]:
        """Take in a record's values by signal; return what was detected."""
        found = []
        for name, value in values.items():
            signal = self._signals[name]
            detector = signal.update(value)
            if detector is not None:
                found.append(
                    DriftDetected(
                        model=self._model, detector=detector, signal=name, at_ms=at_ms, evidence=signal.evidence()
                    )
                )
                self._signals[name] = _Signal(self._delta)
        return found

    def kept(self) -> KeptSignals:
        """Return the state to be stored."""
        return KeptSignals(signals={name: signal.kept() for name, signal in self._signals.items()})
