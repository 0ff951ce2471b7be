// What the page says to a person: results of actions, warnings, empty places, and the question
// before an action that cannot be taken back.

import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import { canAct, locked, overview } from "../feed";
import { Icon } from "./icon";

interface Said {
  text: string;
  isFailure: boolean;
}

const SHOWN_MS = 8_000;
const said = signal<Said | null>(null);
let timer = 0;

/** Shows the result of an action, and has it read out once. */
export function say(text: string, isFailure = false): void {
  said.value = { text, isFailure };
  clearTimeout(timer);
  timer = setTimeout(() => (said.value = null), SHOWN_MS);
}

/** The place of results. It stays on the page: what is put into a new one is not read out. */
export function Results() {
  const shown = said.value;
  return (
    <div class="results" role="status">
      {shown && (
        <p class={shown.isFailure ? "result bad" : "result"}>
          <Icon name={shown.isFailure ? "warning" : "good"} />
          <span>{shown.text}</span>
          <button type="button" class="quiet small" aria-label="Dismiss" onClick={() => (said.value = null)}>
            <Icon name="close" />
          </button>
        </p>
      )}
    </div>
  );
}

const heard = signal("");

/** Has a text read out, and shows nothing. */
export function whisper(text: string): void {
  heard.value = text;
}

export function Whispers() {
  return (
    <div class="unseen" role="status">
      {heard}
    </div>
  );
}

export function Notice(props: {
  level: "warning" | "critical" | "plain";
  title: string;
  children?: ComponentChildren;
}) {
  return (
    <div class={`notice ${props.level}`}>
      <Icon name="warning" />
      <div>
        <strong>{props.title}</strong>
        {props.children && <div class="notice-more">{props.children}</div>}
      </div>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

/** A command to be typed, alone in its line. */
export const Command = ({ children }: { children: string }) => (
  <pre class="command" tabIndex={0} role="region" aria-label="Command">
    <code>{children}</code>
  </pre>
);

const READ_ONLY = "read-only";

/** Why the buttons of a page do nothing, and how that changes. */
export function ReadOnly() {
  if (overview.value === null || canAct.value || locked.value !== null) return null;
  return (
    <p class="read-only" id={READ_ONLY}>
      <Icon name="locked" />
      <span>
        This browser may look, not act. Open the login link that <code>ddes link</code> prints on the
        server's machine, or <code>link</code> in the server's console.
      </span>
    </p>
  );
}

type ActionProps = Omit<JSX.IntrinsicElements["button"], "disabled" | "type"> & {
  onAct: () => void;
};

/** A button that needs the right to act. Without it, it can be focused and says why it does nothing. */
export function Action({ onAct, children, ...rest }: ActionProps) {
  const may = canAct.value;
  return (
    <button
      {...rest}
      type="button"
      aria-disabled={may ? undefined : "true"}
      aria-describedby={may ? undefined : READ_ONLY}
      title={may ? rest.title : "This browser may look, not act"}
      onClick={() => {
        if (may) onAct();
        else whisper("This browser may look, not act. Open the login link that ddes serve printed.");
      }}
    >
      {children}
    </button>
  );
}

/** A question in front of the page. Escape answers no; the focus returns to where it came from. */
export function Question(props: {
  title: string;
  yes: string;
  isDangerous?: boolean;
  isBusy?: boolean;
  onYes: () => void;
  onNo: () => void;
  children: ComponentChildren;
}) {
  const { ref, heading } = useModal();
  return (
    <dialog ref={ref} aria-labelledby={heading} onCancel={props.onNo} onClose={props.onNo}>
      <h2 id={heading}>{props.title}</h2>
      <div class="dialog-text">{props.children}</div>
      <div class="buttons">
        <button type="button" autofocus onClick={props.onNo}>
          Cancel
        </button>
        <button
          type="button"
          class={props.isDangerous ? "danger" : "primary"}
          aria-disabled={props.isBusy ? "true" : undefined}
          onClick={() => {
            if (!props.isBusy) props.onYes();
          }}
        >
          {props.yes}
        </button>
      </div>
    </dialog>
  );
}

/** Something to read in front of the page. */
export function Sheet(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const { ref, heading } = useModal();
  return (
    <dialog ref={ref} aria-labelledby={heading} onCancel={props.onClose} onClose={props.onClose}>
      <h2 id={heading}>{props.title}</h2>
      <div class="dialog-text">{props.children}</div>
      <div class="buttons">
        <button type="button" autofocus onClick={props.onClose}>
          Close
        </button>
      </div>
    </dialog>
  );
}

function useModal() {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    ref.current?.showModal();
  }, []);
  useLayoutEffect(() => {
    const opener = document.activeElement;
    return () => returnFocus(opener);
  }, []);
  return { ref, heading };
}

/** How long a row may take to vanish after its dialog has closed. */
const VANISH_MS = 5_000;

/** To what opened the dialog; once that is gone, as an ended session's row is, to the title. */
function returnFocus(opener: Element | null): void {
  const title = () => document.querySelector<HTMLElement>("h1")?.focus();
  requestAnimationFrame(() => {
    if (!(opener instanceof HTMLElement && opener.isConnected)) {
      title();
      return;
    }
    opener.focus();
    const watch = new MutationObserver(() => {
      if (opener.isConnected) return;
      watch.disconnect();
      if (document.activeElement === document.body) title();
    });
    watch.observe(document.body, { childList: true, subtree: true });
    setTimeout(() => watch.disconnect(), VANISH_MS);
  });
}
