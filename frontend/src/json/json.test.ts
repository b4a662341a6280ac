import fc from "fast-check";
import { expect, test } from "vitest";
import { type JsonNode, parseJson } from "./parse";
import { printJson } from "./print";

function plain(node: JsonNode): unknown {
  switch (node.kind) {
    case "object":
      return Object.fromEntries(node.entries.map(([key, value]) => [key, plain(value)]));
    case "array":
      return node.items.map(plain);
    case "string":
      return node.value;
    default:
      return JSON.parse(node.text);
  }
}

test("the tree says what JSON.parse says", () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: "binary" }), fc.constantFrom(undefined, 2), (text, spaces) => {
      const spaced = JSON.stringify(JSON.parse(text), null, spaces);
      expect(plain(parseJson(spaced))).toEqual(JSON.parse(spaced));
    }),
  );
});

test("what is printed parses to the same tree", () => {
  fc.assert(
    fc.property(fc.json({ stringUnit: "binary" }), (text) => {
      expect(parseJson(printJson(parseJson(text)))).toEqual(parseJson(text));
    }),
  );
});

test("long strings and deep trees are read", () => {
  const long = JSON.stringify('\\"é'.repeat(500_000));
  expect(parseJson(long)).toEqual({ kind: "string", value: JSON.parse(long) });
  const deep = "[".repeat(500) + "]".repeat(500);
  expect(printJson(parseJson(deep)).replace(/\s/g, "")).toBe(deep);
});

test("nothing is rounded, reordered, merged or repaired", () => {
  const text = '{"n":12345678901234567890.10,"2":1e400,"1":-0,"1":[],"__proto__":{},"lone":"\\ud800 \\u0000"}';
  expect(printJson(parseJson(text)).replace(/\n\s*|(?<=:) /g, "")).toBe(text);
});

test.each(["", "{", "[1,]", "{,}", '{"a" 1}', "01", "1 2", "nul", '"\n"', '"a', "[1 2]", "NaN"])(
  "%j is no JSON",
  (text) => {
    expect(() => parseJson(text)).toThrow(SyntaxError);
  },
);
