import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import type { CombinedError } from "urql";
import { explain } from "../api/client";
import { Notice } from "./Notice";

/** What could not be read, why, and the way to try again. */
export function Failure({ what, error, retry }: { what: string; error: CombinedError; retry(): void }): ReactNode {
  return (
    <Notice title={`${what} could not be read`} role="alert">
      <p>{explain(error)}</p>
      <Button variant="default" onClick={retry}>
        Retry
      </Button>
    </Notice>
  );
}
