/** One execution as JSON, with every value in its exact text. */

import type { Client } from "urql";
import { WholeExecution } from "../api/documents";
import { indented } from "../json/print";

/** Read everything of an execution and return it as indented JSON. Raises CombinedError when it can't be read. */
export async function executionAsJson(client: Client, uuid: string): Promise<string> {
  const { data, error } = await client.query(WholeExecution, { uuid }, { requestPolicy: "network-only" }).toPromise();
  if (error) throw error;
  return indented(withExactValues(data?.execution ?? null));
}

/** Return JSON text in which every `…Info` stands as the value it tells of: digits that a browser would round stay. */
export function withExactValues(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(withExactValues).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([name]) => name !== "__typename")
    .map(([name, member]) => {
      const text = (member as { text?: unknown } | null)?.text;
      return typeof text === "string"
        ? `${JSON.stringify(name.replace(/Info$/, ""))}:${text}`
        : `${JSON.stringify(name)}:${withExactValues(member)}`;
    });
  return `{${members.join(",")}}`;
}
