import { CloseButton, NativeSelect, TextInput } from "@mantine/core";
import { type ReactNode, useEffect, useEffectEvent, useState } from "react";
import { type Span, STATUSES, type Status, type UsageFilter } from "../address/address";
import { fromLocalInput, toLocalInput } from "../text/time";
import styles from "./ExecutionFilterBar.module.css";
import { STATUS_NAMES, StatusCircle } from "./ExecutionStatusBadge";

const TYPING_MS = 300;
const CUSTOM = "custom";
const TIMES = [
  { value: "", label: "Any time" },
  { value: "15m", label: "Last 15 minutes" },
  { value: "1h", label: "Last hour" },
  { value: "24h", label: "Last 24 hours" },
  { value: "7d", label: "Last 7 days" },
  { value: "30d", label: "Last 30 days" },
  { value: CUSTOM, label: "From … to …" },
];
const PREVIEWS = [
  { value: "", label: "All calls" },
  { value: "without", label: "Without previews" },
  { value: "only", label: "Previews only" },
];

interface ExecutionFilterBarProps {
  filter: UsageFilter;
  /** `isTyping`: one letter of many, that deserves no entry of its own in the history. */
  onChange(filter: UsageFilter, isTyping: boolean): void;
}

/** What of the list is wanted: status, time, preview and text (spec 5.3). */
export function ExecutionFilterBar({ filter, onChange }: ExecutionFilterBarProps): ReactNode {
  const isCustom = filter.from !== null || filter.to !== null;
  const [asksTimes, setAsksTimes] = useState(false);

  function changeTime(value: string): void {
    setAsksTimes(value === CUSTOM);
    if (value !== CUSTOM) onChange({ ...filter, span: (value || null) as Span | null, from: null, to: null }, false);
  }

  return (
    <search className={styles.bar} aria-label="Filter executions">
      <SearchField filter={filter} onChange={onChange} />
      <NativeSelect
        size="xs"
        aria-label="Time"
        className={styles.time}
        data={TIMES}
        value={isCustom || asksTimes ? CUSTOM : (filter.span ?? "")}
        onChange={(event) => changeTime(event.currentTarget.value)}
      />
      <StatusToggles chosen={filter.status} onChange={(status) => onChange({ ...filter, status }, false)} />
      <NativeSelect
        size="xs"
        aria-label="Previews"
        className={styles.previews}
        data={PREVIEWS}
        value={filter.isPreview === null ? "" : filter.isPreview ? "only" : "without"}
        onChange={(event) => {
          const { value } = event.currentTarget;
          onChange({ ...filter, isPreview: value === "" ? null : value === "only" }, false);
        }}
      />
      {(isCustom || asksTimes) && <TimeRange filter={filter} onChange={onChange} />}
    </search>
  );
}

function StatusToggles({
  chosen,
  onChange,
}: {
  chosen: readonly Status[];
  onChange(status: Status[]): void;
}): ReactNode {
  return (
    <fieldset className={styles.toggles}>
      <legend className="visuallyHidden">Status</legend>
      {STATUSES.map((status) => {
        const isChosen = chosen.includes(status);
        return (
          <button
            key={status}
            type="button"
            className={styles.toggle}
            aria-pressed={isChosen}
            onClick={() => onChange(STATUSES.filter((other) => chosen.includes(other) !== (other === status)))}
          >
            <StatusCircle status={status} isStill />
            {STATUS_NAMES[status]}
          </button>
        );
      })}
    </fieldset>
  );
}

function SearchField({ filter, onChange }: ExecutionFilterBarProps): ReactNode {
  const [text, setText] = useState(filter.text);
  const search = useEffectEvent((wanted: string) => {
    if (wanted !== filter.text) onChange({ ...filter, text: wanted }, true);
  });
  useEffect(() => setText((typed) => (typed.trim() === filter.text ? typed : filter.text)), [filter.text]);
  useEffect(() => {
    const timer = setTimeout(() => search(text.trim()), TYPING_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <TextInput
      size="xs"
      type="search"
      className={styles.text}
      aria-label="Search in parameters, errors and node names"
      placeholder="Search parameters, errors, nodes"
      maxLength={500}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      rightSection={text && <CloseButton size="xs" aria-label="Clear the search" onClick={() => setText("")} />}
    />
  );
}

function TimeRange({ filter, onChange }: ExecutionFilterBarProps): ReactNode {
  const fields = [
    ["from", "From"],
    ["to", "To"],
  ] as const;
  return fields.map(([name, label]) => (
    <TextInput
      key={name}
      size="xs"
      type="datetime-local"
      aria-label={label}
      title={label}
      value={toLocalInput(filter[name])}
      onChange={(event) => onChange({ ...filter, span: null, [name]: fromLocalInput(event.currentTarget.value) }, true)}
    />
  ));
}
