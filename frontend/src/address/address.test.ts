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
  fc.record({ page: fc.constantFrom("executions" as const, "deleted" as const), place }),
  fc.record({
    page: fc.constant("signIn" as const),
    to: fc.constantFrom("/", "/graphql", "/flows/a/b?text=x%20y&span=1h"),
  }),
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

test("signing in leads nowhere but to this service", () => {
  const strange = [
    "https://elsewhere.example",
    "//elsewhere.example",
    "/\\elsewhere.example",
    "/.//elsewhere.example",
    "/%",
  ];
  const written = fc.oneof(
    fc.constantFrom(...strange),
    fc.webPath(),
    fc.string({ unit: fc.constantFrom(..."/\\.:@a\t") }),
  );
  fc.assert(
    fc.property(written, (to) => {
      const read = parseAddress("/sign-in", `?${new URLSearchParams({ to })}`);
      expect(read.page === "signIn" && new URL(read.to, "http://localhost").origin).toBe("http://localhost");
    }),
  );
});

test("a filter is on as soon as one of its parts is", () => {
  expect(isFiltered(NO_FILTER)).toBe(false);
  expect(isFiltered({ ...NO_FILTER, isPreview: false })).toBe(true);
  expect(isFiltered({ ...NO_FILTER, text: "x" })).toBe(true);
});
