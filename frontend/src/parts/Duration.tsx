import type { ReactNode } from "react";
import { formatDuration, formatElapsed } from "../text/duration";
import { useNow } from "./useNow";

/** How long something took, or how long it has been running. `milliseconds` is null while it runs. */
export function Duration({ startedAt, milliseconds }: { startedAt: string; milliseconds: number | null }): ReactNode {
  return milliseconds === null ? <Elapsed startedAt={startedAt} /> : formatDuration(milliseconds);
}

function Elapsed({ startedAt }: { startedAt: string }): ReactNode {
  return formatElapsed(useNow() - Date.parse(startedAt));
}
