import type { ReactNode } from "react";
import type { ExecutionDetails } from "../api/documents";
import { Timestamp } from "../parts/Timestamp";
import { STATUS_NAMES, StatusCircle } from "./ExecutionStatusBadge";
import styles from "./LateOutcome.module.css";

type Outcome = NonNullable<ExecutionDetails["lateOutcome"]>;

/** What came after the end had been recorded: shown beside it, never instead of it (spec 1.8). */
export function LateOutcome({ outcome }: { outcome: Outcome }): ReactNode {
  const { status, endedAt, errorInfo } = outcome;
  return (
    <section className={styles.late} aria-label="Late outcome">
      <h3 className={styles.title}>
        A late outcome arrived: <StatusCircle status={status} /> {STATUS_NAMES[status]}
      </h3>
      <p className={styles.text}>
        The tool ended at <Timestamp at={endedAt} />, after the execution had been recorded as failed.
        {errorInfo && ` ${errorInfo.message}`}
      </p>
    </section>
  );
}
