"""What was measured, for people: a table for each area, as text or as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowtrail.bench.figures import Area, Measured, Round, ratio, spread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console


def cells(area: Area) -> list[list[str]]:
    """Return an area's table, headings first: medians over the rounds, with the least and the most; no empty columns."""
    compared = [f"rate ÷ {area.baseline}", f"CPU ÷ {area.baseline}"] if area.baseline else []
    headings = [
        "what",
        "at a time",
        "subject",
        f"{area.counted}/s",
        "p50 ms",
        "p99 ms",
        "server CPU ms",
        "PostgreSQL CPU ms",
        *compared,
    ]
    table = [headings, *(_row(area, one) for one in area.measured)]
    filled = [number for number in range(len(headings)) if any(row[number] for row in table[1:])]
    return [[row[number] for number in filled] for row in table]


def _row(area: Area, one: Measured) -> list[str]:
    figures = [spread(one.rounds, figure) for figure in (_rate, _p50, _p99, _cpu, _database_cpu)]
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


def _database_cpu(of: Round) -> float | None:
    return of.database_cpu_ms


def show(console: Console, areas: Iterable[Area]) -> None:
    """Print the tables."""
    from rich.table import Table

    for area in areas:
        table = Table(title=area.title, title_justify="left", box=None, pad_edge=False)
        headings, *rows = cells(area)
        for heading in headings:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print()


def markdown(areas: Iterable[Area]) -> str:
    """Return the tables as Markdown."""
    lines = []
    for area in areas:
        headings, *rows = cells(area)
        lines += [f"### {area.title}", "", _line(headings), _line(["---"] * len(headings)), *map(_line, rows), ""]
    return "\n".join(lines)


def _line(row: list[str]) -> str:
    return f"| {' | '.join(row)} |"
