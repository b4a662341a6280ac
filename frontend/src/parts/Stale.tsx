import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import type { CombinedError } from "urql";
import { explain } from "../api/client";
import styles from "./Stale.module.css";

/** Says that what is on show may be out of date, why, and how to try again at once. */
export function Stale({ what, error, retry }: { what: string; error: CombinedError; retry(): void }): ReactNode {
  return (
    <div role="status" className={styles.stale}>
      <span>
        {what} could not be brought up to date. {explain(error)}
      </span>
      <Button variant="subtle" color="orange" size="compact-xs" c="inherit" onClick={retry}>
        Retry
      </Button>
    </div>
  );
}
