import { Kbd } from "@mantine/core";
import type { ReactNode } from "react";
import { Notice } from "../parts/Notice";

/** What the right column says while nothing is selected. */
export function ExecutionDetailPlaceholder(): ReactNode {
  return (
    <Notice title="Select an execution">
      <p>Its parameters, its nodes and its outcome show here.</p>
      <p>
        <Kbd>j</Kbd> <Kbd>k</Kbd> or the arrow keys move in the list, <Kbd>Enter</Kbd> opens, <Kbd>Esc</Kbd> closes.
      </p>
    </Notice>
  );
}
