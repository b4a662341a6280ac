import { Button } from "@mantine/core";
import { type ReactNode, useCallback, useEffect } from "react";
import { type CombinedError, useClient, useQuery } from "urql";
import { NO_PLACE } from "../address/address";
import { Link } from "../address/navigation";
import { type ExecutionDetails as Details, ExecutionDetails } from "../api/documents";
import { useRefresh } from "../api/useRefresh";
import { CopyButton } from "../parts/CopyButton";
import { Failure } from "../parts/Failure";
import { ChevronIcon, CloseIcon } from "../parts/icons";
import { Notice } from "../parts/Notice";
import { SkeletonRows } from "../parts/SkeletonRows";
import { Stale } from "../parts/Stale";
import { useKept } from "../parts/useKept";
import styles from "./ExecutionDetail.module.css";
import { ExecutionError } from "./ExecutionError";
import { ExecutionFacts } from "./ExecutionFacts";
import { STATUS_NAMES, StatusCircle } from "./ExecutionStatusBadge";
import { ExecutionValueViewers } from "./ExecutionValueViewers";
import { executionAsJson } from "./executionAsJson";
import { LateOutcome } from "./LateOutcome";
import { NodeExecutions } from "./NodeExecutions";
import { RelatedExecutions } from "./RelatedExecutions";
import type { Signals } from "./signals";
import type { Scope } from "./useUsage";

interface ExecutionDetailProps {
  uuid: string;
  /** Whose executions the list beside it shows. */
  scope: Scope;
  signals: Signals;
  onClose(): void;
}

const REFRESH_PAUSE_MS = 300;

/** Everything about one execution, why it failed first (spec 5.4). */
export function ExecutionDetail({ uuid, scope, signals, onClose }: ExecutionDetailProps): ReactNode {
  const { execution, error, refresh } = useExecution(uuid, signals);
  if (execution === undefined) {
    return error ? <Failure what="The execution" error={error} retry={refresh} /> : <SkeletonRows count={7} />;
  }
  if (execution === null) {
    return (
      <Notice title="There is no such execution">
        <p>It may have been purged, or the address is mistyped.</p>
        <Button variant="default" onClick={onClose}>
          Back to the list
        </Button>
      </Notice>
    );
  }
  return (
    <article className={styles.detail}>
      {error && <Stale what="This execution" error={error} retry={refresh} />}
      <Heading execution={execution} isOfFlow={typeof scope !== "string"} onClose={onClose} />
      {execution.errorInfo && <ExecutionError error={execution.errorInfo} />}
      {execution.lateOutcome && <LateOutcome outcome={execution.lateOutcome} />}
      <ExecutionFacts execution={execution} />
      <ExecutionValueViewers execution={execution} />
      <NodeExecutions execution={execution} />
      <RelatedExecutions execution={execution} />
    </article>
  );
}

interface HeadingProps {
  execution: Details;
  /** Whether this is the page of the execution's own flow. */
  isOfFlow: boolean;
  onClose(): void;
}

function Heading({ execution, isOfFlow, onClose }: HeadingProps): ReactNode {
  const client = useClient();
  const { uuid, status, flow, flowName, flowToolName, server } = execution;
  const name = `${server} / ${flowToolName}`;
  const place = { ...NO_PLACE, execution: uuid };
  return (
    <header className={styles.heading}>
      <Button
        className={styles.back}
        variant="subtle"
        size="compact-sm"
        leftSection={<ChevronIcon direction="left" />}
        onClick={onClose}
      >
        Executions
      </Button>
      <h2 className={styles.title}>
        <StatusCircle status={status} />
        <span className={styles.status} data-status={status}>
          {STATUS_NAMES[status]}
        </span>
        {flowName}
      </h2>
      <code className={styles.tool}>
        {isOfFlow || !flow ? name : <Link to={{ page: "usage", server, toolName: flowToolName, place }}>{name}</Link>}
      </code>
      <div className={styles.actions}>
        <CopyButton what="the execution as JSON" label="Copy as JSON" text={() => executionAsJson(client, uuid)} />
        <Button
          className={styles.close}
          variant="subtle"
          color="gray"
          size="compact-xs"
          aria-label="Close the detail"
          onClick={onClose}
        >
          <CloseIcon />
        </Button>
      </div>
    </header>
  );
}

interface ReadExecution {
  /** Undefined while loading; null when there is none. */
  execution: Details | null | undefined;
  error: CombinedError | undefined;
  refresh(): void;
}

function useExecution(uuid: string, signals: Signals): ReadExecution {
  const [{ data, error, fetching, stale }, run] = useQuery({ query: ExecutionDetails, variables: { uuid } });
  const read = useCallback(() => run({ requestPolicy: "network-only" }), [run]);
  const refresh = useRefresh(read, fetching || stale, REFRESH_PAUSE_MS);
  useEffect(() => signals.listen(uuid, refresh), [signals, uuid, refresh]);
  return { execution: useKept(data?.execution, uuid), error, refresh };
}
