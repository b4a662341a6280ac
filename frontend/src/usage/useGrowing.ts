import { startTransition, useEffect, useState } from "react";

const STEP = 40;

/** Return how many of `total` to draw: a screenful at once, the rest step by step, so that hundreds never block the page. */
export function useGrowing(total: number): number {
  const [shown, setShown] = useState(STEP);
  useEffect(() => {
    if (shown >= total) return;
    const timer = setTimeout(() => startTransition(() => setShown(shown + STEP)));
    return () => clearTimeout(timer);
  }, [shown, total]);
  return Math.min(shown, total);
}
