import type { ReactNode } from "react";
import type { ExecutionDetails } from "../api/documents";
import { CopyButton } from "../parts/CopyButton";
import styles from "./ExecutionError.module.css";

type ErrorInfo = NonNullable<ExecutionDetails["errorInfo"]>;

/** What each kind of error means to who reads it. */
export const ERROR_KINDS: Record<ErrorInfo["kind"], string> = {
  TOOL_ERROR: "The tool answered with an error",
  EXCEPTION: "The tool raised an exception",
  PROTOCOL_ERROR: "The call was not understood",
  CANCELLED: "The client cancelled, or went away",
  TIMED_OUT: "Timed out",
  INTERRUPTED: "The server process died",
};

/** Why an execution failed, and in which node. */
export function ExecutionError({ error }: { error: ErrorInfo }): ReactNode {
  const { kind, message, nodeName, nodeId, stack } = error;
  return (
    <section className={styles.error} aria-label="Error">
      <div className={styles.heading}>
        <h3 className={styles.title}>
          {ERROR_KINDS[kind]}
          {nodeName && (
            <>
              {" in "}
              <strong title={nodeId ?? undefined}>{nodeName}</strong>
            </>
          )}
        </h3>
        <code className={styles.kind}>{kind}</code>
        <CopyButton what="the error" text={() => stack ?? message} />
      </div>
      <p className={styles.message}>{message}</p>
      {stack && (
        <details>
          <summary>Stack</summary>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be within reach of the keyboard */}
          <pre className={styles.stack} tabIndex={0}>
            {stack}
          </pre>
        </details>
      )}
    </section>
  );
}
