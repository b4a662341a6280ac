import { expect, test } from "vitest";
import { NO_FILTER } from "../address/address";
import type { ExecutionRow, PageLink } from "../api/documents";
import { newest } from "./newest";
import { isWanted, toExecutionFilter } from "./usageFilter";
import { withGaps } from "./withGaps";

const row: ExecutionRow = {
  id: "RXhlY3V0aW9u",
  uuid: "01a20444-3bae-7407-a2f7-2e9cd606a546",
  server: "orders",
  flowName: "Ship an order",
  flowToolName: "ship",
  status: "PENDING",
  startedAt: "2026-03-14T12:00:00.000001Z",
  durationMs: null,
  initialParamsPreview: "order: 17",
  isPreview: false,
  updatedAt: "2026-03-14T12:00:01Z",
  errorInfo: null,
};
const ended: ExecutionRow = { ...row, status: "FULFILLED", durationMs: 5, updatedAt: "2026-03-14T12:00:02Z" };

test("an end is never taken back, whichever reading was slower", () => {
  expect(newest(row, undefined)).toBe(row);
  expect(newest(row, ended)).toBe(ended);
  expect(newest(ended, row)).toBe(ended);
  const later = { ...ended, updatedAt: "2026-03-14T12:07:00Z" };
  expect(newest(ended, later)).toBe(later);
  expect(newest(later, ended)).toBe(later);
});

test.each([
  [{}, true],
  [{ status: ["PENDING"] as const }, true],
  [{ status: ["ERROR", "FULFILLED"] as const }, false],
  [{ from: "2026-03-14T12:00:00.000Z" }, true],
  [{ to: "2026-03-14T12:00:00.000Z" }, false],
  [{ isPreview: true }, false],
  [{ text: "SHIP AN" }, true],
  [{ text: "17" }, true],
  [{ text: "18" }, false],
])("a change belongs to the list filtered by %o: %s", (filter, isPart) => {
  expect(isWanted(toExecutionFilter({ ...NO_FILTER, ...filter }, null), row)).toBe(isPart);
});

test("nothing is asked for that was not chosen, and a range goes before a span", () => {
  expect(toExecutionFilter(NO_FILTER, null)).toEqual({});
  const since = "2026-03-14T11:00:00.000Z";
  expect(toExecutionFilter({ ...NO_FILTER, span: "1h" }, since)).toEqual({ startedAt: { from: since, to: null } });
  const to = "2026-03-14T10:00:00.000Z";
  expect(toExecutionFilter({ ...NO_FILTER, to }, since)).toEqual({ startedAt: { from: null, to } });
});

test("the page bar names every page once, in order, with a mark for what it leaves out", () => {
  const link = (page: number): PageLink => ({ page, cursor: null, isCurrent: false });
  const shown = withGaps([1, 4, 5, 6, 1, 20].map(link)).map((entry) => (typeof entry === "string" ? "…" : entry.page));
  expect(shown).toEqual([1, "…", 4, 5, 6, "…", 20]);
});
