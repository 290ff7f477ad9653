"""The report of `streamrank simulate --report`: one page that needs nothing else, no network and no script."""

from streams.evaluation.report.page import Told, page
from streams.evaluation.report.plots import need_matplotlib

__all__ = ["Told", "need_matplotlib", "page"]
