"""Users' sequences: every place once, parts that end where lists begin, rows that overlap."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from inference.tensors import MAX_ID
from streams.errors import Misuse
from streams.evaluation.base import Signal
from streams.features.item import digest_of
from training.sequences import Part, Sequences


def signals(text: str) -> list[Signal]:
    """Return signals of words like `ua`: user u went for item a."""
    return [Signal(word[0], word[1:], n, "click", str(n)) for n, word in enumerate(text.split())]


def plain(sequences: Sequences, part: Part = "whole") -> list[list[int]]:
    ends = sequences.offsets[1:] if part == "whole" else sequences.offsets[:-1] + getattr(sequences, part)
    return [sequences.items[a:b].tolist() for a, b in zip(sequences.offsets[:-1], ends, strict=True)]


def test_users_sequences_are_in_the_order_of_the_log() -> None:
    made = Sequences.of(signals("ua vb uc vb ub va uc"))
    assert made.users == 2
    assert plain(made) == [[0, 2, 1, 2], [1, 0]]
    assert made.ids.tolist() == [digest_of(item) % MAX_ID + 1 for item in "abc"]
    assert (made.items.dtype, made.ids.dtype) == (np.int32, np.int32)


def test_an_item_that_follows_itself_is_one_place() -> None:
    made = Sequences.of(signals("ua ua va ub ua ua"))
    assert plain(made) == [[0, 1, 0], [0]]


@pytest.mark.parametrize("until", range(1, 8))
@pytest.mark.parametrize("part", ["early", "late"])
def test_a_part_is_what_came_before(until: int, part: Part) -> None:
    log = signals("ua vb ua uc vb ub va")
    made = Sequences.of(log, until, 9) if part == "early" else Sequences.of(log, 0, until)
    before = {user: items for user, items in zip("uv", plain(made, part), strict=True) if items}
    seen = Sequences.of(log[:until])
    assert list(before.values()) == plain(seen)
    whole = Sequences.of(log)
    assert plain(made) == plain(whole)


@pytest.mark.parametrize("size", [0, 1, 2, 19, 20, 21, 49, 50, 51, 80, 81, 400])
def test_rows_hold_every_step_of_a_sequence_with_its_context(size: int) -> None:
    length, context = 50, 20
    made = Sequences.of((Signal("u", f"i{n}", n, "click", "") for n in range(size + 1)), size)
    rows, wanted = made.windows(length, context, part="early")
    assert rows.shape[1:] == (length,)
    assert sorted(rows[wanted].tolist()) == list(range(1, size)), "all but the first is to be predicted, once"
    for row, predicted in zip(rows, wanted, strict=True):
        places = row[row >= 0]
        assert np.all(row[len(places) :] == -1), "padding is behind"
        assert np.all(np.diff(places) == 1), "no place is left out"
        for at in np.flatnonzero(predicted).tolist():
            assert at >= min(places[at], context), "known by its whole context"
    assert len(made.windows(length, context, part="whole")[0]) >= len(rows)


def test_rows_of_different_users_dont_mix() -> None:
    made = Sequences.of(signals("ua vb uc vd ue vf"))
    rows, _ = made.windows(4, 2, part="whole")
    assert [row[row >= 0].tolist() for row in rows] == plain(made)


def test_items_that_share_a_hash_stay_two_items() -> None:
    """No two are known to collide, so one is made: what counts is that places are numbers, not hashes."""
    made = Sequences.of(signals("ua ub"))
    made.ids[:] = 7
    assert made.windows(4, 2, part="whole")[0].tolist() == [[0, 1, -1, -1]]


def test_they_come_back_from_a_file_and_a_damaged_one_is_one_sentence(tmp_path: Path) -> None:
    made = Sequences.of(signals("ua vb uc"), 2, 3)
    made.save(tmp_path / "sequences.npz")
    again = Sequences.load(tmp_path / "sequences.npz")
    assert all(np.array_equal(getattr(again, one.name), getattr(made, one.name)) for one in fields(Sequences))
    whole = (tmp_path / "sequences.npz").read_bytes()
    for damaged in (b"", whole[:100], whole[:-1]):
        (tmp_path / "sequences.npz").write_bytes(damaged)
        with pytest.raises(Misuse, match=r"sequences\.npz: cannot read the sequences"):
            Sequences.load(tmp_path / "sequences.npz")


def test_no_signal_at_all_is_one_sentence() -> None:
    with pytest.raises(Misuse, match="nothing to learn from: there is no signal"):
        Sequences.of([])
