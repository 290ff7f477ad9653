"""Whatever comes and goes, and is cut off wherever: a reader of the lake sees each offset once, in order."""

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.lake import upkeep
from streams.lake.archive import archive
from streams.lake.files import LakeFiles
from streams.lake.parts import Part, Stream, lost, part_of
from tests.unit.building import DAY, T0
from tests.unit.lake.memory import TODAY, Killed, Mortal, Topic, lake, places

PARTITIONS = 2
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, PARTITIONS - 1), st.integers(0, 2)),
        st.tuples(st.just("hole"), st.integers(0, PARTITIONS - 1)),
        st.tuples(st.sampled_from(["archive", "compact", "sweep"]), st.integers(0, 6)),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS)
def test_each_offset_is_seen_once(steps: list[tuple[str, int, int]]) -> None:
    topic = Topic(PARTITIONS)
    with tempfile.TemporaryDirectory() as folder:
        files = lake(Path(folder))
        for what, *numbers in steps:
            if what == "add":
                topic.add(numbers[0], {"type": "click", "user_id": "u"}, T0 + DAY * numbers[1])
            elif what == "hole":
                topic.hole(numbers[0])
            else:
                mortal = Mortal(folder, numbers[0])
                with suppress(Killed):
                    _do(what, mortal, topic)
            seen = places(files)
            assert len(seen) == len(set(seen))
            assert set(seen) <= topic.there()
        _do("sweep", files, topic)
        _do("archive", files, topic)
        _do("compact", files, topic)
        seen = places(files)
        assert sorted(seen) == sorted(topic.there())
        for partition in range(PARTITIONS):
            offsets = [offset for p, offset in seen if p == partition]
            assert offsets == sorted(offsets)
        assert lost(files.parts()) == 0


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=12))
def test_what_is_lost_is_counted(steps: list[tuple[int, int]]) -> None:
    """Between passes some records come and some go: all that was between the first and the last is there or counted."""
    topic, counted = Topic(1), 0
    with tempfile.TemporaryDirectory() as folder:
        files = lake(Path(folder))
        for come, go in steps:
            for _ in range(come):
                topic.add(0, {"type": "click", "user_id": "u"})
            topic.low[0] = min(topic.low[0] + go, topic.ends[0])
            counted += archive(files, "events", topic, TODAY).lost
            upkeep.compact(files, TODAY)
        seen = [offset for _, offset in places(files)]
        span = seen[-1] - seen[0] + 1 if seen else 0
        assert len(seen) + counted == span
        assert lost(files.parts()) == counted


@given(
    st.text(st.characters(codec="utf-8"), min_size=1),
    st.integers(0, 99_999),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**63 - 1),
)
def test_a_file_is_known_by_its_name(topic_id: str, partition: int, first: int, last: int) -> None:
    part = Part(Stream("events", topic_id, partition), TODAY, first, last)
    assert part_of(part.path) == part


def _do(what: str, files: LakeFiles, topic: Topic) -> None:
    if what == "archive":
        archive(files, "events", topic, TODAY)
    elif what == "compact":
        upkeep.compact(files, TODAY)
    else:
        upkeep.sweep(files)
