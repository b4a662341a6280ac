/**
 * The change feed over one WebSocket (spec 3): followed from a cursor, resumed from the last one seen after every interruption, so
 * that nothing is missed and nothing has to be read twice.
 */

import { stringifyDocument } from "@urql/core";
import { type Client, createClient } from "graphql-ws";
import { type ExecutionChange, type ExecutionChangeEvent, ExecutionChanges } from "./documents";

/** "down": no socket; it is tried again from time to time. */
export type FeedState = "connecting" | "live" | "down";

export interface Follower {
  /** A change happened, or is told again. */
  onChange(change: ExecutionChange): void;
  /** The cursor can't be served any more: query anew, then follow from the new cursor. */
  onResync(): void;
  onState(state: FeedState): void;
}

const DOCUMENT = stringifyDocument(ExecutionChanges);
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;
const KEEP_ALIVE_MS = 10_000;

/** Follow the changes of a flow, or of all of them, from a cursor on. Returns how to stop. */
export function followChanges(flowId: string | null, after: string, follower: Follower): () => void {
  const feed = new Feed(flowId, after, follower);
  feed.start();
  return () => feed.stop();
}

class Feed {
  private client: Client | null = null;
  private unsubscribe: (() => void) | null = null;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;

  constructor(
    private readonly flowId: string | null,
    private cursor: string,
    private readonly follower: Follower,
  ) {}

  start(): void {
    window.addEventListener("online", this.retryNow);
    document.addEventListener("visibilitychange", this.retryNow);
    this.follower.onState("connecting");
    this.connect();
  }

  stop(): void {
    window.removeEventListener("online", this.retryNow);
    document.removeEventListener("visibilitychange", this.retryNow);
    clearTimeout(this.retry);
    this.release();
  }

  /** A socket for each attempt: a new one after a failure never inherits anything of the old. */
  private connect(): void {
    let pongDue: ReturnType<typeof setTimeout> | undefined;
    const client = createClient({
      url: `${window.location.protocol === "https:" ? "wss" : "ws"}://${window.location.host}/graphql`,
      retryAttempts: 0,
      keepAlive: KEEP_ALIVE_MS,
      on: {
        connected: () => this.connected(),
        // A socket can be dead without being closed, as after a laptop's sleep: silence after our ping ends it.
        ping: (isFromServer) => {
          if (!isFromServer) pongDue = setTimeout(() => client.terminate(), KEEP_ALIVE_MS / 2);
        },
        pong: (isFromServer) => {
          if (isFromServer) clearTimeout(pongDue);
        },
        closed: () => clearTimeout(pongDue),
      },
    });
    this.client = client;
    // The socket lives as long as this one subscription. Closing it ourselves could be too early for what is still to be sent.
    this.unsubscribe = client.subscribe<{ executionChanges: ExecutionChangeEvent }>(
      { query: DOCUMENT, variables: { flowId: this.flowId, after: this.cursor } },
      {
        next: ({ data }) => client === this.client && data && this.receive(data.executionChanges),
        error: () => client === this.client && this.failed(),
        complete: () => client === this.client && this.failed(),
      },
    );
  }

  private connected(): void {
    this.failures = 0;
    this.follower.onState("live");
  }

  private receive(event: ExecutionChangeEvent): void {
    if (event.__typename === "ResyncRequired") {
      this.stop();
      this.follower.onResync();
    } else {
      this.cursor = event.cursor;
      this.follower.onChange(event);
    }
  }

  private failed(): void {
    this.release();
    this.follower.onState("down");
    const wait = Math.min(FIRST_RETRY_MS * 2 ** this.failures, LAST_RETRY_MS);
    this.failures += 1;
    // Half of it by chance: a thousand pages must not come back to a restarted service in one moment.
    this.retry = setTimeout(() => this.connect(), wait / 2 + (Math.random() * wait) / 2);
  }

  private readonly retryNow = (): void => {
    if (this.client !== null || document.visibilityState !== "visible") return;
    clearTimeout(this.retry);
    this.connect();
  };

  private release(): void {
    this.client = null;
    this.unsubscribe?.();
    this.unsubscribe = null;
  }
}
