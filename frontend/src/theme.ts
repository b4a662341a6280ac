import { type CSSVariablesResolver, createTheme } from "@mantine/core";

export const theme = createTheme({
  primaryColor: "blue",
  primaryShade: 8,
  autoContrast: true,
  defaultRadius: "sm",
  cursorType: "pointer",
  respectReducedMotion: true,
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace",
});

/** Mantine's dimmed text misses the contrast of WCAG AA on tinted backgrounds; everything else of a scheme is in global.css. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-anchor": "#1864ab",
    "--mantine-color-dimmed": "#5c636a",
    "--mantine-color-placeholder": "#6b737b",
  },
  dark: { "--mantine-color-dimmed": "#a6abb2", "--mantine-color-placeholder": "#8f959d" },
});
