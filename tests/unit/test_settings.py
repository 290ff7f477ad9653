import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.errors import Misuse
from streams.settings import ENV_PREFIX, Settings, load_settings

SECRET = "hunter2-do-not-print"  # noqa: S105 (what must not be printed)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "streamrank.toml"
    path.write_text('partitions = 8\nkafka_group = "file"\npush_on = ["click"]\n')
    return path


def test_defaults_need_nothing() -> None:
    assert load_settings() == Settings()
    assert load_settings().partitions == 32


def test_flags_over_environment_over_file_over_defaults(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(toml).partitions == 8
    assert load_settings(toml).push_on == {"click"}
    assert load_settings(toml).candidates == 200
    monkeypatch.setenv("STREAMRANK_PARTITIONS", "4")
    assert load_settings(toml).partitions == 4
    assert load_settings(toml).kafka_group == "file"
    assert load_settings(toml, partitions=2).partitions == 2


def test_the_file_may_be_named_in_the_environment(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMRANK_CONFIG", str(toml))
    assert load_settings().partitions == 8


def test_arguments_are_stronger_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMRANK_PARTITIONS", "4")
    assert Settings(partitions=2).partitions == 2


def test_a_list_in_the_environment_has_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMRANK_PUSH_ON", "click, cart")
    assert load_settings().push_on == {"click", "cart"}
    monkeypatch.setenv("STREAMRANK_PUSH_ON", "click,wink")
    with pytest.raises(Misuse, match="push_on"):
        load_settings()


def test_an_unknown_variable_is_misuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMRANK_PARTITION", "4")
    with pytest.raises(Misuse, match="STREAMRANK_PARTITION: no such setting; did you mean STREAMRANK_PARTITIONS"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("partition = 8", "partition: Extra inputs"),
        ("partitions = 0", "partitions: "),
        ("partitions =", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_misuse_that_names_file_and_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(Misuse) as caught:
        load_settings(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="cannot read the settings file"):
        load_settings(tmp_path / "nowhere.toml")


def test_several_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMRANK_PARTITIONS", "many")
    monkeypatch.setenv("STREAMRANK_KAFKA_SECURITY", "NONE")
    with pytest.raises(Misuse, match=r"kafka_security: .*partitions: |partitions: .*kafka_security: ") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_no_error_tells_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STREAMRANK_KAFKA_PASSWORD", SECRET)
    monkeypatch.setenv("STREAMRANK_KAFKA_SECURITY", "SASL_SSL")
    with pytest.raises(Misuse, match="needs kafka_username") as incomplete:
        load_settings()
    path = tmp_path / "wrong.toml"
    path.write_text(f'redis_password = ["{SECRET}"]\nredis_ulr = "{SECRET}"\n')
    with pytest.raises(Misuse, match="redis_password") as mistyped:
        load_settings(path)
    for caught in (incomplete, mistyped):
        assert SECRET not in str(caught.value)


def test_no_secret_is_in_the_text_of_the_settings() -> None:
    settings = load_settings(
        kafka_password=SECRET, redis_password=SECRET, redis_url=f"redis://:{SECRET}@127.0.0.1:6379/0"
    )
    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}"):
        assert SECRET not in text


def test_settings_dont_change() -> None:
    with pytest.raises(ValidationError):
        Settings().partitions = 3  # type: ignore[misc]


def test_the_kafka_connection_in_librdkafkas_names() -> None:
    assert load_settings().kafka_client_config() == {
        "bootstrap.servers": "127.0.0.1:9092",
        "security.protocol": "PLAINTEXT",
    }
    sasl = load_settings(kafka_security="SASL_SSL", kafka_username="me", kafka_password=SECRET, kafka_ca_file="ca.pem")
    assert sasl.kafka_client_config() == {
        "bootstrap.servers": "127.0.0.1:9092", "security.protocol": "SASL_SSL", "ssl.ca.location": "ca.pem",
        "sasl.mechanism": "PLAIN", "sasl.username": "me", "sasl.password": SECRET,
    }  # fmt: skip


@pytest.mark.parametrize("prefix", ["shop a.", "ü", "{1}", "x" * 65])
def test_a_prefix_is_part_of_a_topic_name(prefix: str) -> None:
    with pytest.raises(Misuse, match="topic_prefix"):
        load_settings(topic_prefix=prefix)
    assert load_settings(topic_prefix="shop-").topic("events") == "shop-events"


def test_segments_that_are_not_explored_are_kinds_or_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMRANK_EXPLORE_OFF", "search, page=checkout")
    assert load_settings().explore_off == {"search", "page=checkout"}
    for wrong in ("serach", "page=", "=home"):
        monkeypatch.setenv("STREAMRANK_EXPLORE_OFF", wrong)
        with pytest.raises(Misuse, match=f"explore_off: .*{wrong}.* is neither one of for_you"):
            load_settings()


@pytest.mark.parametrize(
    ("name", "value"), [("explore_share", 1.5), ("explore_temperature", 0.0), ("explore_bonus", -1)]
)
def test_exploration_stays_within_what_can_be_drawn(name: str, value: float) -> None:
    with pytest.raises(Misuse, match=name):
        load_settings(**{name: value})
