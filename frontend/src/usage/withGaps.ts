import type { PageLink } from "../api/documents";

/** The pages in order, each once, with a mark where some are left out. */
export function withGaps(links: PageLink[]): (PageLink | string)[] {
  const pages = [...new Map(links.map((link) => [link.page, link])).values()].sort((a, b) => a.page - b.page);
  return pages.flatMap((link, index) => {
    const before = pages[index - 1];
    return before && link.page > before.page + 1 ? [`gap before ${link.page}`, link] : [link];
  });
}
