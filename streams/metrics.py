"""What a worker counts, for Prometheus. One object a process, with its own registry; nothing is global."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from streams.decode import Record
from streams.pipeline import Outcome

BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
SLATES, FEEDBACK = "slates_", "feedback_"


class Metrics:
    """The counters of a worker, and the few facts that its health is judged by."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.progress = 0
        """Batches applied so far; it stands still when nothing is."""
        self.is_waiting = False
        """Redis or Kafka is away; the worker waits on purpose."""
        self.is_assigned = False
        """The positions of this worker's partitions are known: it is ready."""
        self._outcomes = Counter(
            "streamrank_events", "Records of `events` by what came of them", ["outcome"], registry=registry
        )
        self._slates = Counter("streamrank_slates", "Slates by what ranked them", ["served_by"], registry=registry)
        self._feedback = Counter(
            "streamrank_feedback", "Feedback records written, and what was not joined, by why", ["outcome"],
            registry=registry,
        )  # fmt: skip
        self._items = Counter("streamrank_items", "Records of `items`", ["outcome"], registry=registry)
        self._fenced = Counter(
            "streamrank_fenced_commits", "Commits refused: another worker was first", registry=registry
        )
        self._batch = Histogram(
            "streamrank_batch_events", "Records of a micro-batch", buckets=BATCH_SIZES, registry=registry
        )
        self._seconds = Histogram(
            "streamrank_batch_seconds", "Time of a micro-batch", ["stage"], buckets=SECONDS, registry=registry
        )
        self._waiting = Gauge("streamrank_waiting", "1 while Redis or Kafka is away", registry=registry)

    def assigned(self, partitions: Iterable[int]) -> None:
        """Note that the positions of these partitions are known."""
        self.is_assigned = True

    def waiting(self, is_waiting: bool) -> None:
        """Note whether the worker waits for a server."""
        self.is_waiting = is_waiting
        self._waiting.set(int(is_waiting))

    def items(self, written: int, refused: int) -> None:
        """Count a chunk of the catalogue."""
        self._items.labels("written").inc(written)
        self._items.labels("dead_letters").inc(refused)

    def batch(self, batch: Mapping[int, Sequence[Record]], outcome: Outcome, run_s: float) -> None:
        """Count a micro-batch and what came of it."""
        self.progress += 1
        self._batch.observe(sum(map(len, batch.values())))
        self._seconds.labels("run").observe(run_s)
        self._fenced.inc(len(outcome.fenced))
        for name, count in outcome.stats.items():
            if name.startswith(SLATES):
                self._slates.labels(name.removeprefix(SLATES)).inc(count)
            elif name.startswith(FEEDBACK):
                self._feedback.labels(name.removeprefix(FEEDBACK)).inc(count)
            else:
                self._outcomes.labels(name).inc(count)

    def published(self, publish_s: float) -> None:
        """Count the time that a micro-batch took to publish."""
        self._seconds.labels("publish").observe(publish_s)

    def watch_lag(self, lags: Callable[[], Mapping[int, int]]) -> None:
        """Export what `lags` returns, by partition, whenever somebody looks."""
        self.registry.register(_Lag(lags))


class _Lag:
    """The consumer lag, asked for when it is scraped."""

    def __init__(self, lags: Callable[[], Mapping[int, int]]) -> None:
        self._lags = lags

    def describe(self) -> list[GaugeMetricFamily]:
        return []

    def collect(self) -> list[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "streamrank_consumer_lag", "Records that wait, by partition of `events`", labels=["partition"]
        )
        for partition, lag in self._lags().items():
            family.add_metric([str(partition)], lag)
        return [family]
