import { TextInput } from "@mantine/core";
import { type ReactNode, useCallback, useEffect, useEffectEvent, useMemo, useState } from "react";
import { useQuery } from "urql";
import { NO_PLACE } from "../address/address";
import { Link, navigate, useTitle } from "../address/navigation";
import { type FlowSummary, Flows } from "../api/documents";
import { useFeed } from "../api/useFeed";
import { usePolling } from "../api/usePolling";
import { useRefresh } from "../api/useRefresh";
import { Failure } from "../parts/Failure";
import { LiveSign } from "../parts/LiveSign";
import { Notice } from "../parts/Notice";
import { SkeletonRows } from "../parts/SkeletonRows";
import { WrapInstructions } from "../parts/WrapInstructions";
import { spanStart } from "../usage/usageFilter";
import { useKept } from "../usage/useKept";
import styles from "./FlowList.module.css";
import { FlowListItem } from "./FlowListItem";

const PAGE_SIZE = 50;
const REFRESH_PAUSE_MS = 2_000;
const TYPING_MS = 300;

/** All flows with how they fare, live (spec 5.7). */
export function FlowList({ text }: { text: string }): ReactNode {
  useTitle();
  const { flows, hasMore, showMore, feed, isPolling, error, refresh } = useFlows(text);
  return (
    <main className={styles.page}>
      <div className={styles.heading}>
        <h1 className={styles.title}>Flows</h1>
        <LiveSign feed={feed} isPolling={isPolling} />
        <SearchField text={text} />
      </div>
      {flows ? (
        <FlowTable flows={flows} text={text} />
      ) : error ? (
        <Failure what="The flows" error={error} retry={refresh} />
      ) : (
        <SkeletonRows count={8} height={56} />
      )}
      {hasMore && (
        <button type="button" className={styles.more} onClick={showMore}>
          Show more flows
        </button>
      )}
      <p className={styles.footer}>
        <Link to={{ page: "deleted", place: NO_PLACE }}>Executions of deleted flows</Link>
      </p>
    </main>
  );
}

function FlowTable({ flows, text }: { flows: FlowSummary[]; text: string }): ReactNode {
  if (flows.length === 0 && text !== "") {
    return (
      <Notice title="No flow matches">
        <p>
          <Link to={{ page: "flows", text: "" }}>Show all flows</Link>
        </p>
      </Notice>
    );
  }
  if (flows.length === 0) {
    return (
      <Notice title="No flows yet">
        <p>A flow is a tool of an MCP server. Wrap a server, and its tools are listed here as soon as it starts.</p>
        <WrapInstructions server="orders" />
      </Notice>
    );
  }
  return (
    <table className={styles.table}>
      <thead>
        <tr>
          <th scope="col">Flow</th>
          <th scope="col" className={styles.wide}>
            Server
          </th>
          <th scope="col">Last execution</th>
          <th scope="col" className={`${styles.number} ${styles.wide}`}>
            Executions, 24 h
          </th>
          <th scope="col" className={`${styles.number} ${styles.wide}`}>
            Errors, 24 h
          </th>
        </tr>
      </thead>
      <tbody>
        {flows.map((flow) => (
          <FlowListItem key={flow.id} flow={flow} />
        ))}
      </tbody>
    </table>
  );
}

function SearchField({ text }: { text: string }): ReactNode {
  const [typed, setTyped] = useState(text);
  const search = useEffectEvent(() => navigate({ page: "flows", text: typed.trim() }, { replace: true }));
  useEffect(() => setTyped((before) => (before.trim() === text ? before : text)), [text]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: every letter starts the wait anew
  useEffect(() => {
    const timer = setTimeout(() => search(), TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <TextInput
      size="xs"
      type="search"
      className={styles.search}
      aria-label="Search flows"
      placeholder="Search flows"
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
    />
  );
}

/** The flows that match, page after page as the reader asks for more, read again when something changed. */
function useFlows(text: string) {
  const [more, setMore] = useState<{ text: string; count: number }>({ text, count: 1 });
  const count = more.text === text ? more.count : 1;
  const timeRange = useMemo(() => ({ from: spanStart("24h", new Date()) }), []);
  const [{ data, fetching, stale, error }, run] = useQuery({
    query: Flows,
    variables: { first: Math.min(PAGE_SIZE * count, 100), after: null, filter: text ? { text } : null, timeRange },
  });
  const read = useCallback(() => run({ requestPolicy: "network-only" }), [run]);
  const refresh = useRefresh(read, fetching || stale, REFRESH_PAUSE_MS);
  const feed = useFeed({
    flowId: null,
    cursor: stale ? undefined : data?.executions.changeCursor,
    onStart: () => undefined,
    onChange: ({ kind }) => kind.startsWith("NODE_") || refresh(),
    onResync: refresh,
  });
  const isPolling = feed === "down" && data?.executions.hasPendingExecutions === true;
  usePolling(isPolling, refresh);
  const kept = useKept(data, "flows");
  return {
    flows: kept?.flows.edges.map(({ node }) => node),
    hasMore: kept?.flows.pageInfo.hasNextPage === true,
    showMore: () => setMore({ text, count: count + 1 }),
    feed,
    isPolling,
    error,
    refresh,
  };
}
