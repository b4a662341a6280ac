import { expect, test } from "vitest";
import { formatPercent } from "./percent";

test.each([
  [0, "0 %"],
  [0.00001, "0.1 %"],
  [0.123, "12 %"],
  [0.9999, "99.9 %"],
  [1, "100 %"],
])("%d is %s", (share, text) => {
  expect(formatPercent(share)).toBe(text);
});
