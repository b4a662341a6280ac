/**
 * The page's real operations, kept where the service's tests find them (tests/operations/page): those run each against the real schema
 * and count its SQL. `npx vitest run -u` writes them anew after a change.
 */

import { readFileSync } from "node:fs";
import { buildSchema, type DocumentNode, type OperationDefinitionNode, parse, print, validate } from "graphql";
import { expect, test } from "vitest";
import { examples } from "../graphiql/examples";
import * as documents from "./documents";

const schema = buildSchema(readFileSync("../schema.graphql", "utf8"));
const operations = (Object.values(documents) as DocumentNode[]).flatMap((document) =>
  document.definitions
    .filter((definition): definition is OperationDefinitionNode => definition.kind === "OperationDefinition")
    .map((definition) => [definition.name?.value ?? "", document] as const),
);

test.each(operations)("%s is kept and valid", async (name, document) => {
  expect(validate(schema, document)).toEqual([]);
  await expect(`${print(document)}\n`).toMatchFileSnapshot(`../../../tests/operations/page/${name}.graphql`);
});

test.each(examples)("GraphiQL's example %# is valid", (text) => {
  expect(validate(schema, parse(text))).toEqual([]);
});
