"""Draws with matplotlib into SVG for a page: the same numbers give the same bytes.

Text stays text, and colours become variables of the page's style, so a plot follows light and dark.
"""

import io
import re
from collections.abc import Callable
from typing import Any

from streams.errors import Misuse
from streams.evaluation.report.markup import Html, tag

WIDTH_IN = 5.2
"""Of every plot; at 72 px an inch its text of 10 px is readable on a telephone as it is."""
INK, FAINT = "#010101", "#020202"
"""Stand-ins for the colour of text, and of lines that help."""
SERIES = tuple(f"#0300{number:02x}" for number in range(10))
"""Stand-ins for the colours of what is compared, in order."""
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(SERIES)
}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none", "svg.hashsalt": "streamrank", "text.parse_math": False,
    "font.size": 10, "font.family": ["DejaVu Sans", "sans-serif"], "axes.titlesize": 10, "legend.fontsize": 9,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "xtick.color": FAINT, "ytick.color": FAINT,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.edgecolor": FAINT, "grid.color": FAINT,
    "grid.linewidth": 0.5, "grid.alpha": 0.6, "axes.axisbelow": True, "axes.grid": True, "lines.linewidth": 1.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.formatter.useoffset": False,
}  # fmt: skip
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def need_matplotlib() -> None:
    """Refuse at once what would fail after the run.

    Raises:
        Misuse: matplotlib isn't installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as exc:
        raise Misuse(f"--report needs the package {exc.name}: pip install 'streamrank[evaluate]'") from exc


def plot(name: str, alt: str, draw: Callable[[Any], None], height_in: float = 2.8) -> Html:
    """Return what `draw` draws into a matplotlib `Figure`; `alt` says it for those who don't see it.

    `name` is the plot's own on its page.
    """
    # Only here, as it takes a second and is in an extra.
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(["default", _STYLE]):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        draw(figure)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata=_NO_METADATA)
    return tag("figure", _inline(drawn.getvalue(), name, alt), class_="plot")


def _inline(svg: str, name: str, alt: str) -> Html:
    """Return the element alone, with ids that no other plot of the page has, and the page's colours."""
    inner = svg[svg.index("<svg") :]
    opening, _, rest = inner.partition(">")
    found = re.search(r'viewBox="([^"]+)"', opening)
    box = found[1] if found else ""
    rest = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", rest.rpartition("</svg>")[0])
    for colour, variable in _VARIABLES.items():
        rest = rest.replace(colour, variable)
    return tag("svg", Html(rest), viewBox=box, role="img", aria_label=alt)
