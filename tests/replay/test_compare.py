"""`streamrank compare` on a synthetic log, whole: what it must find, what it must not, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.cli import run
from streams.errors import Misuse
from streams.evaluation.comparison import Configuration, compare, differing
from streams.evaluation.log import Log
from streams.evaluation.metrics import METRICS
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.run import Asked
from streams.evaluation.run import run as run_protocol
from streams.evaluation.streamrank import Streamrank
from streams.event_log import EVENTS, ITEMS
from streams.retrieval.blend import default_sources
from streams.settings import Settings, load_settings
from tests.replay.weekly_shop import USERS, WEEKS, write_shop

WITHOUT_REPEAT = ",".join(source.name for source in default_sources() if source.name != "repeat")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop(tmp_path_factory.mktemp("weekly") / "shop")


@pytest.fixture
def toml(tmp_path: Path) -> dict[str, str]:
    """Settings files by name: `all` sources, the same `without` repeat, and the defaults."""
    texts = {"all": "candidates = 20\n", "without": f'candidates = 20\nsources = "{WITHOUT_REPEAT}"\n', "default": ""}
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_text(text)
    return {name: str(tmp_path / f"{name}.toml") for name in texts}


def result_of(tmp_path: Path, *words: str) -> dict[str, Any]:
    path = tmp_path / "result.json"
    assert run(["compare", *words, "--json", str(path)]) == 0
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def without_timing(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "timing"}


@pytest.mark.parametrize("protocol", ["next-basket", "holdout-last"])
def test_a_configuration_does_not_differ_from_itself(
    protocol: str, toml: dict[str, str], shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of(tmp_path, toml["all"], toml["all"], str(shop), "--protocol", protocol)
    assert result["a"] == result["b"]
    assert (result["settings"], result["other_slates"], result["verdict"]["b_is"]) == ({}, 0.0, "none")
    nothing = {"difference": 0.0, "interval": [0.0, 0.0], "p_value": 1.0}
    assert result["differences"] == dict.fromkeys((*METRICS, "ceiling"), nothing)
    said = capsys.readouterr().out
    assert "no difference found: A and B show the same slates" in said
    assert "A and B are the same settings" in said


def test_without_its_best_source_it_is_worse_and_with_it_better(
    toml: dict[str, str], shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = result_of(tmp_path, toml["all"], toml["without"], str(shop))
    assert "B is worse than A: ndcg -" in capsys.readouterr().out
    other = result_of(tmp_path, toml["without"], toml["all"], str(shop))
    assert "B is better than A: ndcg +" in capsys.readouterr().out
    assert (one["verdict"]["b_is"], other["verdict"]["b_is"]) == ("worse", "better")
    assert (one["a"], one["b"]) == (other["b"], other["a"])
    for name, found in one["differences"].items():
        assert other["differences"][name]["difference"] == -found["difference"]
        assert found["difference"] == pytest.approx(one["b"][name] - one["a"][name], abs=2e-6)
    assert one["differences"]["ndcg"]["interval"][1] < 0
    assert one["differences"]["ndcg"]["p_value"] < 0.05
    assert "repeat" in one["a"]["sources"]
    assert "repeat" not in one["b"]["sources"]
    assert one["settings"] == {"sources": {"a": [], "b": WITHOUT_REPEAT.split(",")}}


def test_each_side_is_what_simulate_says_of_it(toml: dict[str, str], shop: Path, tmp_path: Path) -> None:
    compared = result_of(tmp_path, toml["all"], toml["without"], str(shop), "--k", "5", "--mask-history")
    for side, name in (("a", "all"), ("b", "without")):
        path = tmp_path / "alone.json"
        assert (
            run(["simulate", str(shop), "--config", toml[name], "--k", "5", "--mask-history", "--json", str(path)]) == 0
        )
        alone = json.loads(path.read_text())
        assert compared[side] == alone["results"]["streamrank"] | {"ceiling": alone["results"]["ceiling"]["recall"]}
        assert {n: compared[n] for n in ("cases", "users", "events")} == {
            n: alone[n] for n in ("cases", "users", "events")
        }


def test_the_same_command_twice_gives_the_same(toml: dict[str, str], shop: Path, tmp_path: Path) -> None:
    words = (toml["all"], toml["without"], str(shop), "--protocol", "prequential", "--sample", "0.2", "--seed", "7")
    once, again = result_of(tmp_path, *words), result_of(tmp_path, *words)
    assert without_timing(once) == without_timing(again)
    assert 0 < once["cases"] < USERS * WEEKS


def test_the_metric_that_decides_is_the_chosen_one(
    toml: dict[str, str], shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = result_of(tmp_path, toml["all"], toml["without"], str(shop), "--metric", "mrr")
    assert result["verdict"]["metric"] == "mrr"
    said = capsys.readouterr().out
    assert "B is worse than A: mrr " in said
    assert "only mrr decides" in said


def test_only_a_worse_one_fails_and_only_if_asked(toml: dict[str, str], shop: Path) -> None:
    assert run(["compare", toml["all"], toml["without"], str(shop), "--fail-if-worse"]) == 1
    assert run(["compare", toml["without"], toml["all"], str(shop), "--fail-if-worse"]) == 0


def test_a_log_that_grows_meanwhile_is_refused(tmp_path: Path) -> None:
    shop, settings = write_shop(tmp_path / "shop"), Settings(candidates=20)
    line = (shop / EVENTS).read_bytes().splitlines(keepends=True)[-1]

    def grow(what: str, done: int) -> None:
        if what == "A: predicting":
            with (shop / EVENTS).open("ab") as log:
                log.write(line.replace(b'"u59"', b'"somebody-new"'))

    sides = Configuration("a", settings), Configuration("b", settings)
    with pytest.raises(Misuse, match="it changed while it was read") as raised:
        compare(shop, *sides, "next-basket", Chosen(), Asked(k=10, seed=1), progress=grow)
    assert str(shop / EVENTS) in str(raised.value)


def test_what_is_loaded_at_first_use_is_not_counted_as_a_slates_time(shop: Path) -> None:
    log, settings = Log(shop), Settings(candidates=20)
    streamrank = Streamrank(settings, log.items(), Configuration("a", settings).ranker())
    outcome = run_protocol(log, PROTOCOLS["next-basket"](Chosen()), streamrank, (), Asked(k=10, seed=1))
    assert len(outcome.answers) == USERS
    assert 0 < outcome.rank_seconds < streamrank.rank_seconds


def test_secrets_that_differ_are_not_told() -> None:
    one, other = Settings(redis_password="one-secret"), Settings(redis_password="other-secret")  # noqa: S106
    assert differing(one, other) == {}
    assert differing(Settings(candidates=7), Settings()) == {"candidates": {"a": 7, "b": 200}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("candidats = 20", "candidats"),
        ("candidates = 0", "candidates"),
        ("candidates = ", "not a TOML file"),
        ('sources = "repeat,horoscope"', "no candidate source 'horoscope'"),
        ('sources = "repeat,repeat"', "named twice"),
        (None, "cannot read the settings file"),
    ],
)
@pytest.mark.parametrize("side", ["A", "B"])
def test_a_wrong_settings_file_is_named_before_anything_runs(
    side: str, text: str | None, said: str, toml: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, result = tmp_path / "wrong.toml", tmp_path / "result.json"
    if text is not None:
        wrong.write_text(text)
    files = [str(wrong), toml["all"]] if side == "A" else [toml["all"], str(wrong)]
    # The log holds neither event nor item, so whoever reads it first complains of something else.
    (tmp_path / EVENTS).write_text("{}\n")
    (tmp_path / ITEMS).write_text("{}\n")
    assert run(["compare", *files, str(tmp_path), "--json", str(result)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert str(wrong) in complaint
    assert said in complaint
    assert not result.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metric", "auc"], "--metric"),
        (["--protocol", "tarot"], "--protocol"),
        (["--k", "0"], "--k"),
        (["--sample", "0"], "--sample"),
        (["--sources", "repeat"], "--sources"),
        (["--strict"], "--strict"),
        (["--split", "2090-01-01T00:00Z"], "nothing to predict"),
    ],
)
def test_wrong_options_are_refused_as_by_simulate(
    words: list[str], said: str, toml: dict[str, str], shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", toml["all"], toml["without"], str(shop), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_log_that_is_not_there_and_a_model_that_is_not_there(
    toml: dict[str, str], shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", toml["all"], toml["all"], str(tmp_path / "no-log")]) == 2
    assert "no-log: no such file or folder" in capsys.readouterr().err
    (tmp_path / "next.toml").write_text("triton_version = 987\n")
    assert run(["compare", toml["all"], str(tmp_path / "next.toml"), str(shop)]) == 1
    assert "987/model.onnx: onnxruntime cannot open it" in capsys.readouterr().err


def test_an_empty_file_is_the_defaults(toml: dict[str, str]) -> None:
    assert load_settings(Path(toml["default"])) == Settings()
