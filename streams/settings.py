"""All settings of a process: read once in the entry point, checked, frozen, and passed down.

Sources, strongest first: `STREAMRANK_*` environment variables, a TOML file (`--config`, or the path in
`STREAMRANK_CONFIG`), the defaults below. Secrets are `SecretStr`: they never appear in a log or an error.
"""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from streams.contracts.events import Kind
from streams.errors import Misuse

ENV_PREFIX = "STREAMRANK_"
SHIPPED_MODELS = Path(__file__).resolve().parents[1] / "triton_models"
"""The models that come with Streamrank: one folder a model, and `backends`."""
Prefix = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{0,64}$")]


class Settings(BaseSettings):
    """Settings of every Streamrank process; each field is also the environment variable STREAMRANK_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    # Kafka
    kafka_bootstrap: str = "127.0.0.1:9092"
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None
    kafka_group: str = "streamrank"
    kafka_instance_id: str | None = Field(None, description="static membership, if set")
    kafka_session_timeout_s: float = Field(10.0, gt=0)
    kafka_fetch_max_wait_ms: int = Field(10, ge=1, description="how long a fetch may wait for data")
    topic_prefix: Prefix = ""
    partitions: int = Field(32, ge=1, le=4096, description="of every topic keyed by user; cannot change")
    replication: int = Field(1, ge=1)

    # Redis
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    redis_username: str | None = None
    redis_password: SecretStr | None = None
    redis_cluster: bool = False
    redis_ca_file: Path | None = None
    redis_timeout_s: float = Field(2.0, gt=0)
    key_prefix: Prefix = ""

    # Triton
    triton_address: str = "127.0.0.1:8001"
    triton_ssl: bool = False
    triton_ca_file: Path | None = None
    triton_cert_file: Path | None = None
    triton_key_file: Path | None = None
    triton_model: str = "ranker"
    triton_version: int = Field(1, ge=1, description="served before the first `models` command")
    triton_repository: Path | None = Field(None, description="the model repository that Triton serves, for `models`")
    triton_timeout_s: float = Field(0.1, gt=0, description="after which a simpler ranker answers")
    encoder: Path | None = Field(None, description="the encoder's model folder; without one no text has a code")
    encoder_version: int = Field(1, ge=1)
    models: Path = Field(SHIPPED_MODELS, description="the model folders that `simulate` and `compare` rank with")

    # The trainer, and the lake that it keeps
    lake: str | None = Field(None, description="its folder, or any URL that fsspec knows")
    lake_days: int = Field(90, ge=1, le=36_500, description="what is older goes")
    trainer: bool = Field(False, description="`up` starts a trainer, too")
    trainer_folder: Path = Field(Path("runs/trainer"), description="where it works")
    trainer_archive_every_s: float = Field(60.0, gt=0, description="between two passes of the lake")
    trainer_cron: str | None = Field(None, description="when to train, in UTC, as `0 3 * * *`")
    trainer_labels: int | None = Field(None, ge=1, description="train after so many new outcomes in `feedback`")
    trainer_on_drift: bool = Field(True, description="train when a drift is told on `models`")
    trainer_rest_s: float = Field(3_600.0, ge=0, description="after a run, before labels or drift start another")
    trainer_window_days: float = Field(28.0, gt=0, description="what is learned, before the newest slice")
    trainer_newest_days: float = Field(1.0, gt=0, description="what judges")
    trainer_replay: float = Field(0.2, ge=0, le=1, description="share of the lists that is older than the window")
    trainer_margin: float = Field(0.002, ge=0, le=1, description="NDCG that a challenger may surely not lose")
    trainer_forgetting: float = Field(0.01, ge=0, le=1, description="NDCG that it may lose on an old slice")
    trainer_publish: Literal["shadow", "canary", "champion"] = "shadow"
    trainer_canary_share: float = Field(0.05, gt=0, lt=1)
    trainer_keep: int = Field(20, ge=1, description="versions that don't serve, and stay when a run has ended")
    trainer_recipe: Path | None = Field(None, description="TOML file of a recipe, as for `train`")

    # What is served
    candidates: int = Field(200, ge=1, le=1000, description="how many candidates the ranker scores")
    sources: Annotated[tuple[str, ...], NoDecode] = Field((), description="candidate sources, by name; all if empty")
    explore_share: float = Field(0.0, ge=0, le=1, description="share of a slate's slots that are drawn; 0 is off")
    explore_temperature: float = Field(0.2, ge=0.05, le=100, description="less prefers the best, more evens out")
    explore_bonus: float = Field(1.0, ge=0, le=100, description="worth of no evidence, in scores of the best")
    explore_off: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="kinds of requests, or key=value of their context, that are not explored"
    )
    online: bool = Field(True, description="what `streamrank learner` learned has a say in the scores")
    push_on: Annotated[frozenset[Literal["click", "cart", "purchase", "search"]], NoDecode] = frozenset()
    push_every_ms: int = Field(5_000, ge=0, description="at most one pushed slate a user in that time")
    max_future_ms: int = Field(86_400_000, ge=0, description="how far `at_ms` may lie after Kafka's time")

    # What becomes of it
    attribution_window_s: float = Field(
        1_800, ge=0, le=7 * 86_400, description="how long after a slate a click or cart is its outcome; 0: no join"
    )
    purchase_window_s: float | None = Field(
        None, gt=0, le=7 * 86_400, description="the same for a purchase; attribution_window_s if not set"
    )

    # The canary's trial
    canary_alpha: float = Field(0.05, gt=0, lt=1, description="how probable a wrong answer may be, however often asked")
    canary_click_margin: float = Field(0.05, gt=0, lt=1, description="share of the click rate a promotion may cost")
    canary_purchase_margin: float = Field(0.1, gt=0, lt=1, description="share of the purchase rate it may cost")
    canary_least_slates: int = Field(1_000, ge=100, description="of each arm, before anything is said")
    canary_most_slates: int = Field(500_000, ge=1_000, description="of the canary; undecided then, it is rolled back")

    # The worker
    batch_events: int = Field(2_000, ge=1, description="at most so many events a micro-batch")
    cached_users: int = Field(200_000, ge=1, description="decoded user states kept in the process")
    state_ttl_s: int = Field(430 * 86_400, ge=86_400, description="Redis EXPIRE of a user's state")
    snapshot_every_ms: int = Field(400, ge=1, description="how old the counters of readers may be")
    snapshot_every_events: int | None = Field(None, ge=1, description="for tests: refresh by count")
    tick_after_ms: int = Field(5_000, ge=100, description="silence after which a partition gets a tick")
    metrics_port: int | None = Field(None, ge=0, le=65535, description="Prometheus, on loopback")

    @field_validator("trainer_cron")
    @classmethod
    def _cron_is_one(cls, value: str | None) -> str | None:
        if value is not None and len(value.split()) != 5:
            raise ValueError("takes five fields: minute, hour, day of the month, month, day of the week")
        return value

    @field_validator("push_on", "sources", "explore_off", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return [name for part in value.split(",") if (name := part.strip())] if isinstance(value, str) else value

    @field_validator("explore_off")
    @classmethod
    def _segments(cls, value: frozenset[str]) -> frozenset[str]:
        for segment in sorted(value):
            if segment not in get_args(Kind) and not all(segment.partition("=")):
                raise ValueError(f"{segment!r} is neither one of {', '.join(get_args(Kind))} nor key=value")
        return value

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> "Settings":
        if self.kafka_security.startswith("SASL") and not (self.kafka_username and self.kafka_password):
            raise ValueError(f"kafka_security {self.kafka_security} needs kafka_username and kafka_password")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the arguments, which `load_settings` has merged, above the environment; read nothing else."""
        return (init_settings, env_settings)

    def topic(self, name: str) -> str:
        """Return the name on the broker of the topic `name`."""
        return self.topic_prefix + name

    def kafka_client_config(self) -> dict[str, str | int]:
        """Return the connection in librdkafka's names, for confluent-kafka."""
        config: dict[str, str | int | None] = {
            "bootstrap.servers": self.kafka_bootstrap,
            "security.protocol": self.kafka_security,
            "ssl.ca.location": _path(self.kafka_ca_file),
            "ssl.certificate.location": _path(self.kafka_cert_file),
            "ssl.key.location": _path(self.kafka_key_file),
        }
        if self.kafka_security.startswith("SASL"):
            config["sasl.mechanism"] = self.kafka_sasl_mechanism
            config["sasl.username"] = self.kafka_username
            config["sasl.password"] = self.kafka_password.get_secret_value() if self.kafka_password else None
        return {name: value for name, value in config.items() if value is not None}


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings of this process; `overrides` (flags) are strongest of all.

    Raises:
        Misuse: naming each wrong field, what is wrong with it, and where it may come from; never its value.
    """
    if config is None and os.environ.get(ENV_PREFIX + "CONFIG"):
        config = Path(os.environ[ENV_PREFIX + "CONFIG"])
    _refuse_unknown_variables()
    values = _read_toml(config) if config else {}
    try:
        return Settings(**(values | EnvSettingsSource(Settings)() | overrides))
    except ValidationError as exc:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in exc.errors(include_input=False)
        )
        raise Misuse(f"settings: {wrong} (from {ENV_PREFIX}<FIELD> or {config or 'a TOML file'})") from exc


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise Misuse(f"{path}: cannot read the settings file: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise Misuse(f"{path}: not a TOML file: {exc}") from exc


def _refuse_unknown_variables() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields} | {ENV_PREFIX + "CONFIG"}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name not in known:
            meant = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise Misuse(f"{name}: no such setting; did you mean {meant}?")
