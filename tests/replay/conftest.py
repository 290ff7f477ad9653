"""The shared stack of the integration tests, and a fresh deployment on it for each test."""

from collections.abc import Iterator

import pytest

from tests.deployment import Deployment
from tests.integration.conftest import RunningStack, models, stack

__all__ = ["deployment", "models", "stack"]


@pytest.fixture
def deployment(stack: RunningStack) -> Iterator[Deployment]:
    made = Deployment(stack.kafka, stack.redis_url, stack.triton, stack.run_dir)
    yield made
    made.stop()
