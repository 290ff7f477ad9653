"""Random logs of signals, and cases in all the shapes that protocols make."""

import random
from collections.abc import Iterable

from streams.evaluation.base import Case, Policy, Signal

DAY_MS = 86_400_000
BEGAN_MS = 1_500_000_000_000
ITEMS = [f"item-number-{n:02}" for n in range(25)]
"""Their ids begin alike, so that an order by id has to look at all of each."""
USERS = [f"u{n}" for n in range(12)]


def random_log(seed: int, signals: int = 400) -> list[Signal]:
    """Return signals of 12 users and 25 items, some much more popular, in baskets of one to three lines."""
    rng = random.Random(seed)
    log: list[Signal] = []
    while len(log) < signals:
        user, at_ms, basket = rng.choice(USERS), BEGAN_MS + len(log) * DAY_MS // 4, f"b{len(log)}"
        for _ in range(rng.randint(1, 3)):
            item = ITEMS[min(int(rng.expovariate(0.12)), len(ITEMS) - 1)]
            log.append(Signal(user, item, at_ms, "purchase", basket))
    return log


def sequence(user: str, *items: str, began_ms: int = BEGAN_MS) -> list[Signal]:
    """Return one user's signals, a day apart, each a basket of its own."""
    return [
        Signal(user, item, began_ms + n * DAY_MS, "click", f"{user}-{began_ms}-{n}") for n, item in enumerate(items)
    ]


def histories(log: Iterable[Signal]) -> dict[str, list[str]]:
    """Return each user's items, oldest first."""
    found: dict[str, list[str]] = {}
    for signal in log:
        found.setdefault(signal.user_id, []).append(signal.item_id)
    return found


def random_cases(seed: int, log: list[Signal], size: int = 40) -> list[Case]:
    """Return cases right after the log: of users old and new, masked or not, with unlearned items, or items given."""
    rng = random.Random(seed)
    known = histories(log)
    cases = []
    for _ in range(size):
        user = rng.choice([*USERS, "nobody"])
        fresh = rng.choices([*ITEMS, "never-met"], k=rng.randint(0, 3))
        history = known.get(user, []) + fresh
        masked = rng.choice([frozenset(), frozenset(history), frozenset(rng.sample(ITEMS, 5)), frozenset(ITEMS)])
        given = rng.choice([(), (), (*rng.sample(ITEMS, 6), "given-but-never-met")])
        at_ms = log[-1].at_ms + rng.randrange(10 * DAY_MS)
        cases.append(Case(user, at_ms, tuple(history), ("t",), masked, len(fresh), given))
    return cases


def taught(policy: Policy, log: Iterable[Signal]) -> Policy:
    """Let the policy learn the log; return it."""
    for signal in log:
        policy.learn(signal)
    return policy
