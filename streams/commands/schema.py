"""`streamrank schema`: the JSON Schema (2020-12) of every topic's values, for clients in any language."""

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from streams.commands.options import json_option, write_json
from streams.contracts import topics
from streams.contracts.events import Event
from streams.contracts.items import Item
from streams.contracts.models import Said
from streams.contracts.slates import DeadLetter, Feedback, Forgotten, Slate

VALUES: dict[str, Any] = {
    topics.EVENTS: Event,
    topics.ITEMS: Item | None,
    topics.RECOMMENDATIONS: Slate,
    topics.FEEDBACK: Feedback | Forgotten,
    topics.DEAD_LETTERS: DeadLetter,
    topics.MODELS: Said,
}
"""What a topic's value is."""


def json_schema() -> dict[str, Any]:
    """Return one schema that has each topic's value under `properties`, by topic without prefix."""
    schemas, components = msgspec.json.schema_components(VALUES.values(), ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Streamrank: the values of its topics",
        "type": "object",
        "properties": dict(zip(VALUES, schemas, strict=True)),
        "$defs": components,
    }


@click.command()
@json_option
def schema(json_file: Path | None) -> None:
    """Print the JSON Schema of every topic; `#/properties/TOPIC` is the schema of one."""
    result = json_schema()
    if json_file is None:
        click.echo(json.dumps(result, indent=2))
    write_json(json_file, result)
