import { type JsonNode, parseJson } from "./parse";

/** Return the JSON text of a tree, exact as it was parsed, indented by two spaces. */
export function printJson(node: JsonNode, indent = ""): string {
  const inner = `${indent}  `;
  switch (node.kind) {
    case "object": {
      const entries = node.entries.map(([key, value]) => `${inner}${JSON.stringify(key)}: ${printJson(value, inner)}`);
      return entries.length === 0 ? "{}" : `{\n${entries.join(",\n")}\n${indent}}`;
    }
    case "array": {
      const items = node.items.map((item) => inner + printJson(item, inner));
      return items.length === 0 ? "[]" : `[\n${items.join(",\n")}\n${indent}]`;
    }
    case "string":
      return JSON.stringify(node.value);
    default:
      return node.text;
  }
}

const LONGEST_INDENTED = 200_000;

/** Return the text as it reads best: indented, or as it is where it is no JSON or nobody would read it. */
export function indented(text: string): string {
  if (text.length > LONGEST_INDENTED) return text;
  try {
    return printJson(parseJson(text));
  } catch {
    return text;
  }
}
