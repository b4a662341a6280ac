/** The list of executions of a flow or of many, kept live (spec 5.6). */

import { useCallback, useMemo, useState } from "react";
import { type CombinedError, useQuery } from "urql";
import { spanStart, type UsagePlace } from "../address/address";
import {
  type ExecutionChange,
  type ExecutionPage,
  type ExecutionRow,
  Executions,
  FlowExecutions,
} from "../api/documents";
import type { FeedState } from "../api/feed";
import { useFeed } from "../api/useFeed";
import { usePolling } from "../api/usePolling";
import { useRefresh } from "../api/useRefresh";
import { useKept } from "../parts/useKept";
import { newest } from "./newest";
import type { Signals } from "./signals";
import { isWanted, toExecutionFilter } from "./usageFilter";

/** Whose executions are listed: a flow's, by its server and tool; those of all flows, or of deleted ones. */
export type Scope = { server: string; toolName: string } | "all" | "deleted";

export interface Usage {
  /** Undefined while loading; null when there is no such flow. */
  page: ExecutionPage | null | undefined;
  rows: ExecutionRow[];
  /** Whether the rows are those of another page or filter, still on show while the right ones are on their way. */
  isOutdated: boolean;
  error: CombinedError | undefined;
  feed: FeedState;
  isPolling: boolean;
  /** Executions that began since this page, not the first, was opened. */
  newcomers: number;
  refresh(): void;
}

const PAGE_SIZE = 20;
const REFRESH_PAUSE_MS = 1_000;
const MAX_TOLD = 500;
const NOTHING: ReadonlyMap<string, ExecutionRow> = new Map();

export function useUsage(scope: Scope, place: UsagePlace, signals: Signals): Usage {
  const { filter, after } = place;
  const since = useMemo(() => (filter.span ? spanStart(filter.span, new Date()) : null), [filter.span]);
  const wanted = useMemo(() => toExecutionFilter(filter, since), [filter, since]);
  const view = JSON.stringify([scope, wanted, after]);
  const read = useExecutionPage(scope, wanted, after);
  const page = useKept(read.page, JSON.stringify(scope));
  const [shownView, setShownView] = useState(view);
  if (read.page !== undefined && shownView !== view) setShownView(view);
  const refresh = useRefresh(read.run, read.isFetching, REFRESH_PAUSE_MS);

  const [told, setTold] = useState(NOTHING);
  const [newcomers, setNewcomers] = useState<{ view: string; ids: ReadonlySet<string> }>({ view, ids: new Set() });
  if (newcomers.view !== view) setNewcomers({ view, ids: new Set() });

  function onChange({ kind, executionId, execution }: ExecutionChange): void {
    signals.emit(executionId);
    if (execution) setTold((before) => added(before, execution));
    // What has just begun is of no deleted flow.
    if (kind === "STARTED" && execution && after !== null && scope !== "deleted" && isWanted(wanted, execution)) {
      setNewcomers(({ view, ids }) => ({ view, ids: new Set(ids).add(executionId) }));
    }
    if (!kind.startsWith("NODE_")) refresh();
  }
  function onResync(): void {
    refresh();
    signals.emitAll();
  }
  function onReturn(): void {
    if (read.error) refresh();
    signals.emitAll();
  }
  const feed = useFeed({
    flowId: typeof scope === "string" ? null : read.flowId,
    cursor: read.isStale ? undefined : read.page?.changeCursor,
    onStart: signals.emitAll,
    onChange,
    onResync,
    onReturn,
  });
  const isPolling = feed === "down" && page?.hasPendingExecutions === true;
  usePolling(isPolling, onResync);

  const rows = useMemo(() => page?.edges.map(({ node }) => newest(node, told.get(node.uuid))) ?? [], [page, told]);
  return {
    page,
    rows,
    isOutdated: shownView !== view,
    error: read.error,
    feed,
    isPolling,
    newcomers: newcomers.ids.size,
    refresh,
  };
}

function useExecutionPage(scope: Scope, filter: ReturnType<typeof toExecutionFilter>, after: string | null) {
  const isOfFlow = typeof scope !== "string";
  const { server, toolName } = isOfFlow ? scope : { server: "", toolName: "" };
  const [ofFlow, runOfFlow] = useQuery({
    query: FlowExecutions,
    variables: { server, toolName, first: PAGE_SIZE, after, filter },
    pause: !isOfFlow,
  });
  const [ofMany, runOfMany] = useQuery({
    query: Executions,
    variables: { first: PAGE_SIZE, after, filter: scope === "deleted" ? { ...filter, flowDeleted: true } : filter },
    pause: isOfFlow,
  });
  const run = useCallback(() => {
    (isOfFlow ? runOfFlow : runOfMany)({ requestPolicy: "network-only" });
  }, [isOfFlow, runOfFlow, runOfMany]);
  const { fetching, stale, error } = isOfFlow ? ofFlow : ofMany;
  const flow = ofFlow.data?.flow;
  return {
    page: isOfFlow ? (flow === null ? null : flow?.executions) : ofMany.data?.executions,
    flowId: flow?.id,
    isFetching: fetching || stale,
    isStale: stale,
    error,
    run,
  };
}

function added(told: ReadonlyMap<string, ExecutionRow>, execution: ExecutionRow): ReadonlyMap<string, ExecutionRow> {
  const before = told.get(execution.uuid);
  const next = new Map(told);
  next.delete(execution.uuid);
  next.set(execution.uuid, before ? newest(before, execution) : execution);
  const [oldest] = next.keys();
  if (next.size > MAX_TOLD && oldest !== undefined) next.delete(oldest);
  return next;
}
