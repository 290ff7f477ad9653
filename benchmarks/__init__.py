"""Speed beside its floors, on the embedded stack: `make bench`, or `python -m benchmarks [latency|ingest|store]`."""
