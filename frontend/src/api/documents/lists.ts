/** Pages of executions. No payload is selected: values are read when they are opened. */

import { type FragmentOf, graphql } from "../graphql";
import { ExecutionRow } from "./row";

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
