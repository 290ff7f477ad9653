"""The shapes of chart that the report has; each draws plain numbers into a matplotlib `Figure`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from streams.evaluation.report.plots import FAINT, INK, SERIES

Draw = Callable[[Any], None]


def dots(panels: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Draw:
    """Chart of each panel's rows their (mean, low, high), two panels side by side."""

    def draw(figure: Any) -> None:
        axes = figure.subplots((len(panels) + 1) // 2, 2, sharey=True, squeeze=False).flat
        for axis, (title, rows) in zip(axes, panels.items(), strict=False):
            for place, (mean, low, high) in enumerate(rows.values()):
                colour = SERIES[place % len(SERIES)]
                axis.plot([low, high], [place, place], color=colour, linewidth=2.5, solid_capstyle="butt")
                axis.plot([mean], [place], "o", color=colour, markersize=5)
            axis.set(title=title, yticks=range(len(rows)), yticklabels=list(rows), ylim=(len(rows) - 0.5, -0.5))
            axis.set_xlim(left=0)
            axis.locator_params(axis="x", nbins=4)
            axis.grid(axis="y", visible=False)

    return draw


def bars(groups: Sequence[str], rows: Mapping[str, Sequence[float]], label: str) -> Draw:
    """Chart for each group a bar of each row: G groups, and G values a row."""

    def draw(figure: Any) -> None:
        axis, height = figure.subplots(), 0.8 / max(len(rows), 1)
        for place, (name, values) in enumerate(rows.items()):
            at = [number + (place + 0.5) * height - 0.4 for number in range(len(groups))]
            axis.barh(at, values, height * 0.9, color=SERIES[place % len(SERIES)], label=name)
        axis.set(xlabel=label, yticks=range(len(groups)), yticklabels=groups, ylim=(len(groups) - 0.5, -0.5))
        axis.locator_params(axis="x", nbins=6)
        axis.grid(axis="y", visible=False)
        _legend(figure)

    return draw


def over_time(at_ms: Sequence[float], rows: Mapping[str, Sequence[float]], cases: Sequence[int], label: str) -> Draw:
    """Chart each row's values at B moments (ms since 1970), and below how many cases each is made of."""

    def draw(figure: Any) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        at = date2num([datetime.fromtimestamp(moment / 1000, UTC) for moment in at_ms])
        for place, (name, values) in enumerate(rows.items()):
            upper.plot(at, values, ".-", color=SERIES[place % len(SERIES)], label=name)
        lower.bar(at, cases, width=0.7 * min(b - a for a, b in pairwise(at)), color=FAINT)
        upper.set(ylabel=label)
        upper.set_ylim(bottom=0)
        lower.set(ylabel="cases")
        locator = AutoDateLocator(maxticks=6)
        lower.xaxis.set(major_locator=locator, major_formatter=ConciseDateFormatter(locator))
        _legend(figure)

    return draw


def against(points: Sequence[tuple[float, float]], x_label: str, y_label: str) -> Draw:
    """Chart points (x, y), and the line where both are the same."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        most = max((value for point in points for value in point), default=1.0) * 1.05 or 1.0
        axis.plot([0, most], [0, most], "--", color=INK, linewidth=1)
        axis.plot([x for x, _ in points], [y for _, y in points], "o-", color=SERIES[0])
        axis.set(xlabel=x_label, ylabel=y_label, xlim=(0, most), ylim=(0, most))
        axis.locator_params(nbins=6)

    return draw


def stack(places: Sequence[int], rows: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> Draw:
    """Chart for each of P places the rows' values (P,) on top of each other."""

    def draw(figure: Any) -> None:
        axis, below = figure.subplots(), [0.0] * len(places)
        for number, (name, values) in enumerate(rows.items()):
            axis.bar(places, values, 0.85, below, color=SERIES[number % len(SERIES)], label=name)
            below = [low + value for low, value in zip(below, values, strict=True)]
        axis.set(xlabel=x_label, ylabel=y_label)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(axis="x", visible=False)
        _legend(figure)

    return draw


def histogram(values: Sequence[float], x_label: str, y_label: str) -> Draw:
    """Chart how often values are how large."""

    def draw(figure: Any) -> None:
        axis = figure.subplots()
        axis.hist(values, 30, color=SERIES[0])
        axis.set(xlabel=x_label, ylabel=y_label)
        axis.set_xlim(left=0)

    return draw


def _legend(figure: Any) -> None:
    handles, _ = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
