import { useState } from "react";

/** Return `value`, or while it is undefined the last one that was there under the same `key`. */
export function useKept<T>(value: T | undefined, key: string): T | undefined {
  const [kept, setKept] = useState({ key, value });
  if (value !== undefined && (kept.value !== value || kept.key !== key)) setKept({ key, value });
  return value ?? (value === undefined && kept.key === key ? kept.value : value);
}
