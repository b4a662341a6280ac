/** Flows, and how they fare. */

import { graphql, type ResultOf } from "../graphql";
import { ExecutionRow } from "./row";

const FlowHeading = graphql(`
  fragment FlowHeading on Flow {
    id
    server
    toolName
    name
    description
    hasPendingExecutions
  }
`);

export const FlowByTool = graphql(
  `
  query FlowByTool($server: String!, $toolName: String!) {
    flow(by: { tool: { server: $server, toolName: $toolName } }) {
      ...FlowHeading
      timeoutMs
    }
  }
`,
  [FlowHeading],
);

export const Flows = graphql(
  `
  query Flows($first: Int!, $after: String, $filter: FlowFilter, $timeRange: TimeRange) {
    flows(first: $first, after: $after, filter: $filter) {
      edges {
        node {
          ...FlowHeading
          statistics(timeRange: $timeRange) {
            total
            errorRate
          }
          executions(first: 1) {
            edges {
              node {
                ...ExecutionRow
              }
            }
          }
        }
      }
      pageInfo {
        hasNextPage
        endCursor
      }
    }
    executions(first: 0) {
      hasPendingExecutions
      changeCursor
    }
  }
`,
  [FlowHeading, ExecutionRow],
);
export type FlowSummary = ResultOf<typeof Flows>["flows"]["edges"][number]["node"];

export const FlowStatistics = graphql(`
  query FlowStatistics($server: String!, $toolName: String!, $timeRange: TimeRange) {
    flow(by: { tool: { server: $server, toolName: $toolName } }) {
      id
      hasPendingExecutions
      statistics(timeRange: $timeRange) {
        total
        errorRate
        p50DurationMs
        p95DurationMs
        p99DurationMs
        byStatus {
          status
          count
        }
        histogram {
          from
          to
          byStatus {
            status
            count
          }
        }
        topErrors(first: 10) {
          kind
          nodeId
          message
          count
          lastSeenAt
          sample {
            uuid
          }
        }
      }
      executions(first: 0) {
        changeCursor
      }
    }
  }
`);
export type Statistics = NonNullable<NonNullable<ResultOf<typeof FlowStatistics>["flow"]>["statistics"]>;
