"""The report in a real browser: it shows something in light and dark, fits a telephone, and complains of nothing."""

import html
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.browser.conftest import Look
from tests.reports import hostile_page

DARK, LIGHT = 0, 1
"""As Chromium's setting preferredColorScheme counts them."""
MEASURE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(
  (one) => !one.closest(".scroll table") && one.getBoundingClientRect().right > innerWidth + 1);
parent.document.title = `${innerWidth} ${document.documentElement.scrollWidth} ${wide.length}`;
</script>"""


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(hostile_page(), "utf-8")
    return path


def test_a_browser_finds_the_whole_page_and_has_no_complaint(look: Look, report: Path) -> None:
    dom, console = look(report, "--dump-dom")
    assert not console
    assert dom.count("<section") == hostile_page().count("<section") > 0
    assert dom.count("<svg") == hostile_page().count("<svg") > 0


def test_a_script_in_the_page_would_not_run_and_would_be_seen(look: Look, report: Path) -> None:
    """What the other tests rely on: the policy forbids scripts, and a refusal is a line on the console."""
    report.write_text(hostile_page().replace("</main>", "<script>document.title = 'ran'</script></main>"), "utf-8")
    dom, console = look(report, "--dump-dom")
    assert "<title>ran</title>" not in dom
    assert len(console) == 1
    assert "Content Security Policy" in console[0]


@pytest.mark.parametrize(("scheme", "width"), [(LIGHT, 1200), (DARK, 1200), (LIGHT, 400), (DARK, 400)])
def test_it_is_drawn_in_light_and_dark(look: Look, report: Path, tmp_path: Path, scheme: int, width: int) -> None:
    picture = tmp_path / "picture.png"
    look(
        report, f"--screenshot={picture}", f"--window-size={width},1600",
        f"--blink-settings=preferredColorScheme={scheme}",
    )  # fmt: skip
    pixels = imread(picture)[::2, ::2, :3]  # every other pixel, (height, width, 3) in [0, 1]
    assert pixels.shape[1] == width // 2
    colours, counts = np.unique(pixels.reshape(-1, 3).round(2), axis=0, return_counts=True)
    paper = colours[counts.argmax()].mean()
    assert paper > 0.9 if scheme == LIGHT else paper < 0.2
    inked = np.abs(pixels - colours[counts.argmax()]).max(axis=2) > 0.3
    assert inked.mean() > 0.01
    coloured = (pixels.max(axis=2) - pixels.min(axis=2)) > 0.3
    assert coloured.mean() > 0.0005  # the series of a plot: paper, ink and lines are all grey


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_wider_than_the_window_but_tables_that_scroll(look: Look, report: Path, width: int) -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline';"
    assert policy in hostile_page()
    measured = hostile_page().replace(policy, "script-src 'unsafe-inline'; style-src 'unsafe-inline';")
    inner = html.escape(measured.replace("</body>", MEASURE + "</body>"))
    # In a frame, as Chromium's own window is never narrower than 500 px.
    frame = f'<title></title><iframe style="border: 0; width: {width}px; height: 900px" srcdoc="{inner}"></iframe>'
    report.write_text("<!doctype html>" + frame, "utf-8")
    dom, _ = look(report, "--dump-dom", "--window-size=1300,1000")
    assert dom.partition("<title>")[2].partition("</title>")[0] == f"{width} {width} 0"
