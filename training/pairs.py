"""Pairs of texts that belong together: what was bought together, and what was clicked after a search.

A basket gives each of its items one partner, drawn, so that large baskets don't count squared. A search gives what the
same user went for within QUERY_MS, and before the next search.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.evaluation.base import Signal
from streams.evaluation.log import Entry, signal
from training.text import item_text

QUERY_MS = 10 * 60_000
Pair = tuple[str, str]
"""Two texts; the second is an item's."""


def pairs_of(entries: Iterable[Entry], items: Iterable[Item], limit: int, seed: int) -> list[Pair]:
    """Return at most `limit` pairs of a log, drawn evenly, in the order of the log; none of two equal texts.

    Items without a text or not in the catalogue pair with nothing.
    """
    generator = np.random.default_rng(seed)
    texts = {item.item_id: text for item in items if (text := item_text(item))}
    kept: list[tuple[int, Pair]] = []
    for number, pair in enumerate(_all(entries, texts, generator)):
        if len(kept) < limit:
            kept.append((number, pair))
        elif (place := int(generator.integers(number + 1))) < limit:  # a reservoir: each is kept as likely as any
            kept[place] = (number, pair)
    return [pair for _, pair in sorted(kept)]


def _all(entries: Iterable[Entry], texts: Mapping[str, str], generator: np.random.Generator) -> Iterator[Pair]:
    baskets: dict[str, tuple[str, list[str]]] = {}
    queries: dict[str, tuple[str, int]] = {}
    for entry in entries:
        if isinstance(entry.event, ev.Search):
            queries[entry.event.user_id] = (entry.event.query, entry.at_ms)
            continue
        one = signal(entry)
        if one is None or one.item_id not in texts:
            continue
        yield from _asked(one, queries, texts)
        if one.kind == "purchase":
            basket, lines = baskets.get(one.user_id, ("", []))
            if basket != one.basket:
                yield from _together(lines, texts, generator)
                baskets[one.user_id] = (one.basket, lines := [])
            lines.append(one.item_id)
    for _, lines in baskets.values():
        yield from _together(lines, texts, generator)


def _asked(one: Signal, queries: Mapping[str, tuple[str, int]], texts: Mapping[str, str]) -> Iterator[Pair]:
    query, at_ms = queries.get(one.user_id, ("", 0))
    if query.strip() and one.at_ms - at_ms <= QUERY_MS:
        yield query, texts[one.item_id]


def _together(lines: list[str], texts: Mapping[str, str], generator: np.random.Generator) -> Iterator[Pair]:
    different = sorted({texts[item] for item in lines})
    if len(different) < 2:
        return
    order = generator.permutation(len(different)).tolist()
    for place, n in enumerate(order):  # each with the next of a drawn circle
        yield different[n], different[order[(place + 1) % len(order)]]
