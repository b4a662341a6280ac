/** What the clients of this folder share: what they subscribe to, and that they print what they get, a line of JSON each. */

export const query = `subscription Changes($after: String) {
  executionChanges(after: $after) {
    ... on ExecutionChange { cursor kind executionId execution { status } }
    ... on ResyncRequired { reason }
  }
}`;

export const [url, after] = process.argv.slice(2);

export function print(value) {
  console.log(JSON.stringify(value));
}

/** Print the change of a response and return its cursor: where to go on after it. */
export function report({ data, errors }) {
  if (errors) fail(errors);
  print(data.executionChanges);
  return data.executionChanges.cursor;
}

/** A short wait between two attempts. Real clients wait longer, and at random. */
export function pause() {
  return new Promise((resolve) => setTimeout(resolve, 100));
}

export function fail(reason) {
  console.error(reason);
  process.exit(1);
}
