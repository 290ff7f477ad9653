"""After the rehearsal no request waits for a compiler. In a process of its own: others have compiled already."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil
from streams.rehearsal import rehearse

MODULES = ("streams.ordering", "streams.features.touch", "streams.features.encode", "streams.retrieval.pairs",
           "streams.retrieval.related", "streams.retrieval.blend", "streams.retrieval.repeat",
           "streams.retrieval.trending", "streams.retrieval.likeness", "streams.retrieval.semantic",
           "streams.slate.explore")

def compiled():
    found = {}
    for name in MODULES:
        for symbol, value in vars(importlib.import_module(name)).items():
            if hasattr(value, "nopython_signatures"):
                found[name, symbol] = list(value.nopython_signatures)
    return found

assert not any(compiled().values())
rehearse()
after = compiled()
assert after["streams.retrieval.pairs", "_move"]
assert sum(map(bool, after.values())) >= 17

import asyncio
from benchmarks.shop import Shop, Size
from streams.contracts.items import decode_item
from streams.settings import load_settings
from streams.simulate import load_items, offline_pipeline, offline_settings, records, run

async def serve():
    shop = Shop(Size(items=600, users=40, categories=6))
    pipeline = offline_pipeline(offline_settings(load_settings(explore_share=0.5)), None)
    load_items(pipeline, [decode_item(value) for _, value in shop.catalogue()])
    events = [value for _, value in shop.history(6_000, 1_700_000_000_000)]
    events += [shop.request(user, user, 1_700_000_000_000 + user)[1] for user in range(60)]
    slates = 0
    async for outcome in run(pipeline, records(events, 1), partitions=1, batch_events=500):
        slates += outcome.stats.get("slates", 0)
    return slates

assert asyncio.run(serve()) == 60
assert compiled() == after, {name: found for name, found in compiled().items() if found != after[name]}
"""


def test_what_is_compiled_is_compiled_before_the_first_request() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
