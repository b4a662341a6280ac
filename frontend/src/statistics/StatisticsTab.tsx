import { NativeSelect } from "@mantine/core";
import { type ReactNode, useCallback, useMemo } from "react";
import { useQuery } from "urql";
import { type Span, spanStart } from "../address/address";
import { navigate } from "../address/navigation";
import { FlowStatistics, type Statistics } from "../api/documents";
import { useFeed } from "../api/useFeed";
import { usePolling } from "../api/usePolling";
import { useRefresh } from "../api/useRefresh";
import { Failure } from "../parts/Failure";
import { LiveSign } from "../parts/LiveSign";
import { Notice } from "../parts/Notice";
import { SkeletonRows } from "../parts/SkeletonRows";
import { Stale } from "../parts/Stale";
import { useKept } from "../parts/useKept";
import { Figures } from "./Figures";
import { Histogram } from "./Histogram";
import { Percentiles } from "./Percentiles";
import styles from "./StatisticsTab.module.css";
import { TopErrors } from "./TopErrors";

const REFRESH_PAUSE_MS = 5_000;
const SPAN_NAMES = [
  { value: "", label: "All time" },
  { value: "1h", label: "Last hour" },
  { value: "24h", label: "Last 24 hours" },
  { value: "7d", label: "Last 7 days" },
  { value: "30d", label: "Last 30 days" },
];

interface StatisticsTabProps {
  server: string;
  toolName: string;
  span: Span | null;
}

/** How a flow fares: how often it ran, how long it took, why it failed (spec 5.7). */
export default function StatisticsTab({ server, toolName, span }: StatisticsTabProps): ReactNode {
  const { statistics, feed, isPolling, error, refresh } = useStatistics(server, toolName, span);
  return (
    <div className={styles.tab}>
      <div className={styles.bar}>
        <NativeSelect
          size="xs"
          aria-label="Time"
          data={SPAN_NAMES}
          value={span ?? ""}
          onChange={(event) => {
            const chosen = (event.currentTarget.value || null) as Span | null;
            navigate({ page: "statistics", server, toolName, span: chosen });
          }}
        />
        <LiveSign feed={feed} isPolling={isPolling} />
      </div>
      {statistics && error && <Stale what="The statistics" error={error} retry={refresh} />}
      {statistics ? (
        <Shown statistics={statistics} server={server} toolName={toolName} />
      ) : statistics === undefined && error ? (
        <Failure what="The statistics" error={error} retry={refresh} />
      ) : statistics === undefined ? (
        <SkeletonRows count={6} />
      ) : (
        <Notice title="There are no statistics of this flow" />
      )}
    </div>
  );
}

function Shown({
  statistics,
  server,
  toolName,
}: {
  statistics: Statistics;
  server: string;
  toolName: string;
}): ReactNode {
  if (statistics.total === 0) {
    return (
      <Notice title="No executions in this time">
        <p>Choose a longer one, or call the tool.</p>
      </Notice>
    );
  }
  return (
    <>
      <Figures statistics={statistics} />
      <Histogram buckets={statistics.histogram} />
      <Percentiles statistics={statistics} />
      <TopErrors errors={statistics.topErrors} server={server} toolName={toolName} />
    </>
  );
}

function useStatistics(server: string, toolName: string, span: Span | null) {
  const timeRange = useMemo(() => (span ? { from: spanStart(span, new Date()) } : null), [span]);
  const [{ data, fetching, stale, error }, run] = useQuery({
    query: FlowStatistics,
    variables: { server, toolName, timeRange },
  });
  const read = useCallback(() => run({ requestPolicy: "network-only" }), [run]);
  const refresh = useRefresh(read, fetching || stale, REFRESH_PAUSE_MS);
  const flow = useKept(data?.flow, `${server}/${toolName}`);
  const feed = useFeed({
    flowId: flow?.id,
    cursor: stale ? undefined : data?.flow?.executions.changeCursor,
    onStart: () => undefined,
    onChange: ({ kind }) => kind.startsWith("NODE_") || refresh(),
    onResync: refresh,
    onReturn: () => error && refresh(),
  });
  const isPolling = feed === "down" && flow?.hasPendingExecutions === true;
  usePolling(isPolling, refresh);
  return { statistics: flow === null ? null : flow?.statistics, feed, isPolling, error, refresh };
}
