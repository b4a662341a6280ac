"""Batch functions: what many resolvers ask for at once is read in one statement (spec 2.9). They live for one operation."""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from flowtrail import counts, executions, flows, page_cursors, statistics
from flowtrail.counts import Range
from flowtrail.database import Database, Read
from flowtrail.executions import Execution, ExecutionPage, NodeExecution, NodeKey, Selection, StoredPayload
from flowtrail.flows import Flow
from flowtrail.graphql.loader import Loader
from flowtrail.page_cursors import PageCursors
from flowtrail.pagination import PageRequest, Position
from flowtrail.statistics import Bucket, ErrorGroup, Percentiles, Summary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True)
class PageKey:
    """One page: of a scope (a flow, a parent execution, or None for all) among what `selection` chooses."""

    scope: uuid.UUID | None
    selection: Selection
    request: PageRequest[Position]


class Loaders:
    """The loaders of one operation. Each returns None (or nothing) for what does not exist or the viewer may not see."""

    def __init__(self, database: Database, servers: frozenset[str] | None) -> None:
        self._database = database
        self._servers = servers
        self.flow_by_id: Loader[uuid.UUID, Flow | None] = self._by_key(self._visible_flows)
        self.execution_by_id: Loader[uuid.UUID, Execution | None] = self._by_key(self._visible_executions)
        self.has_pending_by_flow = self._by_key(executions.pending_by_flow)
        self.nodes_by_execution = self._by_key(executions.nodes_by_execution)
        self.node_by_key: Loader[NodeKey, NodeExecution | None] = self._by_key(executions.nodes_by_key)
        self.page: Loader[PageKey, ExecutionPage] = Loader(self._pages)
        self.page_cursors: Loader[PageKey, PageCursors | None] = Loader(self._page_cursors)
        self.totals: Loader[tuple[uuid.UUID, bool | None], Counter[str]] = Loader(self._totals)
        self.bounded_count: Loader[tuple[uuid.UUID | None, Selection], tuple[int, bool]] = Loader(self._bounded_counts)
        self.summary: Loader[tuple[uuid.UUID, Range], Summary] = self._by_flow(statistics.summaries)
        self.percentiles: Loader[tuple[uuid.UUID, Range], Percentiles] = self._by_flow(statistics.percentiles)
        self.histogram: Loader[tuple[uuid.UUID, Range], list[Bucket]] = self._by_flow(statistics.histograms)
        self._top_errors: dict[int, Loader[tuple[uuid.UUID, Range], list[ErrorGroup]]] = {}
        self._payloads: dict[str, Loader[uuid.UUID, StoredPayload | None]] = {}
        self._node_payloads: dict[str, Loader[NodeKey, StoredPayload | None]] = {}
        self._stacks: dict[str, Loader[uuid.UUID, str | None]] = {}

    def payload_by_execution(self, name: str) -> Loader[uuid.UUID, StoredPayload | None]:
        """The loader of one of executions.EXECUTION_PAYLOADS: a heavy column is read only when it is selected."""
        if name not in self._payloads:
            self._payloads[name] = self._by_key(lambda read, ids: executions.payloads_by_execution(read, name, ids))
        return self._payloads[name]

    def payload_by_node(self, name: str) -> Loader[NodeKey, StoredPayload | None]:
        """The loader of one of executions.NODE_PAYLOADS."""
        if name not in self._node_payloads:
            self._node_payloads[name] = self._by_key(lambda read, keys: executions.payloads_by_node(read, name, keys))
        return self._node_payloads[name]

    def stack_by_execution(self, name: str) -> Loader[uuid.UUID, str | None]:
        """The loader of one of executions.STACKS."""
        if name not in self._stacks:
            self._stacks[name] = self._by_key(lambda read, ids: executions.stacks_by_execution(read, name, ids))
        return self._stacks[name]

    def top_errors(self, first: int) -> Loader[tuple[uuid.UUID, Range], list[ErrorGroup]]:
        """The loader of so many error groups."""
        if first not in self._top_errors:
            self._top_errors[first] = self._by_flow(lambda read, ids, within: statistics.top_errors(read, ids, within, first))
        return self._top_errors[first]

    def _by_flow(
        self, load: Callable[[Read, list[uuid.UUID], Range], Awaitable[Mapping[uuid.UUID, V]]]
    ) -> Loader[tuple[uuid.UUID, Range], V]:
        async def batch(keys: list[tuple[uuid.UUID, Range]]) -> list[V]:
            result: dict[tuple[uuid.UUID, Range], V] = {}
            for within, group in _grouped(keys, lambda key: key[1]).items():
                async with self._database.read() as read:
                    found = await load(read, [flow_id for flow_id, _ in group], within)
                result.update({key: found[key[0]] for key in group})
            return [result[key] for key in keys]

        return Loader(batch)

    def _by_key(self, load: Callable[[Read, list[K]], Awaitable[Mapping[K, V]]]) -> Loader[K, V | None]:
        async def batch(keys: list[K]) -> list[V | None]:
            async with self._database.read() as read:
                found = await load(read, keys)
            return [found.get(key) for key in keys]

        return Loader(batch)

    async def _visible_flows(self, read: Read, ids: list[uuid.UUID]) -> dict[uuid.UUID, Flow]:
        found = await flows.flows_by_id(read, ids)
        return {id_: flow for id_, flow in found.items() if self._servers is None or flow.server in self._servers}

    async def _visible_executions(self, read: Read, ids: list[uuid.UUID]) -> dict[uuid.UUID, Execution]:
        found = await executions.executions_by_id(read, ids)
        return {id_: row for id_, row in found.items() if self._servers is None or row.server in self._servers}

    async def _pages(self, keys: list[PageKey]) -> list[ExecutionPage]:
        result: dict[PageKey, ExecutionPage] = {}
        for (selection, request), group in _grouped(keys, lambda key: (key.selection, key.request)).items():
            async with self._database.snapshot() if selection.is_sifted else self._database.read() as read:
                pages = await executions.pages(read, [key.scope for key in group], selection, request)
            result.update(zip(group, pages, strict=True))
        return [result[key] for key in keys]

    async def _page_cursors(self, keys: list[PageKey]) -> list[PageCursors | None]:
        pages = dict(zip(keys, await self.page.load_many(keys), strict=True))
        result: dict[PageKey, PageCursors | None] = {}
        for (selection, request), group in _grouped(keys, lambda key: (key.selection, key.request)).items():
            async with self._database.snapshot() as read:
                bars = await page_cursors.page_cursors(read, selection, request, {key.scope: pages[key] for key in group})
            result.update({key: bars[key.scope] for key in group})
        return [result[key] for key in keys]

    async def _totals(self, keys: list[tuple[uuid.UUID, bool | None]]) -> list[Counter[str]]:
        result: dict[tuple[uuid.UUID, bool | None], Counter[str]] = {}
        for is_preview, group in _grouped(keys, lambda key: key[1]).items():
            async with self._database.read() as read:
                counted = await counts.totals(read, [key for key, _ in group], is_preview)
            result.update({(key, is_preview): counted[key] for key, _ in group})
        return [result[key] for key in keys]

    async def _bounded_counts(self, keys: list[tuple[uuid.UUID | None, Selection]]) -> list[tuple[int, bool]]:
        result: dict[tuple[uuid.UUID | None, Selection], tuple[int, bool]] = {}
        for selection, group in _grouped(keys, lambda key: key[1]).items():
            async with self._database.read() as read:
                counted = await executions.bounded_counts(read, [scope for scope, _ in group], selection, page_cursors.COUNT_BOUND)
            result.update(zip(group, counted, strict=True))
        return [result[key] for key in keys]


def _grouped(keys: list[K], by: Callable[[K], G]) -> dict[G, list[K]]:
    groups: dict[G, list[K]] = {}
    for key in keys:
        groups.setdefault(by(key), []).append(key)
    return groups
