/** The change feed. */

import { graphql, type ResultOf } from "../graphql";
import { ExecutionRow } from "./row";

export const ExecutionChanges = graphql(
  `
  subscription ExecutionChanges($flowId: ID, $after: String) {
    executionChanges(flowId: $flowId, after: $after) {
      __typename
      ... on ExecutionChange {
        cursor
        kind
        executionId
        execution {
          ...ExecutionRow
        }
      }
      ... on ResyncRequired {
        reason
      }
    }
  }
`,
  [ExecutionRow],
);
export type ExecutionChangeEvent = ResultOf<typeof ExecutionChanges>["executionChanges"];
export type ExecutionChange = Extract<ExecutionChangeEvent, { __typename: "ExecutionChange" }>;
