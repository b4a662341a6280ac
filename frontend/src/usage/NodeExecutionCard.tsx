import { memo, type ReactNode, useId, useState } from "react";
import type { NodeRow } from "../api/documents";
import { Duration } from "../parts/Duration";
import { Failure } from "../parts/Failure";
import { ChevronIcon } from "../parts/icons";
import { SkeletonRows } from "../parts/SkeletonRows";
import { Timestamp } from "../parts/Timestamp";
import { DataViewer } from "./DataViewer";
import { StatusCircle } from "./ExecutionStatusBadge";
import styles from "./NodeExecutionCard.module.css";
import { useValues } from "./useValues";

const NODE_STATUS_NAMES: Record<NodeRow["status"], string> = {
  PENDING: "Pending",
  COMPLETED: "Completed",
  ERROR: "Error",
};

interface NodeExecutionCardProps {
  node: NodeRow;
  /** How many nodes enclose it. */
  depth: number;
  isOpenAtFirst: boolean;
}

/** One node: what it is and how it went; what it took in and gave out once it is opened. */
export const NodeExecutionCard = memo(function NodeExecutionCard(props: NodeExecutionCardProps): ReactNode {
  const { node, depth, isOpenAtFirst } = props;
  const [isOpen, setOpen] = useState(isOpenAtFirst);
  const content = useId();
  return (
    <li
      className={styles.card}
      data-status={node.status}
      data-position={node.position}
      style={{ marginLeft: Math.min(depth, 6) * 16 }}
    >
      <button
        type="button"
        className={styles.heading}
        aria-expanded={isOpen}
        aria-controls={isOpen ? content : undefined}
        onClick={() => setOpen(!isOpen)}
      >
        <ChevronIcon direction={isOpen ? "down" : "right"} />
        <StatusCircle status={node.status} />
        <span className={styles.name}>{node.nodeName}</span>
        <span className={styles.type}>{node.nodeType}</span>
        <span className="visuallyHidden">{NODE_STATUS_NAMES[node.status]}</span>
        <span className={styles.duration}>
          <Duration startedAt={node.startedAt} milliseconds={node.durationMs} />
        </span>
      </button>
      {node.error && <p className={styles.error}>{node.error}</p>}
      {isOpen && (
        <div id={content} className={styles.content}>
          <NodeContent node={node} />
        </div>
      )}
    </li>
  );
});

function NodeContent({ node: row }: { node: NodeRow }): ReactNode {
  const { node, error, retry } = useValues(row.id, row.status);
  if (node?.__typename !== "NodeExecution") {
    return error ? <Failure what="The values" error={error} retry={retry} /> : <SkeletonRows count={1} />;
  }
  const { inputInfo, outputInfo } = node;
  return (
    <>
      <p className={styles.facts}>
        {NODE_STATUS_NAMES[row.status]} · <code>{row.nodeId}</code> · started <Timestamp at={row.startedAt} />
      </p>
      {inputInfo && <DataViewer title="Input" payload={inputInfo} />}
      {outputInfo && <DataViewer title="Output" payload={outputInfo} />}
      {!inputInfo && !outputInfo && <p className={styles.facts}>No input or output was recorded.</p>}
    </>
  );
}
