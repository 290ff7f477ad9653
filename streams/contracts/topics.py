"""The topics: their names, what their keys are, and how each must be configured.

All topics that are keyed by user have the same partition count, so one partition holds everything about a user.
"""

from dataclasses import dataclass

EVENTS = "events"
ITEMS = "items"
RECOMMENDATIONS = "recommendations"
FEEDBACK = "feedback"
DEAD_LETTERS = "dead-letters"
MODELS = "models"


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as `streamrank topics create` makes it; `config` holds Kafka's own names."""

    name: str
    key: str
    config: tuple[tuple[str, str], ...] = ()


TOPICS = (
    Topic(EVENTS, "user_id"),
    Topic(ITEMS, "item_id", (("cleanup.policy", "compact"),)),
    Topic(RECOMMENDATIONS, "user_id"),
    Topic(FEEDBACK, "user_id"),
    Topic(DEAD_LETTERS, "the original key"),
    Topic(MODELS, "model name", (("cleanup.policy", "compact"),)),
)
