import { Tooltip } from "@mantine/core";
import type { ReactNode } from "react";
import type { Status } from "../address/address";
import styles from "./ExecutionStatusBadge.module.css";

export const STATUS_NAMES: Record<Status, string> = { PENDING: "Pending", FULFILLED: "Fulfilled", ERROR: "Error" };

const EXPLAINED: Record<Status, string> = {
  PENDING: "Pending: execution in progress",
  FULFILLED: "Fulfilled: completed successfully",
  ERROR: "Error: execution failed",
};

interface ExecutionStatusBadgeProps {
  status: Status;
  /** -1 where the arrow keys bring the reader here, as in a list. */
  tabIndex?: 0 | -1;
}

/** The coloured circle of an execution; what it means by hover and by keyboard (spec 5.2). */
export function ExecutionStatusBadge({ status, tabIndex = 0 }: ExecutionStatusBadgeProps): ReactNode {
  return (
    <Tooltip
      label={EXPLAINED[status]}
      events={{ hover: true, focus: true, touch: true }}
      withArrow
      position="top-start"
    >
      <span role="img" aria-label={EXPLAINED[status]} tabIndex={tabIndex} className={styles.badge}>
        <StatusCircle status={status} />
      </span>
    </Tooltip>
  );
}

/** The circle alone, where the words stand beside it; told apart by its drawing too. `isStill`: it stands for the status as such. */
export function StatusCircle({ status, isStill }: { status: Status | "COMPLETED"; isStill?: boolean }): ReactNode {
  return (
    <svg viewBox="0 0 16 16" width={14} height={14} className={styles.circle} data-status={status} aria-hidden="true">
      {status === "PENDING" ? (
        <>
          <circle cx={8} cy={8} r={6.5} className={styles.track} />
          <path d="M8 1.5A6.5 6.5 0 0 1 14.5 8" className={isStill ? styles.still : styles.turning} />
        </>
      ) : (
        <>
          <circle cx={8} cy={8} r={8} fill="currentColor" />
          <path
            d={status === "ERROR" ? "m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2" : "m4.6 8.3 2.3 2.3 4.5-4.8"}
            className={styles.mark}
          />
        </>
      )}
    </svg>
  );
}
