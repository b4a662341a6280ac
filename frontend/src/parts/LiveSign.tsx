import { Tooltip } from "@mantine/core";
import type { ReactNode } from "react";
import type { FeedState } from "../api/feed";
import styles from "./LiveSign.module.css";

const SAYINGS = {
  connecting: ["Connecting", "Connecting to the service for live updates"],
  live: ["Live", "Changes appear as they happen"],
  polling: ["Checking every 3 s", "Live updates are interrupted: checked every 3 seconds while something is pending"],
  down: ["Not live", "Live updates are interrupted: they are tried again, and bring what was missed"],
} as const;

/** Tells quietly how fresh the page is. */
export function LiveSign({ feed, isPolling }: { feed: FeedState; isPolling: boolean }): ReactNode {
  const state = feed === "down" && isPolling ? "polling" : feed;
  const [short, long] = SAYINGS[state];
  return (
    <Tooltip label={long} events={{ hover: true, focus: true, touch: true }} withArrow>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is shown by hover must be within reach of the keyboard */}
      <span role="status" tabIndex={0} className={styles.sign} data-state={state}>
        {short}
      </span>
    </Tooltip>
  );
}
