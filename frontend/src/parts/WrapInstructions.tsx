import type { ReactNode } from "react";
import { CopyButton } from "./CopyButton";
import styles from "./WrapInstructions.module.css";

/** How a server's calls get here, ready to copy (spec 5.5). */
export function WrapInstructions({ server }: { server: string }): ReactNode {
  const wrapped = `from fastmcp import FastMCP
from flowtrail.mcp import ExecutionTracking

mcp = FastMCP(${JSON.stringify(server)}, middleware=[ExecutionTracking()])
`;
  const service = `export FLOWTRAIL_URL=${window.location.origin}/graphql`;
  return (
    <div className={styles.steps}>
      <Snippet title="Wrap a FastMCP server" text={wrapped} />
      <Snippet title="Record any other MCP server, unchanged" text="flowtrail proxy -- COMMAND…" />
      <Snippet title="Tell either where this service is" text={service} />
      <p className={styles.elsewhere}>
        On the service's own machine that is all. From another one, set <code>FLOWTRAIL_RECORD_TOKEN</code> too:{" "}
        <code>flowtrail token create NAME --scope record</code> makes one.
      </p>
    </div>
  );
}

function Snippet({ title, text }: { title: string; text: string }): ReactNode {
  return (
    <figure className={styles.snippet}>
      <figcaption className={styles.caption}>
        {title}
        <CopyButton what={title} text={() => text} />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be within reach of the keyboard */}
      <pre className={styles.code} tabIndex={0}>
        {text.trimEnd()}
      </pre>
    </figure>
  );
}
