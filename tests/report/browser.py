"""Pages laid out by a real browser: what sticks out, scrolls, is cut off, too small or nameless, or asked for."""

import html
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

MEASURE = """
<script>
const shown = e => e.textContent.trim().slice(0, 40);
const box = e => e.getBoundingClientRect();
function upright(text) { const m = text.getCTM(); return Math.abs(m.b) < 1e-3; }
function height(frame, text) {
  const m = text.getScreenCTM();
  return parseFloat(frame.contentWindow.getComputedStyle(text).fontSize) * Math.hypot(m.c, m.d);
}
function measure(frame) {
  const page = frame.contentDocument, width = frame.clientWidth;
  const outside = [...page.body.querySelectorAll("*")].filter(e => !e.parentElement.closest(".scroll"));
  const scrolls = [...page.querySelectorAll(".scroll")];
  const figures = [...page.querySelectorAll("figure svg")];
  const clipped = [], touching = [];
  for (const figure of figures) {
    const edge = box(figure), texts = [...figure.querySelectorAll("text")];
    for (const text of texts) {
      const t = box(text);
      if (t.left < edge.left - 1 || t.right > edge.right + 1 || t.top < edge.top - 1 || t.bottom > edge.bottom + 1)
        clipped.push(shown(text));
    }
    const level = texts.filter(upright).map(t => [t, box(t)]);
    for (const [i, [a, p]] of level.entries())
      for (const [b, q] of level.slice(i + 1))
        if (p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3)
          touching.push(shown(a) + " / " + shown(b));
  }
  return {
    scrolls: page.documentElement.scrollWidth > width,
    overflowing: outside.filter(e => box(e).right > width + 1 || box(e).left < -1).map(shown),
    clipped, touching,
    scrolling: scrolls.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel),
    texts: figures.map(f => f.querySelectorAll("text").length),
    names: figures.filter(f => f.checkVisibility() && box(f).height > 50).map(f => f.computedName),
    smallest: Math.min(...[...page.querySelectorAll("figure text")].map(t => height(frame, t))),
    requests: frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name),
    background: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
  };
}
onload = () => {
  const found = [...document.querySelectorAll("iframe")].map(measure);
  document.body.innerHTML = "<pre></pre>";
  document.querySelector("pre").textContent = JSON.stringify(found);
};
</script>
"""


def look(pages, *, dark=False):
    """What the browser finds on each (page, width), and its console's lines; skips where there is no browser."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH")
    frames = "".join(
        f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(page)}"></iframe>'
        for page, width in pages
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        outer = Path(folder, "pages.html")
        outer.write_text(f"<!doctype html><meta charset=utf-8><body>{frames}{MEASURE}", encoding="utf-8")
        seen = subprocess.run(
            [
                program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--disable-quic", "--no-first-run", "--disable-component-update", "--disable-sync",
                "--enable-blink-features=ComputedAccessibilityInfo",
                "--enable-logging=stderr", f"--user-data-dir={folder}/profile", "--window-size=1400,1000",
                f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--virtual-time-budget=20000",
                "--dump-dom", outer.as_uri(),
            ],
            capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
    found = seen.stdout.partition("<pre>")[2].partition("</pre>")[0]
    console = [line for line in seen.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found)), console
