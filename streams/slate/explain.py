"""Why an item is in a slate, in words a shop can show."""

from streams.features.encode import Candidates
from streams.features.item import Catalogue

_REASONS = {
    "repeat": "bought before",
    "covisit": "often chosen with {title}",
    "trending_category": "trending in its category",
    "trending": "trending now",
    "popular": "popular",
    "new": "new",
    "catalogue": "from the catalogue",
    "title": "matches the search",
    "request": "given by the caller",
}


def reason(source: str, candidates: Candidates, place: int, catalogue: Catalogue) -> str:
    """Return the reason of the candidate at `place`."""
    text = _REASONS.get(source, source)
    because = int(candidates.because[place])
    title = (catalogue.titles[because] or catalogue.ids[because]) if because >= 0 else ""
    return text.format(title=title)
