"""Sample users: what they did, what they would be shown, and what they then did."""

import random
from collections.abc import Mapping, Sequence

from streams.evaluation.base import Case
from streams.evaluation.report.markup import Html, joined, section, table, tag
from streams.evaluation.report.results import moment
from streams.evaluation.streamrank import Answer

SIZE = 8
LATEST = 10
"""Items of a history, and targets, that are shown."""
LONGEST = 90
"""Characters of a title that are shown."""


def samples(cases: Sequence[Case], answers: Sequence[Answer], titles: Mapping[str, str], seed: int) -> Html:
    """Return a few cases with Streamrank's slates, drawn by `seed`: half hits, half misses where there are as many."""
    chosen = drawn(cases, answers, seed)
    said = f"Drawn by seed {seed}, half of them hits where there are so many: they don't show how often slates hit."
    return section("samples", "Sample users", tag("p", said), *(_case(cases[n], answers[n], titles) for n in chosen))


def drawn(cases: Sequence[Case], answers: Sequence[Answer], seed: int, size: int = SIZE) -> list[int]:
    """Return the numbers of up to `size` cases of different users, hits first."""
    order = list(range(len(cases)))
    random.Random(seed).shuffle(order)  # noqa: S311 (a sample, no secret)
    found: dict[bool, list[int]] = {True: [], False: []}
    users: set[str] = set()
    for n in order:
        case, group = cases[n], found[not set(cases[n].targets).isdisjoint(answers[n].items)]
        if case.user_id not in users and len(group) < size:
            users.add(case.user_id)
            group.append(n)
        if all(len(group) * 2 >= size for group in found.values()):
            break
    hits = found[True][: max(size // 2, size - len(found[False]))]
    return hits + found[False][: size - len(hits)]


def _case(case: Case, answer: Answer, titles: Mapping[str, str]) -> Html:
    targets, shown = list(dict.fromkeys(case.targets)), set(answer.items)
    hits = sum(item in shown for item in targets)
    heading = tag("h3", "User ", tag("bdi", case.user_id), tag("small", f" {hits} of {len(targets)} hit"))
    came = f"Then did, hits first ({case.kind}, {moment(case.at_ms)})"
    candidates = f"{round(answer.ceiling * len(targets))} of {len(targets)} were among the candidates."
    did = _items(case.history[-LATEST:], titles, len(case.history))
    then = _items(sorted(targets, key=lambda item: item not in shown)[:LATEST], titles, len(targets), shown)
    return tag(
        "article",
        heading,
        tag("div", tag("h4", "Did, the latest last"), did, tag("h4", came), then, tag("p", candidates, class_="note")),
        tag("div", tag("h4", "Would be shown"), _slate(answer, titles, set(targets))),
    )  # fmt: skip


def _items(items: Sequence[str], titles: Mapping[str, str], total: int, hits: set[str] | None = None) -> Html:
    if not items:
        return tag("p", "Nothing that is known.", class_="note")
    rows = (tag("li", _named(item, titles), _HIT if hits and item in hits else "") for item in items)
    more = tag("p", f"{len(items)} of {total}.", class_="note") if total > len(items) else ""
    return joined(tag("ul", *rows), more)


def _slate(answer: Answer, titles: Mapping[str, str], targets: set[str]) -> Html:
    if not answer.items:
        return tag("p", "Nothing: there was no candidate.", class_="note")
    rows = []
    for rank, (item, source) in enumerate(zip(answer.items, answer.sources, strict=True)):
        why = answer.reasons[rank] if rank < len(answer.reasons) else ""
        p = f"{answer.p[rank]:.2g}" if rank < len(answer.p) else ""
        named = joined(_named(item, titles), _HIT if item in targets else "")
        rows.append([rank + 1, named, joined(source, tag("small", tag("bdi", _short(why)))), p])
    return table("Slate", ["", "item", "source, reason", "p"], rows)


def _named(item: str, titles: Mapping[str, str]) -> Html:
    """Return an item by its title, if it has one, and its id; its direction of writing changes nothing around it."""
    title = titles.get(item)
    name = tag("bdi", _short(item))
    return joined(tag("bdi", _short(title)), " ", tag("small", name)) if title else name


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


_HIT = joined(" ", tag("strong", "✓ hit", class_="hit"))
