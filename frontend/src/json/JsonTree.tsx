/**
 * A JSON value to open branch by branch. Numbers and keys are shown exactly as recorded, and only what is open is in the document: long
 * arrays and objects open in ranges of a hundred, long strings on request, so that a value of 1 MB opens at once.
 */

import { createContext, type KeyboardEvent, type ReactNode, useContext, useId, useRef, useState } from "react";
import { ChevronIcon } from "../parts/icons";
import styles from "./JsonTree.module.css";
import type { JsonNode } from "./parse";

const RANGE = 100;
const SHORT_STRING = 600;
const MORE_OF_STRING = 20_000;
const OPEN_LEVELS = 2;
const OPEN_MEMBERS = 20;
/** A value of at most so many lines is open from the start. */
const SHORT_VALUE = 40;

/** A member of an object or array, or a range of members; `label` is its key, or its range. */
interface Member {
  label: string | null;
  isRange: boolean;
  value: JsonNode | Member[];
}

const Level = createContext({ depth: 0, isShort: false });

/** Show a value. `label` names it for who can't see where it stands. */
export function JsonTree({ node, label }: { node: JsonNode; label: string }): ReactNode {
  const tree = useRef<HTMLDivElement>(null);

  function onKeyDown(event: KeyboardEvent): void {
    const button = (event.target as HTMLElement).closest("button");
    if (button === null || button.closest("[data-tree]") !== tree.current) return;
    const isOpen = button.getAttribute("aria-expanded") === "true";
    const buttons = [...(tree.current?.querySelectorAll("button") ?? [])];
    const index = buttons.indexOf(button);
    if (event.key === "ArrowDown") buttons[index + 1]?.focus();
    else if (event.key === "ArrowUp") buttons[index - 1]?.focus();
    else if (event.key === "ArrowRight" && !isOpen) button.click();
    else if (event.key === "ArrowLeft" && isOpen) button.click();
    else return;
    event.preventDefault();
  }

  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset groups fields of a form, and here is none
    <div ref={tree} className={styles.tree} role="group" aria-label={label} data-tree="" onKeyDown={onKeyDown}>
      <Level value={{ depth: 0, isShort: lines(node, SHORT_VALUE) <= SHORT_VALUE }}>
        <Branch member={{ label: null, isRange: false, value: node }} isLast />
      </Level>
    </div>
  );
}

function Branch({ member, isLast }: { member: Member; isLast: boolean }): ReactNode {
  const { value } = member;
  const comma = isLast || member.isRange ? "" : ",";
  if (Array.isArray(value)) return <Folder member={member} members={value} marks={["", ""]} comma="" />;
  if (value.kind === "array")
    return <Folder member={member} members={itemsOf(value.items)} marks={["[", "]"]} comma={comma} />;
  if (value.kind === "object") {
    return <Folder member={member} members={entriesOf(value.entries)} marks={["{", "}"]} comma={comma} />;
  }
  return (
    <div className={styles.line}>
      <Key member={member} />
      {value.kind === "string" ? (
        <Text value={value.value} />
      ) : (
        <span className={styles[value.kind]}>{value.text}</span>
      )}
      <span className={styles.mark}>{comma}</span>
    </div>
  );
}

interface FolderProps {
  member: Member;
  members: Member[];
  marks: [open: string, close: string];
  comma: string;
}

function Folder({ member, members, marks: [open, close], comma }: FolderProps): ReactNode {
  const level = useContext(Level);
  const [isOpen, setOpen] = useState(
    level.isShort || (!member.isRange && level.depth < OPEN_LEVELS && members.length <= OPEN_MEMBERS),
  );
  const content = useId();
  if (members.length === 0) {
    return (
      <div className={styles.line}>
        <Key member={member} />
        <span className={styles.mark}>{open + close + comma}</span>
      </div>
    );
  }
  return (
    <div>
      <button
        type="button"
        className={styles.toggle}
        aria-expanded={isOpen}
        aria-controls={isOpen ? content : undefined}
        onClick={() => setOpen(!isOpen)}
      >
        <ChevronIcon direction={isOpen ? "down" : "right"} />
        <Key member={member} />
        <span className={styles.mark}>{open}</span>
        {!isOpen && (
          <>
            {!member.isRange && <span className={styles.count}>{size(member.value)}</span>}
            <span className={styles.mark}>{close + comma}</span>
          </>
        )}
      </button>
      {isOpen && (
        <Level value={{ ...level, depth: level.depth + 1 }}>
          <div id={content} className={styles.members}>
            {members.map((inner, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: keys of an object may repeat, and a value never changes
              <Branch key={index} member={inner} isLast={index === members.length - 1} />
            ))}
          </div>
          {close && <div className={`${styles.line} ${styles.mark}`}>{close + comma}</div>}
        </Level>
      )}
    </div>
  );
}

function Key({ member: { label, isRange } }: { member: Member }): ReactNode {
  if (label === null) return null;
  return isRange ? (
    <span className={styles.count}>{label}</span>
  ) : (
    <>
      <span className={styles.key}>{JSON.stringify(label)}</span>
      <span className={styles.mark}>: </span>
    </>
  );
}

function Text({ value }: { value: string }): ReactNode {
  const [length, setLength] = useState(SHORT_STRING);
  const rest = value.length - length;
  return (
    <>
      <span className={styles.string}>
        {JSON.stringify(rest > 0 ? value.slice(0, length) : value)}
        {rest > 0 && "…"}
      </span>
      {rest > 0 && (
        <button type="button" className={styles.more} onClick={() => setLength(length + MORE_OF_STRING)}>
          {rest.toLocaleString()} more characters
        </button>
      )}
    </>
  );
}

function itemsOf(items: JsonNode[]): Member[] {
  return inRanges(items.map((value) => ({ label: null, isRange: false, value })));
}

function entriesOf(entries: [string, JsonNode][]): Member[] {
  return inRanges(entries.map(([label, value]) => ({ label, isRange: false, value })));
}

/** Fold members into ranges, and ranges into ranges, until there are at most a hundred. */
function inRanges(members: Member[]): Member[] {
  let folded = members;
  for (let width = RANGE; folded.length > RANGE; width *= RANGE) {
    folded = Array.from({ length: Math.ceil(folded.length / RANGE) }, (_, index) => ({
      label: `${index * width} … ${Math.min((index + 1) * width, members.length) - 1}`,
      isRange: true,
      value: folded.slice(index * RANGE, (index + 1) * RANGE),
    }));
  }
  return folded;
}

/** How many lines a value takes when all of it is open; counted no further than just beyond `limit`. */
function lines(node: JsonNode, limit: number): number {
  const inner =
    node.kind === "array" ? node.items : node.kind === "object" ? node.entries.map(([, value]) => value) : [];
  let count = 1;
  for (const value of inner) {
    count += lines(value, limit - count);
    if (count > limit) break;
  }
  return count;
}

function size(value: Member["value"]): string {
  if (Array.isArray(value)) return "";
  const count = value.kind === "array" ? value.items.length : value.kind === "object" ? value.entries.length : 0;
  const noun = value.kind === "array" ? "item" : "key";
  return ` ${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"} `;
}
