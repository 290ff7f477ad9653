"""Why an item is in a slate, in words a shop can show."""

from streams.features.item import Catalogue

_REASONS = {
    "repeat": "bought before",
    "covisit": "often chosen with {title}",
    "trending_category": "trending in its category",
    "trending": "trending now",
    "popular": "popular",
    "new": "new",
    "semantic": "like {title}",
    "catalogue": "from the catalogue",
    "title": "matches the search",
    "request": "given by the caller",
}


def reason(source: str, because: int, catalogue: Catalogue) -> str:
    """Return the reason of a candidate of `source`; `because` is the item that led there, or -1."""
    text = _REASONS.get(source, source)
    return text if because < 0 else text.format(title=catalogue.titles[because] or catalogue.ids[because])
