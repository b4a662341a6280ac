import { useEffect, useRef } from "react";
import { type CombinedError, useQuery } from "urql";
import { Values } from "../api/documents";
import type { ResultOf } from "../api/graphql";
import { useKept } from "../parts/useKept";

type Node = NonNullable<ResultOf<typeof Values>["node"]>;
export type ExecutionValues = Extract<Node, { __typename: "Execution" }>;
export type NodeValues = Extract<Node, { __typename: "NodeExecution" }>;

interface Read {
  node: Node | null | undefined;
  error: CombinedError | undefined;
  retry(): void;
}

/** Read the values of an execution or a node, and again when its `version` changes. */
export function useValues(id: string, version: string): Read {
  const [{ data, error }, run] = useQuery({ query: Values, variables: { id } });
  const read = useRef(version);
  useEffect(() => {
    if (read.current === version) return;
    read.current = version;
    run({ requestPolicy: "network-only" });
  }, [version, run]);
  return { node: useKept(data?.node, id), error, retry: () => run({ requestPolicy: "network-only" }) };
}
