// What this browser keeps for itself: the theme, and whether / is a shortcut.

import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

/** A browser may keep nothing; then the preference lasts as long as the page. */
function kept(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    return;
  }
}

const THEMES: readonly string[] = ["light", "dark"];
const stored = kept("theme");

export const theme = signal<Theme>(
  stored !== null && THEMES.includes(stored) ? (stored as Theme) : "system",
);
export const shortcuts = signal(kept("shortcuts") !== "off");

const dark = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(dark.matches);
dark.addEventListener("change", (event) => {
  systemIsDark.value = event.matches;
});

/** Changes whenever the colours do: what draws on a canvas draws again. */
export const isDark = (): boolean =>
  theme.value === "dark" || (theme.value === "system" && systemIsDark.value);

effect(() => {
  const chosen = theme.value;
  if (chosen === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = chosen;
  keep("theme", chosen);
});

effect(() => keep("shortcuts", shortcuts.value ? "on" : "off"));
