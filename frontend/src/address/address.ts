/** What the address bar says: which page, and what of it. The one place that reads and writes it (spec 5.3). */

export const STATUSES = ["PENDING", "FULFILLED", "ERROR"] as const;
export type Status = (typeof STATUSES)[number];

/** The spans of time on offer, in minutes. */
export const SPANS = { "15m": 15, "1h": 60, "24h": 1440, "7d": 10_080, "30d": 43_200 } as const;
export type Span = keyof typeof SPANS;

/** The start of a span that ends `now`. */
export function spanStart(span: Span, now: Date): string {
  return new Date(now.getTime() - SPANS[span] * 60_000).toISOString();
}

/** What of a list of executions is wanted. `from` and `to` are RFC 3339 in UTC and go before `span`. */
export interface UsageFilter {
  status: readonly Status[];
  span: Span | null;
  from: string | null;
  to: string | null;
  isPreview: boolean | null;
  text: string;
}

export const NO_FILTER: UsageFilter = { status: [], span: null, from: null, to: null, isPreview: null, text: "" };

/** A list of executions and what is selected in it. `after` is the cursor of the page; null on page 1. */
export interface UsagePlace {
  filter: UsageFilter;
  after: string | null;
  execution: string | null;
}

export const NO_PLACE: UsagePlace = { filter: NO_FILTER, after: null, execution: null };

export type Address =
  | { page: "flows"; text: string; after: string | null }
  | { page: "usage"; server: string; toolName: string; place: UsagePlace }
  | { page: "statistics"; server: string; toolName: string; span: Span | null }
  | { page: "executions"; place: UsagePlace }
  | { page: "deleted"; place: UsagePlace }
  | { page: "signIn"; to: string }
  | { page: "unknown" };

/** Where everything begins. */
export const ALL_FLOWS: Address = { page: "flows", text: "", after: null };

/** Read a path and query string, as of `window.location`. What can't be understood of a query is left out. */
export function parseAddress(pathname: string, search: string): Address {
  const query = new URLSearchParams(search);
  const segments = decoded(pathname);
  if (segments === null) return { page: "unknown" };
  const [page, server, toolName, tab, ...rest] = segments;
  if (page === undefined) {
    return { page: "flows", text: query.get("text") ?? "", after: query.get("after") || null };
  }
  if (server === undefined) return parseSingle(page, query);
  if (page !== "flows" || !toolName || rest.length > 0) return { page: "unknown" };
  if (tab === undefined) return { page: "usage", server, toolName, place: parsePlace(query) };
  if (tab === "statistics") return { page: "statistics", server, toolName, span: parseSpan(query.get("span")) };
  return { page: "unknown" };
}

/** Write an address as path and query string; `parseAddress` reads it back. */
export function formatAddress(address: Address): string {
  switch (address.page) {
    case "flows":
      return withQuery("/", [
        ["text", address.text],
        ["after", address.after],
      ]);
    case "usage":
      return withQuery(flowPath(address), placeQuery(address.place));
    case "statistics":
      return withQuery(`${flowPath(address)}/statistics`, [["span", address.span]]);
    case "executions":
    case "deleted":
      return withQuery(`/${address.page}`, placeQuery(address.place));
    case "signIn":
      return withQuery("/sign-in", [["to", address.to === "/" ? null : address.to]]);
    case "unknown":
      return "/";
  }
}

/** Whether anything is filtered at all. */
export function isFiltered(filter: UsageFilter): boolean {
  return placeQuery({ ...NO_PLACE, filter }).some(([, value]) => value);
}

/** The pages whose path is one word. */
function parseSingle(page: string, query: URLSearchParams): Address {
  switch (page) {
    case "executions":
    case "deleted":
      return { page, place: parsePlace(query) };
    case "sign-in":
      return { page: "signIn", to: localPath(query.get("to")) };
    default:
      return { page: "unknown" };
  }
}

/** A path of this very origin: whoever made the link must not choose where else a reader ends up. */
function localPath(text: string | null): string {
  const base = "http://localhost";
  if (!text?.startsWith("/") || !URL.canParse(text, base)) return "/";
  const { origin, pathname, search } = new URL(text, base);
  return origin === base && !pathname.startsWith("//") ? pathname + search : "/";
}

function decoded(pathname: string): string[] | null {
  try {
    return pathname
      .split("/")
      .filter((segment) => segment !== "")
      .map(decodeURIComponent);
  } catch {
    return null;
  }
}

function flowPath({ server, toolName }: { server: string; toolName: string }): string {
  return `/flows/${encodeURIComponent(server)}/${encodeURIComponent(toolName)}`;
}

function parsePlace(query: URLSearchParams): UsagePlace {
  const wanted = (query.get("status") ?? "").split(",");
  const preview = query.get("preview");
  return {
    filter: {
      status: STATUSES.filter((status) => wanted.includes(status)),
      span: parseSpan(query.get("span")),
      from: parseTime(query.get("from")),
      to: parseTime(query.get("to")),
      isPreview: preview === "only" ? true : preview === "without" ? false : null,
      text: query.get("text") ?? "",
    },
    after: query.get("after") || null,
    execution: query.get("execution") || null,
  };
}

type Query = [string, string | null][];

function placeQuery({ filter, after, execution }: UsagePlace): Query {
  return [
    ["status", filter.status.join(",")],
    ["span", filter.span],
    ["from", filter.from],
    ["to", filter.to],
    ["preview", filter.isPreview === null ? null : filter.isPreview ? "only" : "without"],
    ["text", filter.text],
    ["after", after],
    ["execution", execution],
  ];
}

function parseSpan(text: string | null): Span | null {
  return text !== null && Object.hasOwn(SPANS, text) ? (text as Span) : null;
}

function parseTime(text: string | null): string | null {
  const time = text === null ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}

function withQuery(path: string, query: Query): string {
  const given = query.filter((pair): pair is [string, string] => Boolean(pair[1]));
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}
