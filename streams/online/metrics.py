"""What the learner tells Prometheus, and the few facts that its health is judged by."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.online.learner import Learner


class LearnerMetrics(Collector):
    """Reads everything from the learner when it is asked; one object a process, with a registry of its own."""

    def __init__(self, learner: Learner) -> None:
        self.registry = CollectorRegistry()
        self.progress = 0
        """Messages read so far; it stands still when nothing is."""
        self.is_waiting = False
        """Redis is away; the learner waits on purpose."""
        self.is_assigned = True
        self._learner = learner
        self.registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what is known now."""
        records = GaugeMetricFamily(
            "streamrank_feedback", "Messages of `feedback` so far, by outcome", labels=["outcome"]
        )
        for outcome, count in dict(self._learner.counts).items():
            records.add_metric([outcome], count)
        losses = GaugeMetricFamily("streamrank_log_loss", "Prequential log-loss of late, in nats", labels=["said_by"])
        for name, loss in dict(self._learner.losses).items():
            losses.add_metric([name], loss)
        version = GaugeMetricFamily("streamrank_online_version", "The snapshot published last", self._learner.version)
        yield from (records, losses, version)
