const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration a person reads at a glance: "0.4 ms", "12 ms", "1.24 s", "1 m 05 s", "2 h 03 m", "3 d 4 h". */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 9.95) return `${trimmed(milliseconds, 1)} ms`;
  if (milliseconds < 999.5) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 9_995) return `${(milliseconds / SECOND).toFixed(2)} s`;
  if (milliseconds < 59_950) return `${(milliseconds / SECOND).toFixed(1)} s`;
  if (milliseconds < HOUR - SECOND / 2) return pair(Math.round(milliseconds / SECOND), 60, "m", "s", 2);
  if (milliseconds < DAY - MINUTE / 2) return pair(Math.round(milliseconds / MINUTE), 60, "h", "m", 2);
  return pair(Math.round(milliseconds / HOUR), 24, "d", "h", 1);
}

function trimmed(value: number, digits: number): string {
  return value.toFixed(digits).replace(/\.0+$/, "");
}

function pair(total: number, base: number, large: string, small: string, digits: number): string {
  const rest = String(total % base).padStart(digits, "0");
  return `${Math.floor(total / base)} ${large} ${rest} ${small}`;
}

/** The same without what a running clock would make flicker: whole seconds below an hour. */
export function formatElapsed(milliseconds: number): string {
  return milliseconds < MINUTE ? `${Math.max(0, Math.floor(milliseconds / SECOND))} s` : formatDuration(milliseconds);
}
