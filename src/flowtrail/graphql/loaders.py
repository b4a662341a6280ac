"""Batch functions: what many resolvers ask for at once is read in one statement (spec 2.9). They live for one operation."""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from strawberry.dataloader import DataLoader

from flowtrail import counts, executions, flows, page_cursors, statistics
from flowtrail.database import Database, Read
from flowtrail.executions import Execution, ExecutionPage, NodeExecution, NodeKey, Selection, StoredPayload
from flowtrail.flows import Flow
from flowtrail.pagination import PageRequest, Position

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
        self.flow_by_id: DataLoader[uuid.UUID, Flow | None] = self._by_key(self._visible_flows)
        self.execution_by_id: DataLoader[uuid.UUID, Execution | None] = self._by_key(self._visible_executions)
        self.has_pending_by_flow = self._by_key(executions.pending_by_flow)
        self.nodes_by_execution = self._by_key(executions.nodes_by_execution)
        self.node_by_key: DataLoader[NodeKey, NodeExecution | None] = self._by_key(executions.nodes_by_key)
        self.page: DataLoader[PageKey, ExecutionPage] = DataLoader(self._pages)
        self.totals: DataLoader[tuple[uuid.UUID, bool | None], Counter[str]] = DataLoader(self._totals)
        self.bounded_count: DataLoader[tuple[uuid.UUID | None, Selection], tuple[int, bool]] = DataLoader(self._bounded_counts)
        self.summary_by_flow: DataLoader[tuple[uuid.UUID, statistics.Range], statistics.Summary] = DataLoader(self._summaries)
        self._payloads: dict[str, DataLoader[uuid.UUID, StoredPayload | None]] = {}
        self._node_payloads: dict[str, DataLoader[NodeKey, StoredPayload | None]] = {}
        self._stacks: dict[str, DataLoader[uuid.UUID, str | None]] = {}

    def payload_by_execution(self, name: str) -> DataLoader[uuid.UUID, StoredPayload | None]:
        """The loader of one of executions.EXECUTION_PAYLOADS: a heavy column is read only when it is selected."""
        if name not in self._payloads:
            self._payloads[name] = self._by_key(lambda read, ids: executions.payloads_by_execution(read, name, ids))
        return self._payloads[name]

    def payload_by_node(self, name: str) -> DataLoader[NodeKey, StoredPayload | None]:
        """The loader of one of executions.NODE_PAYLOADS."""
        if name not in self._node_payloads:
            self._node_payloads[name] = self._by_key(lambda read, keys: executions.payloads_by_node(read, name, keys))
        return self._node_payloads[name]

    def stack_by_execution(self, name: str) -> DataLoader[uuid.UUID, str | None]:
        """The loader of one of executions.STACKS."""
        if name not in self._stacks:
            self._stacks[name] = self._by_key(lambda read, ids: executions.stacks_by_execution(read, name, ids))
        return self._stacks[name]

    def _by_key(self, load: Callable[[Read, list[K]], Awaitable[Mapping[K, V]]]) -> DataLoader[K, V | None]:
        async def batch(keys: list[K]) -> list[V | None]:
            async with self._database.read() as read:
                found = await load(read, keys)
            return [found.get(key) for key in keys]

        return DataLoader(batch)

    async def _visible_flows(self, read: Read, ids: list[uuid.UUID]) -> dict[uuid.UUID, Flow]:
        found = await flows.flows_by_id(read, ids)
        return {id_: flow for id_, flow in found.items() if self._servers is None or flow.server in self._servers}

    async def _visible_executions(self, read: Read, ids: list[uuid.UUID]) -> dict[uuid.UUID, Execution]:
        found = await executions.executions_by_id(read, ids)
        return {id_: row for id_, row in found.items() if self._servers is None or row.server in self._servers}

    async def _pages(self, keys: list[PageKey]) -> list[ExecutionPage]:
        result: dict[PageKey, ExecutionPage] = {}
        for (selection, request), group in _grouped(keys, lambda key: (key.selection, key.request)).items():
            async with self._database.snapshot() if selection.filter.text else self._database.read() as read:
                pages = await executions.pages(read, [key.scope for key in group], selection, request)
            result.update(zip(group, pages, strict=True))
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

    async def _summaries(self, keys: list[tuple[uuid.UUID, statistics.Range]]) -> list[statistics.Summary]:
        result: dict[tuple[uuid.UUID, statistics.Range], statistics.Summary] = {}
        for within, group in _grouped(keys, lambda key: key[1]).items():
            async with self._database.read() as read:
                found = await statistics.summaries(read, [flow_id for flow_id, _ in group], within)
            result.update({(flow_id, within): found[flow_id] for flow_id, _ in group})
        return [result[key] for key in keys]


def _grouped(keys: list[K], by: Callable[[K], G]) -> dict[G, list[K]]:
    groups: dict[G, list[K]] = {}
    for key in keys:
        groups.setdefault(by(key), []).append(key)
    return groups
