import { Badge } from "@mantine/core";
import type { ReactNode } from "react";
import type { ExecutionDetails } from "../api/documents";
import { CopyButton } from "../parts/CopyButton";
import { Duration } from "../parts/Duration";
import { Timestamp } from "../parts/Timestamp";
import styles from "./ExecutionFacts.module.css";
import { RelatedLink } from "./RelatedExecutions";

/** When, how long, and who called. Facts that are not known are left out, the times never. */
export function ExecutionFacts({ execution }: { execution: ExecutionDetails }): ReactNode {
  const { uuid, startedAt, endedAt, durationMs, client, caller, traceId, parent, isPreview, flow } = execution;
  return (
    <dl className={styles.facts}>
      <Fact name="Started">
        <Timestamp at={startedAt} />
        {isPreview && (
          <Badge size="xs" variant="outline" color="grape" className={styles.preview}>
            Preview
          </Badge>
        )}
      </Fact>
      <Fact name="Ended">{endedAt ? <Timestamp at={endedAt} /> : "Still running"}</Fact>
      <Fact name="Duration">
        <Duration startedAt={startedAt} milliseconds={durationMs} />
      </Fact>
      {flow === null && <Fact name="Flow">Deleted, or the server never offered such a tool</Fact>}
      {client && <Fact name="Client">{[client.name, client.version].filter(Boolean).join(" ")}</Fact>}
      {caller?.subject && <Fact name="Caller">{caller.subject}</Fact>}
      {caller?.clientId && <Fact name="Client id">{caller.clientId}</Fact>}
      {caller?.sessionId && <Fact name="Session">{caller.sessionId}</Fact>}
      {caller?.requestId && <Fact name="Request">{caller.requestId}</Fact>}
      {parent && (
        <Fact name="Called by">
          <RelatedLink execution={parent} />
        </Fact>
      )}
      {traceId && (
        <Fact name="Trace">
          <code>{traceId}</code> <CopyButton what="the trace id" text={() => traceId} />
        </Fact>
      )}
      <Fact name="Execution">
        <code>{uuid}</code> <CopyButton what="the execution id" text={() => uuid} />
      </Fact>
    </dl>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }): ReactNode {
  return (
    <div className={styles.fact}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
