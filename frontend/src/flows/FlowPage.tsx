import type { ReactNode } from "react";
import { useQuery } from "urql";
import { type Address, ALL_FLOWS, NO_PLACE } from "../address/address";
import { Link, useTitle } from "../address/navigation";
import { FlowByTool } from "../api/documents";
import { Failure } from "../parts/Failure";
import { Notice } from "../parts/Notice";
import styles from "./FlowPage.module.css";

interface FlowPageProps {
  page: "usage" | "statistics";
  server: string;
  toolName: string;
  /** The tab's content. */
  children: ReactNode;
}

/** One flow: what it is, and a tab for its executions and one for their statistics. */
export function FlowPage({ page, server, toolName, children }: FlowPageProps): ReactNode {
  const [{ data, error }, run] = useQuery({ query: FlowByTool, variables: { server, toolName } });
  const flow = data?.flow;
  useTitle(page === "usage" ? "Usage" : "Statistics", flow?.name ?? toolName, server);
  if (flow === null) {
    return (
      <Notice title="There is no such flow" titleOrder={1}>
        <p>
          No tool <code>{toolName}</code> of a server <code>{server}</code> is known: the name may be mistyped, or the
          flow deleted.
        </p>
        <p>
          <Link to={ALL_FLOWS}>All flows</Link> ·{" "}
          <Link to={{ page: "executions", place: NO_PLACE }}>Executions of all flows</Link>
        </p>
      </Notice>
    );
  }
  if (flow === undefined && error) {
    return <Failure what="The flow" error={error} retry={() => run({ requestPolicy: "network-only" })} />;
  }
  return (
    <main className={styles.page}>
      <div className={styles.heading}>
        <nav aria-label="Breadcrumb" className={styles.trail}>
          <Link to={ALL_FLOWS}>Flows</Link> / {server} / <code>{toolName}</code>
        </nav>
        <h1 className={styles.name}>{flow?.name ?? toolName}</h1>
        <p className={styles.description} title={flow?.description ?? undefined}>
          {flow?.description ?? "\u00a0"}
        </p>
        <nav aria-label="Of this flow" className={styles.tabs}>
          <Tab to={{ page: "usage", server, toolName, place: NO_PLACE }} isCurrent={page === "usage"}>
            Usage
          </Tab>
          <Tab to={{ page: "statistics", server, toolName, span: null }} isCurrent={page === "statistics"}>
            Statistics
          </Tab>
        </nav>
      </div>
      {children}
    </main>
  );
}

function Tab({ to, isCurrent, children }: { to: Address; isCurrent: boolean; children: ReactNode }): ReactNode {
  return (
    <Link to={to} className={styles.tab} aria-current={isCurrent ? "page" : undefined}>
      {children}
    </Link>
  );
}
