"""What was measured, fitted as a sum of parts that grow in known ways, told and drawn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls

from tests.benchmarks.scale_folders import Size

Parts = Mapping[str, Callable[[Size], float]]
"""How often each part of a cost is paid."""

TIME: Parts = {
    "once": lambda _: 1.0,
    "a trial": lambda size: size.trials,
    "a trial and image": lambda size: size.trials * size.images,
    "a trial, image and class": lambda size: size.trials * size.images * size.classes,
    "an arm and class": lambda size: size.arms * size.classes,
    "an arm, image and class": lambda size: size.arms * size.images * size.classes,
    "a pair of arms": lambda size: size.arms**2,
}
MEMORY: Parts = {
    "once": lambda _: 1.0,
    "a trial": lambda size: size.trials,
    "an image and class, of the files in hand": lambda size: size.images * size.classes,
    "a trial and image": lambda size: size.trials * size.images,
    "an arm and class": lambda size: size.arms * size.classes,
    "an arm, image and class": lambda size: size.arms * size.images * size.classes,
    "a pair of arms": lambda size: size.arms**2,
}
ONE_AT_A_TIME = ("verify", "exporter")
"""Commands that hold one trial's files at a time, by construction: their memory has no part a trial and image."""
COLOURS = ("#1a5fb4", "#b3541e", "#2e7d32", "#7b3fa0", "#5f6b7a", "#c2185b")
MARKERS = "osD^vP"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One command at one size."""

    what: str
    grows: tuple[str, ...]
    """The series that it is in."""
    size: Size
    cpu: float
    mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What each part costs a time; never less than nothing."""

    often: Parts
    costs: Mapping[str, float]
    off: float
    """The largest relative error at the sizes that it was fitted to."""
    relative: NDArray[np.float64]
    """[sizes, parts]: what one unit of each part's cost is of each measured value."""

    def parts(self, size: Size) -> dict[str, float]:
        """What each part comes to."""
        return {name: cost * self.often[name](size) for name, cost in self.costs.items()}

    def at(self, size: Size) -> float:
        """All of them."""
        return sum(self.parts(size).values())

    def between(self, size: Size) -> tuple[float, float]:
        """The least and the most that any such sum comes to which is nowhere further off than this one.

        Two linear programmes: costs of at least nothing, within `off` of every measured value.
        """
        most_off = 1.0001 * self.off + 1e-9
        n = len(self.relative)
        scale = self.relative.max(axis=0)
        rows = self.relative / scale
        bounds = {
            "A_ub": np.vstack([rows, -rows]),
            "b_ub": np.r_[np.full(n, 1 + most_off), np.full(n, most_off - 1)],
        }
        paid = np.array([often(size) for often in self.often.values()]) / scale
        least, most = (linprog(sign * paid, **bounds).fun * sign for sign in (1, -1))
        return float(least), float(most)


def fit(parts: Parts, sizes: Sequence[Size], values: Sequence[float]) -> Fit:
    """The parts' costs by least squares of relative errors (Lawson and Hanson 1974)."""
    design = np.array([[often(size) for often in parts.values()] for size in sizes], dtype=np.float64)
    relative = design / np.asarray(values)[:, None]
    scale = relative.max(axis=0)
    costs = nnls(relative / scale, np.ones(len(values)))[0] / scale
    off = np.abs(relative @ costs - 1).max()
    return Fit(often=parts, costs=dict(zip(parts, costs.tolist(), strict=True)), off=float(off), relative=relative)


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """By how much y grows in doublings for one doubling of x, over the last two: what a fixed cost leaves of it."""
    return float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2]))


def told(points: Sequence[Point], said: Mapping[str, str], target: Size) -> Iterator[str]:
    """Tables of Markdown: what was measured, how it grows, and what it comes to."""
    if not points:
        return
    for name, unit, value, all_parts in (
        ("CPU seconds", "s", _cpu, TIME),
        ("peak memory, MiB", "MiB", _mib, MEMORY),
    ):
        yield f"\n{name}\n"
        yield "| | " + " | ".join(grows for grows in _series(points)) + f" | {target} | of which most |"
        for what in dict.fromkeys(point.what for point in points):
            of_what = [point for point in points if point.what == what]
            single = what in ONE_AT_A_TIME and all_parts is MEMORY
            parts = {name: often for name, often in all_parts.items() if not single or "and image" not in name}
            fitted = fit(parts, [point.size for point in of_what], [value(point) for point in of_what])
            yield f"| {said[what]} | {_grown(of_what, value)} | {_foretold(fitted, target, unit)} |"


def _grown(points: Sequence[Point], value: Callable[[Point], float]) -> str:
    """Each series' values, and how the last of them grew."""
    cells = []
    for grows in _series(points):
        line = _line(points, grows)
        y = [value(point) for point in line]
        cells.append(f"{', '.join(f'{each:.3g}' for each in y)} (^{exponent([_x(p, grows) for p in line], y):.2f})")
    return " | ".join(cells)


def _foretold(fitted: Fit, target: Size, unit: str) -> str:
    most = max(fitted.parts(target).items(), key=lambda part: part[1])
    low, high = fitted.between(target)
    foretold = f"{fitted.at(target):,.0f}, {low:,.0f} to {high:,.0f} {unit} (±{100 * fitted.off:.0f}%)"
    return f"{foretold} | {most[0]}: {most[1]:,.0f}"


def _series(points: Sequence[Point]) -> list[str]:
    """What grows by itself."""
    grown = dict.fromkeys(grows for point in points for grows in point.grows)
    return [grows for grows in grown if hasattr(points[0].size, grows)]


def _line(points: Sequence[Point], grows: str) -> list[Point]:
    """The points of a series, ascending."""
    return sorted((point for point in points if grows in point.grows), key=lambda point: _x(point, grows))


def _x(point: Point, grows: str) -> float:
    return float(getattr(point.size, grows))


def _cpu(point: Point) -> float:
    return point.cpu


def _mib(point: Point) -> float:
    return point.mib


def draw(points: Sequence[Point], said: Mapping[str, str], path: Path) -> None:
    """A panel for each thing that grows: CPU seconds above, memory below."""
    series = _series(points)
    figure = Figure(figsize=(2.6 * len(series) + 1, 6.2), layout="constrained")
    rows = figure.subplots(2, len(series), squeeze=False, sharey="row", sharex="col")
    for axes, value in zip(rows, (_cpu, _mib), strict=True):
        _draw_row(axes, points, series, value, said)
    for axes, grows in zip(rows[1], series, strict=True):
        axes.set_xlabel(grows)
    rows[0][0].set_ylabel("CPU seconds")
    rows[1][0].set_ylabel("peak memory, MiB")
    lines, names = rows[0][0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=130)


def _draw_row(
    row: "NDArray[np.object_]",
    points: Sequence[Point],
    series: Sequence[str],
    value: Callable[[Point], float],
    said: Mapping[str, str],
) -> None:
    whats = list(dict.fromkeys(point.what for point in points))
    for axes, grows in zip(row, series, strict=True):
        for what, colour, marker in zip(whats, COLOURS, MARKERS, strict=False):
            line = _line([point for point in points if point.what == what], grows)
            x = [_x(point, grows) for point in line]
            y, name = [value(point) for point in line], said[what].replace("`", "")
            axes.plot(x, y, color=colour, marker=marker, markersize=4, label=name)
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(sorted({_x(point, grows) for point in points if grows in point.grows}))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g}"))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_minor_locator(NullLocator())
        axes.grid(which="major", color="#d3d9e0", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
