import type { ReactNode } from "react";
import { Notice } from "../parts/Notice";
import { WrapInstructions } from "../parts/WrapInstructions";
import type { Scope } from "./useUsage";

/** Before the first execution: how to get one. */
export function ExecutionEmptyState({ scope }: { scope: Scope }): ReactNode {
  if (scope === null) {
    return (
      <Notice title="Nothing here">
        <p>No flow with executions has been deleted.</p>
      </Notice>
    );
  }
  return (
    <Notice title="No executions yet">
      <p>
        Call <code>{scope.toolName}</code> from an MCP client: the execution appears here as it starts. Is the server
        wrapped?
      </p>
      <WrapInstructions server={scope.server} />
    </Notice>
  );
}
