/** Every operation of the page. Those that show rows select no payload: values are read when they are opened. */

import { type FragmentOf, graphql, type ResultOf } from "./graphql";

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

const ExecutionPage = graphql(
  `
  fragment ExecutionPage on ExecutionConnection {
    edges {
      node {
        ...ExecutionRow
      }
    }
    totalCount
    totalCountIsExact
    hasPendingExecutions
    changeCursor
    pageCursors {
      first {
        ...PageLink
      }
      around {
        ...PageLink
      }
      last {
        ...PageLink
      }
      previous {
        ...PageLink
      }
      next {
        ...PageLink
      }
    }
  }
  fragment PageLink on PageCursor {
    cursor
    page
    isCurrent
  }
`,
  [ExecutionRow],
);
export type ExecutionPage = FragmentOf<typeof ExecutionPage>;
export type PageCursors = NonNullable<ExecutionPage["pageCursors"]>;
export type PageLink = PageCursors["first"];

export const FlowExecutions = graphql(
  `
  query FlowExecutions($server: String!, $toolName: String!, $first: Int!, $after: String, $filter: ExecutionFilter) {
    flow(by: { tool: { server: $server, toolName: $toolName } }) {
      id
      executions(first: $first, after: $after, filter: $filter) {
        ...ExecutionPage
      }
    }
  }
`,
  [ExecutionPage],
);

export const Executions = graphql(
  `
  query Executions($first: Int!, $after: String, $filter: ExecutionFilter) {
    executions(first: $first, after: $after, filter: $filter) {
      ...ExecutionPage
    }
  }
`,
  [ExecutionPage],
);

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

const NodeRow = graphql(`
  fragment NodeRow on NodeExecution {
    id
    position
    parentPosition
    nodeId
    nodeName
    nodeType
    status
    startedAt
    endedAt
    durationMs
    error
  }
`);
export type NodeRow = FragmentOf<typeof NodeRow>;

const Related = graphql(`
  fragment Related on Execution {
    uuid
    server
    flowName
    flowToolName
    status
    durationMs
    flow {
      id
    }
  }
`);
export type Related = FragmentOf<typeof Related>;

export const ExecutionDetails = graphql(
  `
  query ExecutionDetails($uuid: UUID!) {
    execution(by: { uuid: $uuid }) {
      ...ExecutionRow
      endedAt
      nodeCount
      traceId
      client {
        name
        version
      }
      caller {
        subject
        clientId
        sessionId
        requestId
      }
      errorInfo {
        nodeId
        stack
      }
      lateOutcome {
        status
        endedAt
        errorInfo {
          kind
          message
          nodeName
        }
      }
      nodeExecutions {
        ...NodeRow
      }
      flow {
        id
      }
      parent {
        ...Related
      }
      children(first: 20) {
        edges {
          node {
            ...Related
          }
        }
        pageInfo {
          hasNextPage
        }
      }
    }
  }
`,
  [ExecutionRow, NodeRow, Related],
);
export type ExecutionDetails = NonNullable<ResultOf<typeof ExecutionDetails>["execution"]>;

const Payload = graphql(`
  fragment Payload on PayloadInfo {
    text
    sizeBytes
    isTruncated
  }
`);
export type Payload = FragmentOf<typeof Payload>;

/** The values of one execution, or of one of its nodes: heavy, so apart from the details. */
export const Values = graphql(
  `
  query Values($id: ID!) {
    node(id: $id) {
      __typename
      ... on Execution {
        initialParamsInfo {
          ...Payload
        }
        resultInfo {
          ...Payload
        }
        lateOutcome {
          resultInfo {
            ...Payload
          }
        }
      }
      ... on NodeExecution {
        inputInfo {
          ...Payload
        }
        outputInfo {
          ...Payload
        }
      }
    }
  }
`,
  [Payload],
);

/** All there is about one execution, to be copied. */
export const WholeExecution = graphql(`
  query WholeExecution($uuid: UUID!) {
    execution(by: { uuid: $uuid }) {
      uuid
      server
      flowName
      flowToolName
      status
      startedAt
      endedAt
      durationMs
      isPreview
      traceId
      client {
        name
        version
      }
      caller {
        subject
        clientId
        sessionId
        requestId
      }
      errorInfo {
        kind
        message
        nodeId
        nodeName
        stack
      }
      initialParamsInfo {
        text
      }
      resultInfo {
        text
      }
      lateOutcome {
        status
        endedAt
        errorInfo {
          kind
          message
          nodeId
          nodeName
          stack
        }
        resultInfo {
          text
        }
      }
      nodeExecutions {
        position
        parentPosition
        nodeId
        nodeName
        nodeType
        status
        startedAt
        endedAt
        durationMs
        error
        inputInfo {
          text
        }
        outputInfo {
          text
        }
      }
      parent {
        uuid
      }
    }
  }
`);

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
