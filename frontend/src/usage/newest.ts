import type { ExecutionRow } from "../api/documents";

/** Of two readings of one execution return the newer: an end is never taken back, whichever answer was slower. */
export function newest(listed: ExecutionRow, told: ExecutionRow | undefined): ExecutionRow {
  if (told === undefined) return listed;
  if (listed.status === "PENDING" || told.status === "PENDING") return listed.status === "PENDING" ? told : listed;
  return told.updatedAt > listed.updatedAt ? told : listed;
}
