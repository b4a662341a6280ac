"""How many executions there are, and of which kind, at a cost that does not grow with them (spec 2.3, 2.4, 2.8).

tables.py        the tables of counts
deltas.py        writing: deltas, and the fold
totals.py        how many of each status
ranks.py         ranks and positions, for numbered pages
spans.py         ranges of time, cut into days, hours and minutes
durations.py     durations as bins, and percentiles
error_groups.py  which errors are counted together
recount.py       comparing with the rows, and mending
"""

from flowtrail.counts.deltas import FOLD_BATCH, Key, append, fold, key
from flowtrail.counts.durations import percentile_ms
from flowtrail.counts.error_groups import error_group, error_group_sql, normalised
from flowtrail.counts.ranks import Ranks, overdue
from flowtrail.counts.recount import Finding, compare, mend
from flowtrail.counts.spans import EARLIEST, LATEST, Range, Span, counted_in_spans, spans
from flowtrail.counts.tables import ALL_FLOWS, NO_FLOW
from flowtrail.counts.totals import totals

__all__ = [
    "ALL_FLOWS",
    "EARLIEST",
    "FOLD_BATCH",
    "LATEST",
    "NO_FLOW",
    "Finding",
    "Key",
    "Range",
    "Ranks",
    "Span",
    "append",
    "compare",
    "counted_in_spans",
    "error_group",
    "error_group_sql",
    "fold",
    "key",
    "mend",
    "normalised",
    "overdue",
    "percentile_ms",
    "spans",
    "totals",
]
