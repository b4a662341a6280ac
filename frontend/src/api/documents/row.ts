import { type FragmentOf, graphql } from "../graphql";

export const ExecutionRow = graphql(`
  fragment ExecutionRow on Execution {
    id
    uuid
    server
    flowName
    flowToolName
    status
    startedAt
    durationMs
    initialParamsPreview
    isPreview
    updatedAt
    errorInfo {
      kind
      message
      nodeName
    }
  }
`);
export type ExecutionRow = FragmentOf<typeof ExecutionRow>;
