import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import type { ReactNode } from "react";
import { ALL_FLOWS } from "../address/address";
import { Link } from "../address/navigation";
import { SignOut } from "../session/SignOut";
import styles from "./Header.module.css";
import { MoonIcon, SunIcon } from "./icons";

/** The bar above every page. */
export function Header(): ReactNode {
  return (
    <header className={styles.header}>
      <Link to={ALL_FLOWS} className={styles.name}>
        <img src="/favicon.svg" alt="" width={22} height={22} />
        Flowtrail
      </Link>
      <nav className={styles.links} aria-label="Main">
        <a href="/graphql">GraphiQL</a>
        <SignOut />
        <ColorScheme />
      </nav>
    </header>
  );
}

function ColorScheme(): ReactNode {
  const { setColorScheme } = useMantineColorScheme();
  const isDark = useComputedColorScheme("light", { getInitialValueInEffect: false }) === "dark";
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      aria-label={isDark ? "Use light colours" : "Use dark colours"}
      onClick={() => setColorScheme(isDark ? "light" : "dark")}
    >
      {isDark ? <SunIcon /> : <MoonIcon />}
    </ActionIcon>
  );
}
