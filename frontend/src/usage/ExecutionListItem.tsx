import { Badge } from "@mantine/core";
import { memo, type ReactNode } from "react";
import type { Address } from "../address/address";
import { Link } from "../address/navigation";
import type { ExecutionRow } from "../api/documents";
import { Duration } from "../parts/Duration";
import { formatTime, formatUtc } from "../text/time";
import styles from "./ExecutionListItem.module.css";
import { ExecutionStatusBadge } from "./ExecutionStatusBadge";

interface ExecutionListItemProps {
  execution: ExecutionRow;
  /** Where its detail is. */
  to: Address;
  isSelected: boolean;
  /** Whether the tab key comes here; the arrow keys go everywhere. */
  isReachable: boolean;
  /** Whether rows are of several flows, so that each must say which. */
  showsFlow: boolean;
}

/** One execution in two lines of fixed height, so that nothing below moves when it ends. */
export const ExecutionListItem = memo(function ExecutionListItem(props: ExecutionListItemProps): ReactNode {
  const { execution, to, isSelected, isReachable, showsFlow } = props;
  const { status, startedAt, durationMs, initialParamsPreview, isPreview, errorInfo } = execution;
  const tabIndex = isReachable ? 0 : -1;
  return (
    <li className={styles.item} data-selected={isSelected || undefined}>
      <span className={styles.status}>
        <ExecutionStatusBadge status={status} tabIndex={tabIndex} />
      </span>
      <Link to={to} className={styles.link} tabIndex={tabIndex} aria-current={isSelected || undefined} data-row="">
        <span className={styles.first}>
          <time dateTime={startedAt} title={formatUtc(startedAt)}>
            {formatTime(startedAt, new Date())}
          </time>
          {isPreview && (
            <Badge component="span" size="xs" variant="outline" color="grape" className={styles.preview}>
              Preview
            </Badge>
          )}
          <span className={styles.duration} data-status={status}>
            <Duration startedAt={startedAt} milliseconds={durationMs} />
          </span>
        </span>
        <span className={styles.second}>
          {showsFlow && <span className={styles.flow}>{execution.flowName}</span>}
          {errorInfo?.nodeName && <span className={styles.failed}>{errorInfo.nodeName}</span>}
          <span className={styles.params}>{initialParamsPreview || "No parameters"}</span>
        </span>
      </Link>
    </li>
  );
}, isSameItem);

/** The address is made anew with every list: its text is what counts. */
function isSameItem(before: ExecutionListItemProps, after: ExecutionListItemProps): boolean {
  return (
    before.execution === after.execution &&
    before.isSelected === after.isSelected &&
    before.isReachable === after.isReachable &&
    before.showsFlow === after.showsFlow &&
    JSON.stringify(before.to) === JSON.stringify(after.to)
  );
}
