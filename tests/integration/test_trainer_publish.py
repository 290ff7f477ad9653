"""What becomes of a challenger: published once and as configured, or entered as rejected with the reason, once."""

from pathlib import Path
from typing import Any

import pytest

from inference.repository import versions
from streams.errors import BadModel
from streams.rollout import desk as desks
from streams.rollout.desk import Desk
from streams.rollout.lease import LeaseLost
from streams.rollout.pointer import Pointer, PointerMoved
from streams.store.connection import connect
from tests.integration.desks import Office, office
from tests.support import damaged, tiny_ranker, write_version
from training.challenge import Challenger
from training.manifest import read_manifest
from training.trainer import Plan, Result, publish

__all__ = ["office"]
PLAN = Plan(because="a test", began_ms=0, champion=1, made_by={})


def challenger(folder: Path, refused: str | None = None, **more: Any) -> Challenger:
    place = write_version(folder / "ranker", 1, seed=9, **more)
    return Challenger(place, read_manifest(place), refused)


def published(office: Office, one: Challenger, where: str = "shadow", keep: int = 20) -> Result:
    values = {"trainer_publish": where, "trainer_canary_share": 0.25, "trainer_keep": keep}
    settings = office.settings.model_copy(update=values)
    return office.do(lambda desk: publish(desk, one, PLAN, settings), who="trainer")


@pytest.mark.parametrize("where", ["shadow", "canary", "champion"])
def test_it_becomes_what_is_configured_and_only_once(office: Office, tmp_path: Path, where: str) -> None:
    one = challenger(tmp_path)
    result = published(office, one, where)
    lineup = office.lineup()
    assert (result.version, result.state, result.refused) == (2, where, None)
    assert (lineup.shadow, lineup.canary, lineup.champion) == {
        "shadow": (2, None, 1), "canary": (None, 2, 1), "champion": (None, None, 2),
    }[where]  # fmt: skip
    assert lineup.canary_share == (0.25 if where == "canary" else 0)
    assert published(office, one, where) == result
    assert office.lineup() == lineup


def test_a_publication_that_was_cut_off_goes_on(office: Office, tmp_path: Path) -> None:
    one = challenger(tmp_path)
    office.do(lambda desk: desk.publish(str(one.place), None))
    assert (published(office, one).version, office.lineup().shadow) == (2, 2)
    assert set(office.lineup().versions) == {1, 2}


def test_old_versions_go(office: Office, tmp_path: Path) -> None:
    for n in range(3):
        published(office, challenger(tmp_path / str(n), model=tiny_ranker(n)), keep=1)
    assert set(office.lineup().versions) == {1, 3, 4}
    assert (office.served(), versions(office.folder.shelf)) == ([1, 4], [3])


def test_who_is_refused_is_entered_as_rejected_once(office: Office, tmp_path: Path) -> None:
    one = challenger(tmp_path, refused="it forgot")
    result = published(office, one)
    assert (result.version, result.state, result.refused) == (2, "rejected", "it forgot")
    assert office.lineup().versions[2].why == "it forgot"
    assert office.lineup().versions[2].metrics == {"ndcg": 0.25}
    (event,) = office.do(lambda desk: desk.pointer.history())
    assert (event.after, event.why, event.who) == ("rejected", "it forgot", "trainer")
    assert office.folder.where(2) is None
    assert published(office, one) == result
    assert published(office, challenger(tmp_path / "next", model=tiny_ranker(5))).version == 3


def test_who_fails_the_trial_is_told_so(office: Office, tmp_path: Path) -> None:
    constant = damaged(lambda weights: weights * 0)
    result = published(office, challenger(tmp_path, model=constant))
    assert (result.version, result.state) == (2, "rejected")
    assert "no varied probabilities" in str(result.refused)
    assert office.served() == [1]


def test_who_was_refused_by_triton_before_it_was_cut_off_is_refused(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = challenger(tmp_path)

    def too_slow(*_: object) -> None:
        raise BadModel("too slow")

    monkeypatch.setattr(desks, "time_against", too_slow)
    result = published(office, one)
    assert (result.version, result.state, result.refused) == (2, "rejected", "too slow")
    assert published(office, one) == result


def test_who_was_judged_against_another_champion_than_todays_is_not_put_in_its_place(
    office: Office, tmp_path: Path
) -> None:
    one = challenger(tmp_path)
    office.publish(write_version(tmp_path / "other" / "ranker", 2, seed=2))
    office.promote(2)
    with pytest.raises(PointerMoved, match="judged against version 1, but the champion is 2 by now"):
        published(office, one, "champion")
    assert (office.lineup().champion, office.lineup().versions[3].state) == (2, "validated")


def test_without_the_lease_nothing_is_published(office: Office, tmp_path: Path) -> None:
    one, settings = challenger(tmp_path), office.settings

    async def late(desk: Desk) -> Result:
        redis = connect(settings)
        try:
            desk.pointer = Pointer(redis, settings.key_prefix, settings.triton_model, lease=7)
            return await publish(desk, one, PLAN, settings)
        finally:
            await redis.close()

    before = office.lineup()
    with pytest.raises(LeaseLost):
        office.do(late)
    assert office.lineup() == before
