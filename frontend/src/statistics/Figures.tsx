import type { ReactNode } from "react";
import { STATUSES } from "../address/address";
import type { Statistics } from "../api/documents";
import { formatPercent } from "../text/percent";
import { STATUS_NAMES, StatusCircle } from "../usage/ExecutionStatusBadge";
import styles from "./StatisticsTab.module.css";

/** The totals of the time, and the share of errors among what has ended. */
export function Figures({ statistics: { total, byStatus, errorRate } }: { statistics: Statistics }): ReactNode {
  return (
    <dl className={styles.figures}>
      <div className={styles.figure}>
        <dt>Executions</dt>
        <dd>{total.toLocaleString()}</dd>
      </div>
      {STATUSES.map((status) => (
        <div key={status} className={styles.figure}>
          <dt>
            <StatusCircle status={status} isStill />
            {STATUS_NAMES[status]}
          </dt>
          <dd>{(byStatus.find((counted) => counted.status === status)?.count ?? 0).toLocaleString()}</dd>
        </div>
      ))}
      <div className={styles.figure}>
        <dt>Error rate</dt>
        <dd>{errorRate === null ? "–" : formatPercent(errorRate)}</dd>
      </div>
    </dl>
  );
}
