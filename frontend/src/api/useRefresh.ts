import { useCallback, useEffect, useRef } from "react";

/**
 * Return a function that asks for `run`. It runs at once, but not twice within `pause` ms; asked while one is in flight, whose answer
 * may be older than the reason for asking, it runs once more afterwards.
 */
export function useRefresh(run: () => void, isFetching: boolean, pause: number): () => void {
  const latest = useRef({ run, isFetching });
  const state = useRef({ isWanted: false, lastRun: 0, timer: undefined as ReturnType<typeof setTimeout> | undefined });

  const settle = useCallback(() => {
    const current = state.current;
    if (!current.isWanted || latest.current.isFetching || current.timer !== undefined) return;
    const wait = Math.max(0, current.lastRun + pause - Date.now());
    current.timer = setTimeout(() => {
      current.timer = undefined;
      if (latest.current.isFetching) return;
      current.isWanted = false;
      current.lastRun = Date.now();
      latest.current.run();
    }, wait);
  }, [pause]);

  useEffect(() => {
    latest.current = { run, isFetching };
    settle();
  }, [run, isFetching, settle]);

  useEffect(() => {
    const current = state.current;
    return () => {
      clearTimeout(current.timer);
      current.timer = undefined;
    };
  }, []);

  return useCallback(() => {
    state.current.isWanted = true;
    settle();
  }, [settle]);
}
