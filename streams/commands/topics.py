"""`streamrank topics create`: the topics as Streamrank needs them."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from streams.commands.options import json_option, with_settings, write_json
from streams.contracts.topics import TOPICS
from streams.kafka_admin import create_topics
from streams.settings import Settings


@click.group()
def topics() -> None:
    """Create the topics."""


@topics.command()
@with_settings
@json_option
def create(settings: Settings, json_file: Path | None) -> None:
    """Create the topics that aren't there; those that are stay as they are."""
    created = create_topics(settings)
    table = Table("topic", "key", "partitions", "")
    result = {}
    for topic in TOPICS:
        name = settings.topic(topic.name)
        result[name] = "created" if name in created else "was there"
        table.add_row(name, topic.key, str(settings.partitions), result[name])
    Console().print(table)
    write_json(json_file, result)
