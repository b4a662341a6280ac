import type { ReactNode } from "react";
import { NO_PLACE } from "../address/address";
import { Link } from "../address/navigation";
import type { ExecutionDetails, Related } from "../api/documents";
import { formatDuration } from "../text/duration";
import { STATUS_NAMES, StatusCircle } from "./ExecutionStatusBadge";
import styles from "./RelatedExecutions.module.css";

/** The executions that this one's flow called. */
export function RelatedExecutions({ execution: { children } }: { execution: ExecutionDetails }): ReactNode {
  if (children.edges.length === 0) return null;
  return (
    <section aria-label="Called flows">
      <h3 className={styles.title}>Called flows</h3>
      <ul className={styles.list}>
        {children.edges.map(({ node }) => (
          <li key={node.uuid}>
            <RelatedLink execution={node} />
          </li>
        ))}
        {children.pageInfo.hasNextPage && <li>and more</li>}
      </ul>
    </section>
  );
}

/** Leads to another execution, wherever it is listed. */
export function RelatedLink({ execution }: { execution: Related }): ReactNode {
  const { uuid, server, flowName, flowToolName, status, durationMs, flow } = execution;
  const place = { ...NO_PLACE, execution: uuid };
  return (
    <Link
      className={styles.link}
      to={flow ? { page: "usage", server, toolName: flowToolName, place } : { page: "executions", place }}
    >
      <StatusCircle status={status} />
      <span className="visuallyHidden">{STATUS_NAMES[status]}:</span>
      {flowName}
      {durationMs !== null && <span className={styles.duration}>{formatDuration(durationMs)}</span>}
    </Link>
  );
}
