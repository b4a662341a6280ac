import { Button } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { copyText } from "./clipboard";
import { CheckIcon, CopyIcon } from "./icons";

interface CopyButtonProps {
  /** Names what is copied, for who can't see where the button stands. */
  what: string;
  label?: string;
  text(): string | Promise<string>;
}

const SAID_MS = 2_000;

/** Copies a text and says so. */
export function CopyButton({ what, label = "Copy", text }: CopyButtonProps): ReactNode {
  const [said, setSaid] = useState<"Copied" | "Not copied" | null>(null);
  useEffect(() => {
    if (said === null) return;
    const timer = setTimeout(() => setSaid(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);

  async function copy(): Promise<void> {
    try {
      await copyText(text());
      setSaid("Copied");
    } catch {
      setSaid("Not copied");
    }
  }

  return (
    <Button
      variant="subtle"
      color="gray"
      size="compact-xs"
      fw={500}
      leftSection={said === "Copied" ? <CheckIcon /> : <CopyIcon />}
      aria-label={said ? `${said}: ${what}` : `Copy ${what}`}
      onClick={copy}
    >
      <span aria-live="polite">{said ?? label}</span>
    </Button>
  );
}
