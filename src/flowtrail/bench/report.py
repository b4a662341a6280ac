"""What was measured, for people: a table for each area, as text or as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowtrail.bench.figures import Area, Measured, Round, ratio, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console


def columns(area: Area) -> list[str]:
    """The headings of an area's table."""
    compared = [f"rate ÷ {area.baseline}", f"CPU ÷ {area.baseline}"] if area.baseline else []
    return ["what", "at a time", "subject", f"{area.counted}/s", "p50 ms", "p99 ms", "server CPU ms", *compared]


def rows(area: Area) -> list[list[str]]:
    """The cells of an area's table: medians over the rounds, with the least and the most of them."""
    return [_row(area, one) for one in area.measured]


def _row(area: Area, one: Measured) -> list[str]:
    figures = [spread(one.rounds, _rate), spread(one.rounds, _p50), spread(one.rounds, _p99), spread(one.rounds, _cpu)]
    if area.baseline is not None:
        baseline = area.baseline_of(one)
        is_itself = baseline is None or baseline is one
        figures += [None if is_itself or baseline is None else ratio(one.rounds, baseline.rounds, of) for of in (_rate, _cpu)]
    return [one.kind, str(one.concurrency), one.subject, *("" if figure is None else str(figure) for figure in figures)]


def _rate(of: Round) -> float:
    return of.rate


def _p50(of: Round) -> float | None:
    return of.p50


def _p99(of: Round) -> float | None:
    return of.p99


def _cpu(of: Round) -> float | None:
    return of.cpu_ms


def show(console: Console, areas: Iterable[Area]) -> None:
    """Print the tables."""
    from rich.table import Table

    for area in areas:
        table = Table(title=area.title, title_justify="left", box=None, pad_edge=False)
        for heading in columns(area):
            table.add_column(heading, overflow="fold")
        for cells in rows(area):
            table.add_row(*cells)
        console.print(table)
        console.print()


def markdown(areas: Iterable[Area]) -> str:
    """Return the tables as Markdown."""
    lines = []
    for area in areas:
        headings = columns(area)
        lines += [f"### {area.title}", "", _line(headings), _line(["---"] * len(headings)), *map(_line, rows(area)), ""]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
