/** One execution: its details, its values apart from them, and all of it at once. */

import { type FragmentOf, graphql, type ResultOf } from "../graphql";
import { ExecutionRow } from "./row";

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
