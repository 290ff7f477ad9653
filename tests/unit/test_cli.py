"""The command line without servers: misuse, help, the schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from streams import cli
from streams.commands.schema import VALUES, json_schema
from streams.contracts.events import Click, Request
from streams.contracts.slates import encode
from streams.errors import Misuse


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["doctor", "--nope"],
        ["worker", "--log-format", "xml"],
        ["topics", "destroy"],
        ["doctor", "--config", "no-such-file.toml"],
    ],
)
def test_misuse_exits_with_2_and_says_why(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words) == 2
    assert capsys.readouterr().err


def test_help_lists_the_verbs_without_importing_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == 0
    listed = capsys.readouterr().out
    for verb in ("up", "worker", "topics", "doctor", "schema"):
        assert f"\n  {verb} " in listed


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (Misuse("a\nsentence"), 2, "streamrank: a sentence\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
    ],
)
def test_errors_are_one_sentence(
    raised: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(cli.streamrank, "main", fail)
    assert cli.run(["worker"]) == code
    assert capsys.readouterr().err == said


def test_a_verb_whose_package_is_missing_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(cli.VERBS, "schema", cli.Verb("schema:schema", ""))

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name="torch")

    monkeypatch.setattr("importlib.import_module", missing)
    assert cli.run(["schema"]) == 1
    assert "needs the package torch: pip install 'streamrank[demo,online,train]'" in capsys.readouterr().err


def test_the_schema_accepts_what_streamrank_encodes_and_refuses_what_it_would_refuse() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for event in (Click(user_id="u", item_id="i", at_ms=1_700_000_000_000), Request(user_id="u", request_id="r")):
        validator.validate({"events": json.loads(encode(event))})
    validator.validate({"items": None})
    for bad in ({"type": "click", "user_id": "u"}, {"type": "nope"}, {"type": "click", "user_id": "", "item_id": "i"}):
        assert not validator.is_valid({"events": bad})


def test_the_schema_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["schema", "--json", str(tmp_path / "s.json")]) == 0
    assert set(json.loads((tmp_path / "s.json").read_text())["properties"]) == set(VALUES)


def with_result_files() -> Iterator[Any]:
    """Yield every verb that writes a result to a file, with that option."""
    group = click.Context(cli.streamrank)
    waiting = [([name], cli.streamrank.get_command(group, name)) for name in cli.streamrank.list_commands(group)]
    while waiting:
        words, command = waiting.pop()
        assert command is not None
        if isinstance(command, click.Group):
            waiting += [([*words, name], one) for name, one in command.commands.items()]
        for parameter in command.params:
            if parameter.name in ("json_file", "report_file"):
                option = parameter.opts[0]
                yield pytest.param(words, command, option, id=" ".join([*words, option]))


def fitting(kind: click.ParamType) -> str:
    """Return a value that an argument of this kind takes."""
    if isinstance(kind, click.Choice):
        return str(kind.choices[0])
    if isinstance(kind, click.Path) and not kind.file_okay:
        return str(Path(__file__).parent)
    return "1" if isinstance(kind, click.IntRange) else __file__


def option_of(parameter: click.Parameter) -> list[str]:
    """Return what stands before the parameter's value: nothing, if it is an argument."""
    return parameter.opts[:1] if isinstance(parameter, click.Option) else []


@pytest.mark.parametrize(("words", "command", "option"), list(with_result_files()))
def test_a_result_that_cannot_be_written_is_known_before_the_work(
    words: list[str],
    command: click.Command,
    option: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(command, "callback", lambda **options: pytest.fail("the work began"))
    required = [one for one in command.params if one.required]
    given = [word for one in required for word in (*option_of(one), fitting(one.type))]
    path = tmp_path / "nowhere" / "result"
    assert cli.run([*words, *given, option, str(path)]) == 2
    assert capsys.readouterr().err == f"streamrank: {path}: cannot write the result: No such file or directory\n"
    monkeypatch.setattr(command, "callback", lambda **options: 0)
    assert cli.run([*words, *given, option, str(tmp_path / "result")]) == 0
    assert not list(tmp_path.iterdir()), "what was tried is gone"
