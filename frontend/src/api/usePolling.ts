import { useEffect, useEffectEvent, useSyncExternalStore } from "react";

const POLL_MS = 3_000;

function subscribe(listener: () => void): () => void {
  document.addEventListener("visibilitychange", listener);
  return () => document.removeEventListener("visibilitychange", listener);
}

/** Whether somebody may be looking. */
export function useIsVisible(): boolean {
  return useSyncExternalStore(subscribe, () => document.visibilityState === "visible");
}

/** Call `poll` every 3 seconds while it is `needed` and the tab is visible (spec 5.6). */
export function usePolling(needed: boolean, poll: () => void): void {
  const isActive = useIsVisible() && needed;
  const tick = useEffectEvent(poll);
  useEffect(() => {
    if (!isActive) return;
    const timer = setInterval(() => tick(), POLL_MS);
    return () => clearInterval(timer);
  }, [isActive]);
}
