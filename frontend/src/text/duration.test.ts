import { expect, test } from "vitest";
import { formatDuration, formatElapsed } from "./duration";

test.each([
  [0, "0 ms"],
  [0.42, "0.4 ms"],
  [9.96, "10 ms"],
  [12.4, "12 ms"],
  [999.6, "1.00 s"],
  [1_240, "1.24 s"],
  [9_996, "10.0 s"],
  [59_940, "59.9 s"],
  [59_960, "1 m 00 s"],
  [65_000, "1 m 05 s"],
  [3_599_600, "1 h 00 m"],
  [7_380_000, "2 h 03 m"],
  [273_600_000, "3 d 4 h"],
])("%d ms is %s", (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

test("a running clock shows whole seconds and never less than none", () => {
  expect(formatElapsed(12_900)).toBe("12 s");
  expect(formatElapsed(-300)).toBe("0 s");
  expect(formatElapsed(61_200)).toBe("1 m 01 s");
});
