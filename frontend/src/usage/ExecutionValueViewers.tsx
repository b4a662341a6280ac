import type { ReactNode } from "react";
import type { ExecutionDetails } from "../api/documents";
import { Failure } from "../parts/Failure";
import { SkeletonRows } from "../parts/SkeletonRows";
import { DataViewer } from "./DataViewer";
import { useValues } from "./useValues";
import styles from "./ValueViewers.module.css";

/** The parameters an execution began with and what came of it. */
export function ExecutionValueViewers({ execution }: { execution: ExecutionDetails }): ReactNode {
  const { id, status, lateOutcome } = execution;
  const { node, error, retry } = useValues(id, `${status} ${lateOutcome?.endedAt}`);
  if (node?.__typename !== "Execution") {
    return error ? <Failure what="The values" error={error} retry={retry} /> : <SkeletonRows count={2} />;
  }
  const { initialParamsInfo, resultInfo } = node;
  const late = node.lateOutcome?.resultInfo;
  return (
    <div className={styles.viewers}>
      <DataViewer title="Initial parameters" payload={initialParamsInfo} />
      {resultInfo && <DataViewer title="Result" payload={resultInfo} />}
      {late && <DataViewer title="Late result" payload={late} />}
    </div>
  );
}
