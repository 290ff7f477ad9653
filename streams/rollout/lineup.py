"""Which versions of a model serve, and the state of each that was ever published. Pure: each step returns a new lineup.

    published -> validated -> shadow -> canary -> champion -> previous -> retired

Any of these may be left out between `validated` and `champion`. `rejected` and `rolled back` are ways out; what was
rolled back or retired may come back. What is a mistake of the operator raises `Misuse`, and nothing changes.
"""

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from streams.contracts.models import ModelEvent, State
from streams.errors import Misuse

USABLE: frozenset[State] = frozenset(
    {"validated", "shadow", "canary", "champion", "previous", "retired", "rolled back"}
)
"""States whose versions were found good."""


class Version(Struct, frozen=True, kw_only=True):
    """One version: its state, what was measured of it, and why it is where it is."""

    state: State
    why: str = ""
    metrics: dict[str, float] = {}
    manifest_sha256: str | None = None


class Lineup(Struct, frozen=True, kw_only=True):
    """The versions of a model: `highest` is the largest number so far, `canary_share` the canary's share of users."""

    model: str
    revision: int
    highest: int
    champion: int
    previous: int | None = None
    shadow: int | None = None
    canary: int | None = None
    canary_share: float = 0.0
    versions: dict[int, Version]

    @property
    def loaded(self) -> set[int]:
        """The versions that Triton is to serve."""
        return {v for v in (self.champion, self.previous, self.shadow, self.canary) if v is not None}


def first(model: str, champion: int) -> Lineup:
    """Return the lineup before any change: the version that the settings name is the champion."""
    return Lineup(
        model=model, revision=0, highest=champion, champion=champion, versions={champion: Version(state="champion")}
    )


def published(lineup: Lineup, version: int, manifest_sha256: str | None) -> Lineup:
    """Enter a version. No number that may have been served is used again: slates name it."""
    known = lineup.versions.get(version)
    if known is not None and known.state in USABLE:
        raise Misuse(f"{lineup.model}/{version} is {known.state} already: publish under another number")
    if known is None and version <= lineup.highest:
        raise Misuse(f"{lineup.model}/{version} may have been served: publish under a number above {lineup.highest}")
    entered = _with(lineup, {version: Version(state="published", manifest_sha256=manifest_sha256)})
    return replace(entered, highest=max(version, lineup.highest))


def judged(
    lineup: Lineup, version: int, manifest_sha256: str | None, because: str | None, metrics: dict[str, float]
) -> Lineup:
    """Say that a published version is good, or `because` of what it is rejected; the hash says what was judged."""
    known = lineup.versions.get(version)
    if known is None or (known.state, known.manifest_sha256) != ("published", manifest_sha256):
        raise Misuse(f"{lineup.model}/{version} was published by somebody else meanwhile: publish under another number")
    state: State = "validated" if because is None else "rejected"
    return _with(lineup, {version: replace(known, state=state, why=because or "", metrics=metrics)})


def shadowed(lineup: Lineup, version: int) -> Lineup:
    """Have a version score what the champion scores, unseen; it takes the place of another shadow."""
    _check_usable(lineup, version, "shadow")
    freed = _freed(lineup, version)
    states: dict[int, State] = {freed.shadow: "validated"} if freed.shadow is not None else {}
    return _to(replace(freed, shadow=version), states | {version: "shadow"})


def canaried(lineup: Lineup, version: int, share: float) -> Lineup:
    """Have a version serve a share of the users, in (0, 1); it takes the place of another canary."""
    _check_usable(lineup, version, "canary")
    if not 0 < share < 1:
        raise Misuse(f"share: {share:g} is not between 0 and 1")
    freed = _freed(lineup, version)
    states: dict[int, State] = {freed.canary: "validated"} if freed.canary is not None else {}
    return _to(replace(freed, canary=version, canary_share=share), states | {version: "canary"})


