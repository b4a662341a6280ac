import { TextInput } from "@mantine/core";
import { type ReactNode, useCallback, useEffect, useEffectEvent, useMemo, useState } from "react";
import { useQuery } from "urql";
import { ALL_FLOWS, NO_PLACE, spanStart } from "../address/address";
import { Link, navigate, useTitle } from "../address/navigation";
import { type FlowSummary, Flows } from "../api/documents";
import { useFeed } from "../api/useFeed";
import { usePolling } from "../api/usePolling";
import { useRefresh } from "../api/useRefresh";
import { Failure } from "../parts/Failure";
import { LiveSign } from "../parts/LiveSign";
import { Notice } from "../parts/Notice";
import { SkeletonRows } from "../parts/SkeletonRows";
import { Stale } from "../parts/Stale";
import { useKept } from "../parts/useKept";
import { WrapInstructions } from "../parts/WrapInstructions";
import styles from "./FlowList.module.css";
import { FlowListItem } from "./FlowListItem";

const PAGE_SIZE = 50;
const REFRESH_PAUSE_MS = 2_000;
const TYPING_MS = 300;

/** All flows with how they fare, live (spec 5.7). */
export function FlowList({ text, after }: { text: string; after: string | null }): ReactNode {
  useTitle();
  const { flows, next, feed, isPolling, error, refresh } = useFlows(text, after);
  return (
    <main className={styles.page}>
      <div className={styles.heading}>
        <h1 className={styles.title}>Flows</h1>
        <LiveSign feed={feed} isPolling={isPolling} />
        <SearchField text={text} />
      </div>
      {flows && error && <Stale what="The list" error={error} retry={refresh} />}
      {flows ? (
        <FlowTable flows={flows} text={text} />
      ) : error ? (
        <Failure what="The flows" error={error} retry={refresh} />
      ) : (
        <SkeletonRows count={8} height={56} />
      )}
      {(after !== null || next !== null) && (
        <nav className={styles.pages} aria-label="Pages">
          {after !== null && <Link to={{ page: "flows", text, after: null }}>First page</Link>}
          {next !== null && <Link to={{ page: "flows", text, after: next }}>Next page</Link>}
        </nav>
      )}
      <p className={styles.footer}>
        <Link to={{ page: "executions", place: NO_PLACE }}>Executions of all flows</Link>
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
          <Link to={ALL_FLOWS}>Show all flows</Link>
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
  const search = useEffectEvent(() => {
    if (typed.trim() !== text) navigate({ page: "flows", text: typed.trim(), after: null }, { replace: true });
  });
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

/** A page of the flows that match, read again when something changed. */
function useFlows(text: string, after: string | null) {
  const timeRange = useMemo(() => ({ from: spanStart("24h", new Date()) }), []);
  const [{ data, fetching, stale, error }, run] = useQuery({
    query: Flows,
    variables: { first: PAGE_SIZE, after, filter: text ? { text } : null, timeRange },
  });
  const read = useCallback(() => run({ requestPolicy: "network-only" }), [run]);
  const refresh = useRefresh(read, fetching || stale, REFRESH_PAUSE_MS);
  const kept = useKept(data, "flows");
  const feed = useFeed({
    flowId: null,
    cursor: stale ? undefined : data?.executions.changeCursor,
    onStart: () => undefined,
    onChange: ({ kind }) => kind.startsWith("NODE_") || refresh(),
    onResync: refresh,
    onReturn: () => error && refresh(),
  });
  const isPolling = feed === "down" && kept?.executions.hasPendingExecutions === true;
  usePolling(isPolling, refresh);
  const flows = kept?.flows;
  return {
    flows: flows?.edges.map(({ node }) => node),
    next: flows?.pageInfo.hasNextPage ? flows.pageInfo.endCursor : null,
    feed,
    isPolling,
    error,
    refresh,
  };
}
