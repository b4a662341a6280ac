import { initGraphQLTada } from "gql.tada";
import type { introspection } from "./schema-types";

/** Types a GraphQL document by the service's schema. Fragments are plain types: a component says in its props what it needs. */
export const graphql = initGraphQLTada<{
  introspection: introspection;
  disableMasking: true;
  scalars: { DateTime: string; JSON: unknown; UUID: string };
}>();

export type { FragmentOf, ResultOf, VariablesOf } from "gql.tada";
