/** Times in the viewer's zone; the exact UTC stays at hand. All take RFC 3339. */

const TIME = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const FULL = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
});

/** The time of day, with the day where it is not `now`'s. */
export function formatTime(timestamp: string, now: Date): string {
  const date = new Date(timestamp);
  const time = TIME.format(date);
  if (date.toDateString() === now.toDateString()) return time;
  return `${(date.getFullYear() === now.getFullYear() ? DAY : DAY_OF_YEAR).format(date)}, ${time}`;
}

/** Day and time with milliseconds. */
export function formatFullTime(timestamp: string): string {
  return FULL.format(new Date(timestamp));
}

/** The exact time as recorded, microseconds included. */
export function formatUtc(timestamp: string): string {
  return `${timestamp.replace("T", " ").replace(/(Z|\+00:00)$/, "")} UTC`;
}

/** What a `datetime-local` field holds, in the viewer's zone. */
export function toLocalInput(timestamp: string | null): string {
  if (timestamp === null) return "";
  const date = new Date(timestamp);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** RFC 3339 of what a `datetime-local` field holds; null for nothing. */
export function fromLocalInput(text: string): string | null {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
