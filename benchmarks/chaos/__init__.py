"""Faults on the real processes, by a seeded schedule, and the proof that nothing was lost, doubled or different.

`python -m benchmarks.chaos run` starts the embedded stack and several workers, each behind TCP proxies of its own
(`proxy.py`), keeps them under load (`traffic.py`, `load.py`), and does to them what `faults.py` knows. Then all is
compared with a fold of the log that no fault ever touched (`reference.py`, `verdict.py`). `mutants.py` breaks the
worker on purpose, to show that this would be found.
"""
