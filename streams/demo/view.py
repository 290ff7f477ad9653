"""What a person sees: each phase as it runs, a live panel on a terminal, a plain line every few seconds elsewhere."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

REFRESH_PER_S = 4
PLAIN_EVERY_S = 5.0

Status = Mapping[str, str]


class Phase:
    """One step of the demo: `status` while it runs, `done` says what it came to."""

    def __init__(self, view: "View", title: str) -> None:
        self.title = title
        self.result = ""
        self._view = view
        self._next_s = 0.0
        self._plain_s = time.monotonic() + PLAIN_EVERY_S

    def due(self) -> bool:
        """Tell whether a new status would be seen: making one may cost more than the work it reports."""
        now = time.monotonic()
        if now < (self._next_s if self._view.is_live else self._plain_s):
            return False
        self._next_s, self._plain_s = now + 1 / REFRESH_PER_S, now + PLAIN_EVERY_S
        return True

    def status(self, status: Status) -> None:
        """Show how it goes."""
        self._view.show(self.title, status)

    def done(self, result: str) -> None:
        """Say what it came to; shown when it ends."""
        self.result = result


class View:
    """A context manager. `seconds` holds how long each phase took."""

    def __init__(self, console: Console) -> None:
        self.seconds: dict[str, float] = {}
        self.is_live = console.is_terminal
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=REFRESH_PER_S)

    def __enter__(self) -> "View":
        if self.is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    @contextmanager
    def phase(self, title: str) -> Iterator[Phase]:
        """Run a phase; its time counts also if it fails."""
        began_s = time.monotonic()
        phase = Phase(self, title)
        if self.is_live:
            self._live.update(Panel(Text("…"), title=title, title_align="left"))
        else:
            self._console.print(f"{title} …", highlight=False)
        try:
            yield phase
        finally:
            self.seconds[title] = round(time.monotonic() - began_s, 2)
        self._live.update(Text(""), refresh=self.is_live)
        line = Text.assemble(("✓ ", "green"), (f"{title:<10}", "bold"), f"{self.seconds[title]:6.1f} s  ", phase.result)
        self._console.print(line, soft_wrap=True)

    def show(self, title: str, status: Status) -> None:
        """Show the status of a phase."""
        if not self.is_live:
            line = f"  {title}: {', '.join(f'{k} {v}' for k, v in status.items())}"
            self._console.print(line, highlight=False, soft_wrap=True)
            return
        grid = Table.grid(padding=(0, 2))
        for name, value in status.items():
            grid.add_row(Text(name, "dim"), Text(value, "bold"))
        self._live.update(Panel(grid, title=title, title_align="left", expand=False))

    def note(self, text: str) -> None:
        """Say something that happened besides."""
        self._console.print(Text(text, "yellow"), soft_wrap=True)
