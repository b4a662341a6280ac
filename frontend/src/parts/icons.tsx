/** Drawings of 16 pixels in the colour of the text around them; what they mean is said by the control they are in. */

import type { ReactNode } from "react";

function Icon({ children }: { children: ReactNode }): ReactNode {
  return (
    <svg
      viewBox="0 0 16 16"
      width={16}
      height={16}
      fill="none"
      stroke="currentColor"
      strokeWidth={1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export function SunIcon(): ReactNode {
  return (
    <Icon>
      <circle cx={8} cy={8} r={2.75} />
      <path d="M8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1.1 1.1M11.5 11.5l1.1 1.1M3.4 12.6l1.1-1.1M11.5 4.5l1.1-1.1" />
    </Icon>
  );
}

export function MoonIcon(): ReactNode {
  return (
    <Icon>
      <path d="M13.5 9.6A5.8 5.8 0 0 1 6.4 2.5a5.8 5.8 0 1 0 7.1 7.1Z" />
    </Icon>
  );
}

export function ChevronIcon({ direction }: { direction: "left" | "right" | "down" }): ReactNode {
  const paths = { left: "M10 3 5 8l5 5", right: "m6 3 5 5-5 5", down: "m3 6 5 5 5-5" };
  return (
    <Icon>
      <path d={paths[direction]} />
    </Icon>
  );
}

export function CopyIcon(): ReactNode {
  return (
    <Icon>
      <rect x={5.5} y={5.5} width={8} height={8} rx={1.5} />
      <path d="M10.5 3.5v-.3a.7.7 0 0 0-.7-.7H3.2a.7.7 0 0 0-.7.7v6.6c0 .4.3.7.7.7h.3" />
    </Icon>
  );
}

export function CheckIcon(): ReactNode {
  return (
    <Icon>
      <path d="m3 8.5 3.2 3.2L13 4.8" />
    </Icon>
  );
}

export function CloseIcon(): ReactNode {
  return (
    <Icon>
      <path d="m4 4 8 8M12 4l-8 8" />
    </Icon>
  );
}
