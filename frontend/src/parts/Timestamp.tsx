import { Tooltip } from "@mantine/core";
import type { ReactNode } from "react";
import { formatFullTime, formatUtc } from "../text/time";

/** A time in the viewer's zone; the exact UTC by hover and by keyboard. */
export function Timestamp({ at }: { at: string }): ReactNode {
  return (
    <Tooltip label={formatUtc(at)} events={{ hover: true, focus: true, touch: true }} withArrow>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is shown by hover must be within reach of the keyboard */}
      <time dateTime={at} tabIndex={0}>
        {formatFullTime(at)}
      </time>
    </Tooltip>
  );
}
