// The page of `ddes serve`.

import "uplot/dist/uPlot.min.css";
import "./style.css";

import { Component, render, type ComponentChildren, type ComponentType } from "preact";
import { useEffect } from "preact/hooks";
import { words } from "./api";
import { start } from "./feed";
import { shortcuts } from "./preference";
import { route } from "./route";
import { Empty } from "./parts/notice";
import { Shell, type Place } from "./parts/shell";
import { Accounts } from "./pages/accounts";
import { Configuration } from "./pages/configuration";
import { Ledger } from "./pages/ledger";
import { Overview } from "./pages/overview";
import { Security } from "./pages/security";
import { Sessions } from "./pages/sessions";
import { Wire } from "./pages/wire";

const OVERVIEW: Place & { page: ComponentType } = { name: "overview", title: "Overview", page: Overview };

const PLACES: (Place & { page: ComponentType })[] = [
  OVERVIEW,
  { name: "sessions", title: "Sessions", page: Sessions },
  { name: "accounts", title: "Accounts", page: Accounts },
  { name: "ledger", title: "Ledger", page: Ledger },
  { name: "security", title: "Security", page: Security },
  { name: "wire", title: "Wire", page: Wire },
  { name: "configuration", title: "Configuration", page: Configuration },
];

/** A fault of one page leaves the others, and says what it was. */
class Guard extends Component<{ children: ComponentChildren }, { fault: string | null }> {
  override state = { fault: null };

  static override getDerivedStateFromError(error: unknown) {
    return { fault: words(error) };
  }

  override render() {
    const { fault } = this.state;
    if (fault === null) return this.props.children;
    return (
      <Empty title="This page failed.">
        <p>{fault}</p>
        <button type="button" onClick={() => location.reload()}>
          Reload
        </button>
      </Empty>
    );
  }
}

function App() {
  const name = route.value.path[0];
  const here = PLACES.find((place) => place.name === name) ?? OVERVIEW;
  useEffect(() => {
    const jump = (event: KeyboardEvent) => {
      const isTyping = event.target instanceof Element && event.target.closest("input, textarea, select, dialog");
      const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
      const filter = document.getElementById("filter");
      if (event.key !== "/" || isTyping || !isPlain || !shortcuts.peek() || !filter) return;
      event.preventDefault();
      filter.focus();
    };
    addEventListener("keydown", jump);
    return () => removeEventListener("keydown", jump);
  }, []);
  return (
    <Shell places={PLACES} here={here}>
      <Guard key={here.name}>
        <here.page />
      </Guard>
    </Shell>
  );
}

start();
const place = document.getElementById("app");
if (place) render(<App />, place);
