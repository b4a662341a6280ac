/** A share between 0 and 1 as a percentage; never 0 or 100 % unless it is all or nothing. */
export function formatPercent(share: number): string {
  if (share <= 0 || share >= 1) return `${share <= 0 ? 0 : 100} %`;
  const percent = Math.min(Math.max(share * 100, 0.1), 99.9);
  return `${percent < 10 || percent > 90 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}
