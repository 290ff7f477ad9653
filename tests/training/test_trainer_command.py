"""What a trainer can't work with is said before it begins, in one sentence."""

import sys
from pathlib import Path
from typing import Any

import pytest

from streams.cli import run
from streams.settings import ENV_PREFIX

FINE = {"lake": "lake", "triton_repository": "models", "trainer_cron": "0 3 * * *"}


def said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, **settings: Any
) -> tuple[int, str]:
    monkeypatch.chdir(folder)
    for name, value in (FINE | settings).items():
        if value is not None:
            monkeypatch.setenv(ENV_PREFIX + name.upper(), str(value))
    code = run(["trainer", "--once"])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return code, lines[0]


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"lake": None}, 2, "lake: name the folder (or URL) in which the trainer keeps what it learns from"),
        ({"lake": "nostore://here"}, 2, "lake: nostore://here: Protocol not known: nostore"),
        ({"lake": "s3://bucket/lake"}, 1, "lake: s3://bucket/lake needs a package that is not installed"),
        ({"triton_repository": None}, 2, "triton_repository: name the model repository that Triton serves"),
        ({"trainer_cron": "61 * * * *"}, 2, "trainer_cron: '61 * * * *' is no cron expression: write it as 0 3 * * *"),
        ({"trainer_cron": "daily"}, 2, "settings: trainer_cron: Value error, takes five fields: minute, hour"),
        ({"trainer_cron": None, "trainer_on_drift": "false"}, 2, "nothing would start a training"),
        ({"trainer_recipe": "none.toml"}, 2, "none.toml: cannot read the recipe: No such file"),
        ({"trainer_replay": "2"}, 2, "settings: trainer_replay: Input should be less than or equal to 1"),
        ({"redis_url": "redis://127.0.0.1:1"}, 1, "Redis at 127.0.0.1:1 does not answer"),
        ({"redis_url": "127.0.0.1"}, 2, "redis_url: must look like redis://host:port/0"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    settings: dict[str, Any],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.setattr("os.nice", lambda by: by)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    told = said(monkeypatch, capsys, tmp_path, **settings)
    assert told[0] == code
    assert sentence in told[1]
    assert not list(tmp_path.iterdir())


def test_without_torch_it_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("torch", "training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert said(monkeypatch, capsys, tmp_path) == (
        1, "streamrank: the trainer needs the package torch: pip install 'streamrank[train]'",
    )  # fmt: skip
