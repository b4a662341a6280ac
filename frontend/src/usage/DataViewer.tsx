import { Badge } from "@mantine/core";
import { type ReactNode, useMemo } from "react";
import type { Payload } from "../api/documents";
import { JsonTree } from "../json/JsonTree";
import { type JsonNode, parseJson } from "../json/parse";
import { indented } from "../json/print";
import { CopyButton } from "../parts/CopyButton";
import { formatSize } from "../text/size";
import styles from "./DataViewer.module.css";

interface DataViewerProps {
  title: string;
  payload: Payload;
}

/** A recorded value: its tree, its true size, whether it was cut, and the exact text to copy (spec 1.6, 5.4). */
export function DataViewer({ title, payload: { text, sizeBytes, isTruncated } }: DataViewerProps): ReactNode {
  const node = useMemo(() => parsed(text), [text]);
  return (
    <section className={styles.viewer} aria-label={title}>
      <div className={styles.heading}>
        <h4 className={styles.title}>{title}</h4>
        <span className={styles.size}>{formatSize(sizeBytes)}</span>
        {isTruncated && (
          <Badge size="xs" variant="outline" color="orange" className={styles.cut}>
            Only a preview was kept
          </Badge>
        )}
        <span className={styles.copy}>
          <CopyButton what={title.toLowerCase()} text={() => indented(text)} />
        </span>
      </div>
      {node ? <JsonTree node={node} label={title} /> : <pre className={styles.raw}>{text}</pre>}
    </section>
  );
}

function parsed(text: string): JsonNode | null {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
