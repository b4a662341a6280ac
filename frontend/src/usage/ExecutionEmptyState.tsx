import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { NO_PLACE } from "../address/address";
import { Link } from "../address/navigation";
import { Notice } from "../parts/Notice";
import { WrapInstructions } from "../parts/WrapInstructions";
import type { Scope } from "./useUsage";

/** Before the first execution: how to get one. */
export function ExecutionEmptyState({ scope }: { scope: Scope }): ReactNode {
  if (scope === "deleted") {
    return (
      <Notice title="Nothing here">
        <p>No flow with executions has been deleted.</p>
        <Button component={Link} to={{ page: "executions", place: NO_PLACE }} variant="default">
          Executions of all flows
        </Button>
      </Notice>
    );
  }
  if (scope === "all") {
    return (
      <Notice title="No executions yet">
        <p>Wrap an MCP server and call one of its tools: the execution appears here as it starts.</p>
        <WrapInstructions server="orders" />
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
