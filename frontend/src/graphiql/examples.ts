const files = import.meta.glob<string>("./examples/*.graphql", { eager: true, query: "?raw", import: "default" });

/** What GraphiQL opens with: operations that work as they are. */
export const examples = Object.keys(files)
  .sort()
  .map((name) => files[name] ?? "");
