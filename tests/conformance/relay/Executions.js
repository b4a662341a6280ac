// What an application on Relay writes: pages that grow, pages anew after a change, objects again by their id.
import { graphql } from "relay-runtime";

export const query = graphql`
  query ExecutionsQuery($flowId: ID!, $first: Int = 20, $after: String) {
    flow(by: { id: $flowId }) {
      ...Executions_flow @arguments(first: $first, after: $after)
    }
  }
`;

export const page = graphql`
  fragment Executions_flow on Flow
  @refetchable(queryName: "ExecutionsPageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" }) {
    executions(first: $first, after: $after) @connection(key: "Executions_flow__executions") {
      totalCount
      edges {
        node {
          id
          status
          ...Executions_execution
        }
      }
    }
  }
`;

export const row = graphql`
  fragment Executions_execution on Execution @refetchable(queryName: "ExecutionsRowQuery") {
    startedAt
    durationMs
    initialParamsPreview
  }
`;

export const changes = graphql`
  subscription ExecutionsChangesSubscription($flowId: ID!, $after: String) {
    executionChanges(flowId: $flowId, after: $after) {
      ... on ExecutionChange {
        cursor
        execution {
          id
          status
          ...Executions_execution
        }
      }
      ... on ResyncRequired {
        reason
      }
    }
  }
`;
