import type { ReactNode } from "react";
import { NO_PLACE } from "../address/address";
import { Link } from "../address/navigation";
import type { FlowSummary } from "../api/documents";
import { Duration } from "../parts/Duration";
import { formatPercent } from "../text/percent";
import { formatTime, formatUtc } from "../text/time";
import { STATUS_NAMES, StatusCircle } from "../usage/ExecutionStatusBadge";
import styles from "./FlowList.module.css";

/** A flow in one row: whether it is running, how it last went, how often it fails. */
export function FlowListItem({ flow }: { flow: FlowSummary }): ReactNode {
  const { server, toolName, name, description, hasPendingExecutions, statistics } = flow;
  const last = flow.executions.edges[0]?.node;
  return (
    <tr className={styles.row}>
      <th scope="row" className={styles.flow}>
        <Link to={{ page: "usage", server, toolName, place: NO_PLACE }} className={styles.link}>
          {name}
        </Link>
        {hasPendingExecutions && <span className={styles.running}>Running</span>}
        <span className={styles.tool}>
          <span className={styles.narrow}>{server} / </span>
          {name !== toolName && <code>{toolName}</code>}
          {description}
        </span>
      </th>
      <td className={styles.wide}>{server}</td>
      <td>
        {last ? (
          <span className={styles.last}>
            <StatusCircle status={last.status} />
            <span className="visuallyHidden">{STATUS_NAMES[last.status]}</span>
            <time dateTime={last.startedAt} title={formatUtc(last.startedAt)}>
              {formatTime(last.startedAt, new Date())}
            </time>
            <span className={styles.duration}>
              <Duration startedAt={last.startedAt} milliseconds={last.durationMs} />
            </span>
          </span>
        ) : (
          <span className={styles.none}>Never</span>
        )}
      </td>
      <td className={`${styles.number} ${styles.wide}`}>{statistics?.total.toLocaleString() ?? "–"}</td>
      <td className={`${styles.number} ${styles.wide}`} data-errors={(statistics?.errorRate ?? 0) > 0 || undefined}>
        {statistics?.errorRate == null ? "–" : formatPercent(statistics.errorRate)}
      </td>
    </tr>
  );
}
