"""The report shows what came, escaped, the same each time, and needs nothing but itself."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.evaluation.base import Case
from streams.evaluation.meanings import MEANINGS
from streams.evaluation.report import page, slates
from streams.evaluation.report.markup import Html, joined, tag
from streams.evaluation.report.samples import SIZE, drawn
from streams.evaluation.run import Outcome
from streams.evaluation.streamrank import Answer
from tests.reports import HOSTILE, ITEMS, QUOTES, SCRIPT, USERS, hostile_page, simulated, simulated_once

SECTIONS = [
    "policies", "time", "users", "items", "probabilities", "sources", "samples", "meanings", "run", "timing",
]  # fmt: skip


class Parsed(HTMLParser):
    """The elements, attributes and text of a page, as a browser finds them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.sections: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(name)
        self.attributes += [(key, value or "") for key, value in attributes]
        if name == "section":
            self.sections.append(dict(attributes)["id"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def parsed() -> Parsed:
    return Parsed(hostile_page())


def without_timing(source: str) -> str:
    return re.sub(r'<section id="timing".*?</section>', "", source, flags=re.DOTALL)


def test_all_sections_are_there(parsed: Parsed) -> None:
    assert parsed.sections == SECTIONS
    assert parsed.elements.count("svg") == len(SECTIONS) - 3  # samples, meanings and run are words


def test_nothing_of_a_log_becomes_an_element_or_an_attribute(parsed: Parsed) -> None:
    assert not {"script", "img", "b", "iframe", "object"} & set(parsed.elements)
    assert not [name for name, _ in parsed.attributes if name.startswith("on")]
    for text in (f"Title of {SCRIPT}", f"Title of {QUOTES}", "Title of $title ${parts}", "Title of a&amp;b"):
        assert text in parsed.text
    assert any(user in parsed.text for user in USERS)
    assert f"streamrank simulate '{SCRIPT}'" in parsed.text
    assert QUOTES in parsed.text


def test_nothing_is_fetched(parsed: Parsed) -> None:
    fetched = [value for name, value in parsed.attributes if name in ("src", "href", "xlink:href", "srcset", "action")]
    fetched += re.findall(r"url\(([^)]*)\)", hostile_page()) + re.findall(r"@import (.*)", hostile_page())
    assert fetched
    assert not [target for target in fetched if not target.startswith(("#", "data:,"))]
    assert any(name == "content" and value.startswith("default-src 'none';") for name, value in parsed.attributes)


def test_ids_are_unique_and_references_find_theirs(parsed: Parsed) -> None:
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = {value[1:] for name, value in parsed.attributes if name == "xlink:href"}
    assert used
    assert used <= set(ids)


def test_every_plot_says_what_it_shows(parsed: Parsed) -> None:
    source = hostile_page()
    assert source.count('role="img" aria-label="') == parsed.elements.count("svg")
    assert "#0300" not in source  # a stand-in for a colour that no style would know
    assert "var(--series-4)" in source


def test_the_same_run_gives_the_same_page_but_for_the_timing() -> None:
    again = simulated()
    assert again.outcome.slate_ms != simulated_once().outcome.slate_ms
    again = replace(again, log=simulated_once().log)  # whose name says that of a temporary folder
    assert without_timing(page(again, HOSTILE)) == without_timing(hostile_page())


def test_every_metric_of_a_result_is_explained(parsed: Parsed) -> None:
    metrics = set(simulated_once().result["results"]["streamrank"]) - {
        "intervals",
        "by_user_group",
        "by_item_group",
        "sources",
    }
    assert metrics <= set(MEANINGS)
    assert all(MEANINGS[metric] in parsed.text for metric in metrics)


def test_the_numbers_are_those_of_the_result(parsed: Parsed) -> None:
    for row in simulated_once().result["results"].values():
        low, high = row["intervals"]["recall"]
        assert f"{row['recall']:.4f} {low:.4f} to {high:.4f}" in parsed.text


def test_cases_of_one_moment_have_no_part_over_time() -> None:
    assert Parsed(page(simulated(step_ms=1000), HOSTILE)).sections == [name for name in SECTIONS if name != "time"]


def test_a_slate_costs_time_and_says_why() -> None:
    outcome = simulated("holdout-last").outcome
    assert len(outcome.slate_ms) == len(outcome.answers)
    assert min(outcome.slate_ms) > 0
    assert sum(outcome.slate_ms) == pytest.approx(1000 * outcome.rank_seconds)
    assert all(len(answer.reasons) == len(answer.items) for answer in outcome.answers)
    assert any("bought before" in answer.reasons for answer in outcome.answers)


def test_slates_without_probabilities_or_items_are_reported_as_such() -> None:
    outcome = Outcome(cases=[Case("u", 0, (), ("a",))], answers=[Answer([], [], [], 0.0)])
    assert "there are none" in slates.probabilities(outcome, {})
    assert "svg" in slates.sources(outcome, 2)


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60), st.integers(0, 5))
def test_samples_are_of_different_users_half_of_them_hits(drawn_cases: list[tuple[int, bool]], seed: int) -> None:
    cases = [Case(f"u{user}", 0, (), ("a",)) for user, _ in drawn_cases]
    answers = [Answer(["a" if hit else "b"], ["s"], [], 1.0) for _, hit in drawn_cases]
    chosen = drawn(cases, answers, seed)
    assert chosen == drawn(cases, answers, seed)
    assert len({cases[n].user_id for n in chosen}) == len(chosen) == min(SIZE, len({user for user, _ in drawn_cases}))
    hits = [drawn_cases[n][1] for n in chosen]
    assert hits == sorted(hits, reverse=True)


def test_hits_and_misses_are_drawn_in_equal_parts_where_there_are_enough() -> None:
    cases = [Case(f"u{n}", 0, (), ("a",)) for n in range(100)]
    answers = [Answer(["a" if n % 5 == 0 else "b"], ["s"], [], 1.0) for n in range(100)]
    assert sum(n % 5 == 0 for n in drawn(cases, answers, 1)) == SIZE // 2
    assert drawn(cases, answers, 1) != drawn(cases, answers, 2)


@given(st.text(), st.sampled_from(ITEMS))
def test_content_is_read_back_as_it_was(text: str, item: str) -> None:
    """What HTML itself can't say (NUL, carriage return) is not looked at."""
    plain = re.sub(r"[\x00\r]", "", text) + item
    found = Parsed(tag("p", plain, aria_label=plain))
    assert (found.text, found.elements, dict(found.attributes)) == (plain, ["p"], {"aria-label": plain})
    assert joined(Html("<b>"), "<b>") == "<b>&lt;b&gt;"
