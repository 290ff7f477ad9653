"""HTML that what is shown can't break out of: all that is not `Html` already is escaped.

Ids, titles and names come from logs and catalogues of strangers. Only `tag`, `joined` and the plots make `Html`.
"""

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def joined(*content: object) -> Html:
    """Return the pieces one after the other, escaped but for those that are `Html`."""
    return Html("".join(piece if isinstance(piece, Html) else html.escape(str(piece)) for piece in content))


def tag(element: str, /, *content: object, **attributes: object) -> Html:
    """Return an element; `class_` is the attribute `class`, `aria_label` is `aria-label`.

    >>> tag("b", "<", tag("i", "&"), class_="x")
    '<b class="x">&lt;<i>&amp;</i></b>'
    """
    given = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"' for name, value in attributes.items()
    )
    return Html(f"<{element}{given}>{joined(*content)}</{element}>")


def table(caption: str, head: Sequence[object], rows: Iterable[Sequence[object]]) -> Html:
    """Return a table whose first column names the rows; where the window is narrow it scrolls by itself."""
    heads = tag("tr", *(tag("th", name, scope="col") for name in head))
    body = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    inner = tag("table", tag("caption", caption), tag("thead", heads), tag("tbody", *body))
    return tag("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def terms(pairs: Iterable[tuple[object, object]]) -> Html:
    """Return a list of terms and what they are."""
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", what)) for term, what in pairs))


def section(name: str, title: str, *content: object) -> Html:
    """Return a part of the page with its heading; `name` is its id."""
    return tag("section", tag("h2", title, id=f"{name}-title"), *content, id=name, aria_labelledby=f"{name}-title")


def beside(plot: Html, numbers: Html) -> Html:
    """Return a plot with the table of its numbers at its side, or below where the window is narrow."""
    return tag("div", plot, numbers, class_="beside")
