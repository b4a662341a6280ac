/** From what the reader chose to what the service is asked for, and back to whether a change belongs to it. */

import type { UsageFilter } from "../address/address";
import type { ExecutionRow, FlowExecutions } from "../api/documents";
import type { VariablesOf } from "../api/graphql";

export type ExecutionFilter = NonNullable<VariablesOf<typeof FlowExecutions>["filter"]>;

/** `since` is the start of the chosen span, settled once, so that the pages of a list are pages of the same list. */
export function toExecutionFilter(filter: UsageFilter, since: string | null): ExecutionFilter {
  const from = filter.from ?? (filter.to === null ? since : null);
  return {
    ...(filter.status.length > 0 && { status: [...filter.status] }),
    ...((from !== null || filter.to !== null) && { startedAt: { from, to: filter.to } }),
    ...(filter.isPreview !== null && { isPreview: filter.isPreview }),
    ...(filter.text !== "" && { text: filter.text }),
  };
}

/** Whether an execution that the feed brought belongs to the list. */
export function isWanted(filter: ExecutionFilter, execution: ExecutionRow): boolean {
  const { status, startedAt, isPreview, text } = filter;
  const started = Date.parse(execution.startedAt);
  return (
    (!status || status.includes(execution.status)) &&
    (!startedAt?.from || started >= Date.parse(startedAt.from)) &&
    (!startedAt?.to || started < Date.parse(startedAt.to)) &&
    (isPreview == null || execution.isPreview === isPreview) &&
    (!text || searched(execution).includes(text.toLowerCase()))
  );
}

function searched({ initialParamsPreview, flowName, errorInfo }: ExecutionRow): string {
  const texts = [initialParamsPreview, flowName, errorInfo?.message ?? "", errorInfo?.nodeName ?? ""];
  return texts.join("\n").toLowerCase();
}
