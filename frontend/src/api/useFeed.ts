import { useEffect, useEffectEvent, useState } from "react";
import type { ExecutionChange } from "./documents";
import { type FeedState, followChanges } from "./feed";

interface Feed {
  /** The flow's id; null for the changes of all flows; undefined while it is not known yet. */
  flowId: string | null | undefined;
  /** Where the rows on show were read; undefined while there are none. The feed starts at the first it gets. */
  cursor: string | undefined;
  onStart(): void;
  onChange(change: ExecutionChange): void;
  /** The rows must be read anew: the feed starts again at the cursor they bring. */
  onResync(): void;
  /** The feed is back after it was down. It brings what was missed; what could not be read meanwhile is to be read now. */
  onReturn(): void;
}

/** Follow the changes since rows were read, for as long as the component is there (spec 5.6). */
export function useFeed({ flowId, cursor, onStart, onChange, onResync, onReturn }: Feed): FeedState {
  const [state, setState] = useState<FeedState>("connecting");
  const [start, setStart] = useState<{ flowId: string | null; cursor: string } | null>(null);
  const [refused, setRefused] = useState<string | null>(null);
  const started = useEffectEvent(onStart);
  const changed = useEffectEvent(onChange);
  const returned = useEffectEvent(onReturn);
  const resync = useEffectEvent((served: string) => {
    setRefused(served);
    setStart(null);
    onResync();
  });

  const isDue = flowId !== undefined && cursor !== undefined && cursor !== refused;
  if (isDue && start?.flowId !== flowId) setStart({ flowId, cursor });

  useEffect(() => {
    if (start === null) return;
    started();
    let wasDown = false;
    return followChanges(start.flowId, start.cursor, {
      onState: (next) => {
        setState(next);
        if (next === "live" && wasDown) returned();
        wasDown = next === "down" || (wasDown && next !== "live");
      },
      onChange: (change) => changed(change),
      onResync: () => resync(start.cursor),
    });
  }, [start]);
  return state;
}
