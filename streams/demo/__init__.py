"""The demo: a year of real purchases through the whole system on one machine, counted and compared at the end.

`run.py` is the story on one page. Data flow: `data.py` imports, `journey.py` cuts the log into a history and the
baskets after it, `publish.py` and `stream.py` send them, `listen.py` receives what Streamrank publishes,
`account.py` counts in broker and Redis, `board.py` compares with `baselines.py`, `report.py` judges.
"""
