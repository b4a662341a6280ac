import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Address,
  formatAddress,
  isFiltered,
  NO_FILTER,
  parseAddress,
  SPANS,
  type Span,
  STATUSES,
} from "./address";

const span = fc.option(fc.constantFrom(...(Object.keys(SPANS) as Span[])));
const time = fc.option(fc.date({ noInvalidDate: true, min: new Date(0) }).map((date) => date.toISOString()));
const name = fc
  .string({ minLength: 1, unit: "grapheme" })
  // What an address can't tell apart from a folder: WHATWG URLs resolve dot segments away.
  .filter((text) => text !== "." && text !== "..");
const place = fc.record({
  filter: fc.record({
    status: fc.subarray([...STATUSES]),
    span,
    from: time,
    to: time,
    isPreview: fc.option(fc.boolean()),
    text: fc.string({ unit: "grapheme" }),
  }),
  after: fc.option(fc.base64String({ minLength: 1 })),
  execution: fc.option(fc.uuid()),
});
const address: fc.Arbitrary<Address> = fc.oneof(
  fc.record({
    page: fc.constant("flows" as const),
    text: fc.string(),
    after: fc.option(fc.base64String({ minLength: 1 })),
  }),
  fc.record({ page: fc.constant("usage" as const), server: name, toolName: name, place }),
  fc.record({ page: fc.constant("statistics" as const), server: name, toolName: name, span }),
  fc.record({ page: fc.constant("deleted" as const), place }),
);

test("every address survives the address bar", () => {
  fc.assert(
    fc.property(address, (wanted) => {
      const url = new URL(formatAddress(wanted), "http://localhost");
      expect(parseAddress(url.pathname, url.search)).toEqual(wanted);
    }),
  );
});

test.each([
  "/flows",
  "/flows/orders",
  "/flows/orders/ship/usage",
  "/flows/a/b/statistics/c",
  "/nowhere",
  "/flows/%E0/x",
])("%s is no page", (path) => {
  expect(parseAddress(path, "")).toEqual({ page: "unknown" });
});

test("what can't be understood of a query is left out", () => {
  const read = parseAddress("/flows/orders/ship", "?status=BROKEN,ERROR&span=toString&from=soon&preview=maybe");
  expect(read).toMatchObject({ page: "usage", place: { filter: { ...NO_FILTER, status: ["ERROR"] } } });
});

test("a filter is on as soon as one of its parts is", () => {
  expect(isFiltered(NO_FILTER)).toBe(false);
  expect(isFiltered({ ...NO_FILTER, isPreview: false })).toBe(true);
  expect(isFiltered({ ...NO_FILTER, text: "x" })).toBe(true);
});
