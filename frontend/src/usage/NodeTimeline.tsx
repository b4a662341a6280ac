import { memo, type ReactNode } from "react";
import type { ExecutionDetails, NodeRow } from "../api/documents";
import { useNow } from "../parts/useNow";
import { formatDuration } from "../text/duration";
import styles from "./NodeTimeline.module.css";

interface NodeTimelineProps {
  execution: ExecutionDetails;
  nodes: NodeRow[];
  /** A reader pointed at a bar: show the node's card. */
  onSelect(position: number): void;
}

/** When each node ran within its execution. The cards say the same in words, so the bars are left out of the tab order. */
export function NodeTimeline(props: NodeTimelineProps): ReactNode {
  return props.execution.endedAt === null ? <Running {...props} /> : <Bars {...props} until={endOf(props)} />;
}

function Running(props: NodeTimelineProps): ReactNode {
  return <Bars {...props} until={Math.max(useNow(), endOf(props))} />;
}

/** The last moment known of, in ms: nodes may outlive a timeout. */
function endOf({ execution, nodes }: NodeTimelineProps): number {
  const ends = nodes.map(({ startedAt, endedAt }) => Date.parse(endedAt ?? startedAt));
  return Math.max(Date.parse(execution.endedAt ?? execution.startedAt), ...ends);
}

const Bars = memo(function Bars({
  execution,
  nodes,
  onSelect,
  until,
}: NodeTimelineProps & { until: number }): ReactNode {
  const from = Math.min(Date.parse(execution.startedAt), ...nodes.map(({ startedAt }) => Date.parse(startedAt)));
  const length = Math.max(until - from, 1);
  return (
    <div className={styles.timeline} aria-hidden="true">
      <div className={styles.bars}>
        {nodes.map(({ id, position, nodeName, status, startedAt, endedAt }) => {
          const start = Date.parse(startedAt) - from;
          const end = (endedAt === null ? until : Date.parse(endedAt)) - from;
          return (
            <button
              key={id}
              type="button"
              tabIndex={-1}
              className={styles.row}
              title={`${nodeName}: ${formatDuration(Math.max(end - start, 0))}, from ${formatDuration(Math.max(start, 0))}`}
              onClick={() => onSelect(position)}
            >
              <span className={styles.name}>{nodeName}</span>
              <span className={styles.track}>
                <span
                  className={styles.bar}
                  data-status={status}
                  style={{
                    left: `min(${(start / length) * 100}%, 100% - 3px)`,
                    width: `${(Math.max(end - start, 0) / length) * 100}%`,
                  }}
                />
              </span>
            </button>
          );
        })}
      </div>
      <div className={styles.scale}>
        <span>0</span>
        <span>{formatDuration(length)}</span>
      </div>
    </div>
  );
});
