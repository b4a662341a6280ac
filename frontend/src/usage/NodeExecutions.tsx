import { type ReactNode, useCallback, useRef } from "react";
import type { ExecutionDetails } from "../api/documents";
import { NodeExecutionCard } from "./NodeExecutionCard";
import styles from "./NodeExecutions.module.css";
import { NodeTimeline } from "./NodeTimeline";
import { useGrowing } from "./useGrowing";

const OPEN_AT_ONCE = 6;

/** The nodes of an execution in the order they started: on a timeline, and each as a card. */
export function NodeExecutions({ execution }: { execution: ExecutionDetails }): ReactNode {
  const nodes = execution.nodeExecutions;
  const cards = useRef<HTMLOListElement>(null);
  const shown = useGrowing(nodes.length);
  const reveal = useCallback((position: number) => {
    const card = cards.current?.querySelector<HTMLElement>(`[data-position="${position}"]`);
    card?.scrollIntoView({ block: "nearest" });
    card?.querySelector<HTMLElement>("button")?.focus({ preventScroll: true });
  }, []);
  if (nodes.length === 0) {
    return (
      <p className={styles.none}>
        {execution.status === "PENDING" ? "No node has started yet." : "This execution ran no nodes."}
      </p>
    );
  }
  const depths = depthsOf(nodes);
  const failed = nodes.find(({ status }) => status === "ERROR")?.position;
  return (
    <section aria-label="Nodes" className={styles.nodes}>
      <h3 className={styles.title}>
        {nodes.length.toLocaleString()} {nodes.length === 1 ? "node" : "nodes"}
      </h3>
      <NodeTimeline execution={execution} nodes={nodes.slice(0, shown)} onSelect={reveal} />
      <ol ref={cards} className={styles.cards}>
        {nodes.slice(0, shown).map((node) => (
          <NodeExecutionCard
            key={node.id}
            node={node}
            depth={depths.get(node.position) ?? 0}
            isOpenAtFirst={nodes.length <= OPEN_AT_ONCE || node.position === failed}
          />
        ))}
      </ol>
    </section>
  );
}

/** How many nodes enclose each. A parent always started before its children. */
function depthsOf(nodes: ExecutionDetails["nodeExecutions"]): Map<number, number> {
  const depths = new Map<number, number>();
  for (const { position, parentPosition } of nodes) {
    depths.set(position, parentPosition === null ? 0 : (depths.get(parentPosition) ?? -1) + 1);
  }
  return depths;
}
