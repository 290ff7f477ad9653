"""The page of a simulation, from its parts and `page.html`.

It loads nothing and runs nothing: its content security policy forbids a browser what escaping should have prevented.
Two runs of the same command give the same bytes, the section `timing` aside.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Any

from streams.evaluation.meanings import CEILING, INTERVAL, MEANINGS
from streams.evaluation.report import results, slates
from streams.evaluation.report.markup import Html, joined, section, tag, terms
from streams.evaluation.report.samples import samples
from streams.evaluation.simulation import Simulation
from streams.evaluation.streamrank import Streamrank

HEADLINE = "ndcg"


@dataclass(frozen=True, slots=True)
class Told:
    """What the report says of the run: the command line that repeats it, and its parameters by name. No secrets."""

    command: str
    parameters: Mapping[str, object]


def page(simulation: Simulation, told: Told) -> str:
    """Return the HTML of the whole report."""
    result, outcome = simulation.result, simulation.outcome
    k, rows = result["k"], result["results"]
    rankings = {Streamrank.name: [answer.items for answer in outcome.answers]} | outcome.rankings
    parts = [
        results.by_policy(rows, k),
        results.over_time(outcome.cases, rankings, k),
        *results.by_group(rows),
        slates.probabilities(outcome, rows[Streamrank.name]),
        slates.sources(outcome, k),
        samples(outcome.cases, outcome.answers, simulation.titles, result["seed"]),
        _meanings(rows),
        _run(simulation, told),
        slates.timing(outcome, result["timing"]),
    ]
    log = simulation.log.path.parent.name + "/" + simulation.log.path.name
    template = Template(files(__package__).joinpath("page.html").read_text("utf-8"))
    title = joined(f"{result['protocol']} on {log}")
    return template.substitute(title=title, summary=_summary(result), parts=joined(*parts))


def _summary(result: Mapping[str, Any]) -> Html:
    rows, k = result["results"], result["k"]
    own = rows[Streamrank.name]
    simple = {name: row[HEADLINE] for name, row in rows.items() if name != Streamrank.name and HEADLINE in row}
    best = max(simple, key=lambda name: simple[name])
    low, high = own["intervals"][HEADLINE]
    return tag(
        "p",
        f"Streamrank's {HEADLINE} at {k} is ", tag("strong", results.number(own[HEADLINE])),
        f" ({results.number(low)} to {results.number(high)}). The best simple policy, {best}, has ",
        tag("strong", results.number(simple[best])),
        f". {result['cases']:,} cases of {result['users']:,} users, k = {k}, {result['events']:,} events learned.",
    )  # fmt: skip


def _meanings(rows: Mapping[str, Mapping[str, Any]]) -> Html:
    """Return what each metric of the results means."""
    there = [(name, meaning) for name, meaning in MEANINGS.items() if any(name in row for row in rows.values())]
    return section("meanings", "What the figures mean", terms([*there, ("ceiling", CEILING), ("interval", INTERVAL)]))


def _run(simulation: Simulation, told: Told) -> Html:
    """Return what was run, on what, and how to run it again."""
    result = simulation.result
    heuristic = result["results"].get("heuristic", {}).get("parameters", {})
    left_out = result["left_out"]
    facts = [
        ("lines left out, no event", f"{left_out['no_event']:,}"),
        ("events left out, repeated", f"{left_out['repeated']:,}"),
        ("events late", f"{result['late']:,}"),
        ("heuristic", ", ".join(f"{name} {value:g}" for name, value in heuristic.items())),
    ]
    again = tag("pre", tag("code", told.command), tabindex=0, aria_label="The command line")
    return section("run", "How to run it again", again, terms([*told.parameters.items(), *facts]))
