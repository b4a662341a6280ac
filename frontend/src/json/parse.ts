/**
 * JSON text as a tree that keeps what `JSON.parse` loses: digits beyond what a float holds, the order of keys, keys that repeat
 * (spec 1.6).
 */

export type JsonNode =
  | { kind: "object"; entries: [key: string, value: JsonNode][] }
  | { kind: "array"; items: JsonNode[] }
  | { kind: "string"; value: string }
  /** `text` is a number, true, false or null exactly as it was written. */
  | { kind: "number" | "boolean" | "null"; text: string };

const SPACE = /[ \t\n\r]*/y;
const PLAIN = /^[^\\\p{Cc}]*$/u;
const LITERAL = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/** Return the tree of a JSON text. Raises SyntaxError where it is none. */
export function parseJson(text: string): JsonNode {
  const reader = new Reader(text);
  const node = reader.value();
  reader.end();
  return node;
}

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  value(): JsonNode {
    this.skipSpace();
    switch (this.text[this.at]) {
      case "{":
        return { kind: "object", entries: this.members("}", () => this.entry()) };
      case "[":
        return { kind: "array", items: this.members("]", () => this.value()) };
      case '"':
        return { kind: "string", value: this.string() };
      default:
        return this.literal();
    }
  }

  end(): void {
    this.skipSpace();
    if (this.at !== this.text.length) this.fail();
  }

  private members<T>(close: string, member: () => T): T[] {
    this.at += 1;
    const found: T[] = [];
    if (this.take(close)) return found;
    do found.push(member());
    while (this.take(","));
    if (!this.take(close)) this.fail();
    return found;
  }

  private entry(): [string, JsonNode] {
    this.skipSpace();
    const key = this.string();
    if (!this.take(":")) this.fail();
    return [key, this.value()];
  }

  private string(): string {
    if (this.text[this.at] !== '"') this.fail();
    // No regular expression: one that backtracks would keep a state for every character of a long string.
    let end = this.text.indexOf('"', this.at + 1);
    while (end !== -1 && this.isEscaped(end)) end = this.text.indexOf('"', end + 1);
    if (end === -1) this.fail();
    const quoted = this.text.slice(this.at, end + 1);
    this.at = end + 1;
    // Most strings say what they are: asking the browser's parser for each would take three times as long.
    return PLAIN.test(quoted) ? quoted.slice(1, -1) : (JSON.parse(quoted) as string);
  }

  private isEscaped(at: number): boolean {
    let first = at;
    while (this.text[first - 1] === "\\") first -= 1;
    return (at - first) % 2 === 1;
  }

  private literal(): JsonNode {
    const text = this.match(LITERAL);
    const kind = text === "null" ? "null" : text === "true" || text === "false" ? "boolean" : "number";
    return { kind, text };
  }

  private take(mark: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== mark) return false;
    this.at += 1;
    return true;
  }

  private skipSpace(): void {
    if (this.text.charCodeAt(this.at) > 0x20) return;
    SPACE.lastIndex = this.at;
    SPACE.test(this.text);
    this.at = SPACE.lastIndex;
  }

  private match(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return this.fail();
    this.at = pattern.lastIndex;
    return found[0];
  }

  private fail(): never {
    throw new SyntaxError(`no JSON at character ${this.at}`);
  }
}
