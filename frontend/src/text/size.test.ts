import { expect, test } from "vitest";
import { formatSize } from "./size";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1536, "1.5 KiB"],
  [12 * 1024 * 1024, "12 MiB"],
  [1024 * 1024 - 1, "1.0 MiB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
