"""What docs/feedback.md and docs/online.md say of numbers, outcomes and messages is what they are."""

import math
import re
from pathlib import Path

from streams.contracts.models import decode_said
from streams.demo.shopper import FADES
from streams.online import blend, follow, process, terms, versions
from streams.online.drift import WARM_UP
from streams.online.join import CLOSED_BY_RECORD, CLOSED_BY_TICK, MAX_OPEN
from streams.online.learner import SIGNALS, Learner
from streams.online.snapshot import CATEGORIES, ITEMS
from streams.pipeline import CACHED_LEDGERS
from streams.settings import Settings

ROOT = Path(__file__).parents[3]
FEEDBACK = (ROOT / "docs" / "feedback.md").read_text("utf-8")
ONLINE = (ROOT / "docs" / "online.md").read_text("utf-8")
WORDS = {2: "two", 3: "three", 5: "five", 6: "six", 100: "hundred"}


def test_every_outcome_that_is_counted_is_told() -> None:
    sources = "".join((ROOT / "streams" / name).read_text("utf-8") for name in ("online/join.py", "fold_batch.py"))
    assert set(re.findall(r"^\| `(\w+)` \|", FEEDBACK, re.MULTILINE)) == set(re.findall(r'"feedback_(\w+)"', sources))


def test_the_numbers_of_the_join_are_told() -> None:
    minutes = Settings.model_fields["attribution_window_s"].default / 60
    assert f"`attribution_window_s` ({minutes:g} minutes)" in FEEDBACK
    assert f"its user has {MAX_OPEN} newer ones open" in FEEDBACK
    assert f"One event closes {WORDS[CLOSED_BY_RECORD]} of them, a tick a {WORDS[CLOSED_BY_TICK]}" in FEEDBACK
    assert f"The {CACHED_LEDGERS:,} ledgers used last" in FEEDBACK
    assert f"1/(1 + {FADES} p)" in FEEDBACK


def test_the_numbers_of_the_learner_are_told() -> None:
    assert f"{ITEMS:,} items and {CATEGORIES:,} categories have a residual" in ONLINE
    assert f"{WORDS[len(terms.STAND_IN)]} features" in ONLINE
    assert f"{WORDS[len(blend.WEIGHTS)].capitalize()} experts" in ONLINE
    assert f"at most {-math.log(blend.PRIOR[0]):.2f} + T/{1 / blend.SWITCH:,.0f} nats" in ONLINE
    assert f"{-math.log(blend.PRIOR[-1]):.1f} + T/{1 / blend.SWITCH:,.0f}" in ONLINE
    assert f"The first {WARM_UP} values" in ONLINE
    assert f"drift, {len(SIGNALS)} signals watched" in ONLINE
    assert f"{WORDS[versions.KEPT]} snapshots stay" in ONLINE
    assert "half a second" in ONLINE
    assert process.PUBLISH_S == 0.5
    assert f"{WORDS[round(1 / follow.POLL_S)]} times a second" in ONLINE
    assert {"refused", "lost"} <= {*Learner("ranker").counts} & {*re.findall(r"`(\w+)`", ONLINE)}


def test_the_message_of_a_drift_can_be_read() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", ONLINE, re.DOTALL)
    assert decode_said(block.encode()).model == "ranker"


def test_files_and_links_are_there() -> None:
    for text in (FEEDBACK, ONLINE):
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / "docs" / link).exists(), link
        for name in re.findall(r"`(streams/[\w/.]+)`", text):
            assert (ROOT / name).exists(), name