def promoted(lineup: Lineup, version: int) -> Lineup:
    """Make a version the champion; the one before stays loaded, the one before that retires."""
    _check_usable(lineup, version, "champion")
    freed = _freed(lineup, version)
    states: dict[int, State] = {lineup.champion: "previous", version: "champion"}
    if freed.previous is not None:
        states[freed.previous] = "retired"
    return _to(replace(freed, champion=version, previous=lineup.champion), states)


def rolled_back(lineup: Lineup, version: int) -> Lineup:
    """Take a version away from users: of the champion's place the previous one takes over."""
    if version in (lineup.canary, lineup.shadow):
        return _to(_freed(lineup, version), {version: "rolled back"})
    if version != lineup.champion:
        raise Misuse(f"{lineup.model}/{version} is neither champion, canary nor shadow: there is nothing to roll back")
    if lineup.previous is None:
        raise Misuse(f"{lineup.model}: there is no previous champion; promote the version that you want")
    back = replace(lineup, champion=lineup.previous, previous=None)
    return _to(back, {version: "rolled back", lineup.previous: "champion"})


def concluded(lineup: Lineup, version: int, promote: bool, evidence: dict[str, float]) -> Lineup:
    """End a canary's trial: make it the champion, or take it away; the evidence stays beside it."""
    if lineup.canary != version:
        raise Misuse(f"{lineup.model}/{version} is not the canary any more: its trial ended otherwise")
    known = lineup.versions[version]
    told = lineup.versions | {version: replace(known, metrics=known.metrics | evidence)}
    return (promoted if promote else rolled_back)(replace(lineup, versions=told), version)


def forgotten(lineup: Lineup, versions: set[int]) -> Lineup:
    """Leave out versions whose files are gone."""
    kept = {v: known for v, known in lineup.versions.items() if v not in versions}
    return replace(lineup, versions=kept, revision=lineup.revision + 1)


def changes(before: Lineup, after: Lineup, *, at_ms: int, who: str, why: str) -> Iterator[ModelEvent]:
    """Yield an event for each version whose state differs."""
    for version, now in after.versions.items():
        was = before.versions.get(version)
        if was is None or was.state != now.state:
            yield ModelEvent(
                model=after.model,
                version=version,
                revision=after.revision,
                before=None if was is None else was.state,
                after=now.state,
                champion=after.champion,
                at_ms=at_ms,
                who=who,
                why=now.why if now.state == "rejected" else why,
                metrics=now.metrics,
                manifest_sha256=now.manifest_sha256,
            )


def _check_usable(lineup: Lineup, version: int, wanted: State) -> None:
    known = lineup.versions.get(version)
    if known is None:
        raise Misuse(f"{lineup.model}/{version} was never published: `streamrank models publish` it first")
    if known.state not in USABLE:
        raise Misuse(f"{lineup.model}/{version} is {known.state}: only a validated version may become {wanted}")
    if known.state == wanted and wanted != "canary":
        raise Misuse(f"{lineup.model}/{version} is {wanted} already")
    if wanted != "champion" and version in (lineup.champion, lineup.previous):
        raise Misuse(f"{lineup.model}/{version} is {known.state}: it can't become {wanted}")


def _freed(lineup: Lineup, version: int) -> Lineup:
    """Take a version from the place that it has."""
    lineup = replace(lineup, shadow=None) if lineup.shadow == version else lineup
    lineup = replace(lineup, canary=None, canary_share=0.0) if lineup.canary == version else lineup
    return replace(lineup, previous=None) if lineup.previous == version else lineup


def _to(lineup: Lineup, states: dict[int, State]) -> Lineup:
    return _with(lineup, {v: replace(lineup.versions[v], state=state) for v, state in states.items()})


def _with(lineup: Lineup, versions: dict[int, Version]) -> Lineup:
    return replace(lineup, versions=lineup.versions | versions, revision=lineup.revision + 1)
