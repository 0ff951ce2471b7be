// What moves on the page of `ddes explain`. The page is whole without it: bytes and fields are linked
// by their addresses, and the three views are three radio buttons.

/** Both ends of each link between bytes and meaning, inside one `.linked`. */
function ends(element: Element): NodeListOf<HTMLElement> | null {
  const end = element.closest<HTMLElement>("[data-f]");
  const box = end?.closest(".linked");
  return box && end ? box.querySelectorAll<HTMLElement>(`[data-f="${end.dataset["f"]}"]`) : null;
}

let lit: HTMLElement[] = [];

function light(element: EventTarget | null): void {
  const next = element instanceof Element ? ends(element) : null;
  for (const end of lit) end.classList.remove("on");
  lit = next ? [...next] : [];
  for (const end of lit) end.classList.add("on");
}

document.addEventListener("pointerover", (event) => light(event.target));
document.addEventListener("focusin", (event) => light(event.target));
document.addEventListener("pointerout", (event) => {
  if (event.relatedTarget === null) light(document.activeElement);
});

/** One stop of the Tab key for the bytes of a frame; arrows move between its fields. */
const STEPS: Record<string, (at: number, last: number) => number> = {
  ArrowRight: (at, last) => Math.min(at + 1, last),
  ArrowDown: (at, last) => Math.min(at + 1, last),
  ArrowLeft: (at) => Math.max(at - 1, 0),
  ArrowUp: (at) => Math.max(at - 1, 0),
  Home: () => 0,
  End: (_, last) => last,
};

for (const box of document.querySelectorAll<HTMLElement>(".bytes")) {
  const fields = [...box.querySelectorAll<HTMLElement>("a.b")];
  const stop = (at: number) => fields.forEach((field, i) => (field.tabIndex = i === at ? 0 : -1));
  stop(0);
  box.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const at = fields.indexOf(document.activeElement as HTMLElement);
    if (!step || at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = step(at, fields.length - 1);
    stop(next);
    fields[next]?.focus();
  });
  box.addEventListener("focusin", (event) => {
    const at = fields.indexOf(event.target as HTMLElement);
    if (at >= 0) stop(at);
  });
}

/** Whether an element stands in the view that is chosen. */
function isShown(element: Element): boolean {
  return element.checkVisibility?.() ?? true;
}

/** Shows what an address names, whichever view and card it is in, and gives it the focus. */
function reveal(): void {
  let id = "";
  try {
    id = decodeURIComponent(location.hash.slice(1));
  } catch {
    return; // An address that somebody broke names nothing.
  }
  const target = id ? document.getElementById(id) : null;
  if (!target) return;
  const view = target.closest(".with-keys") ? "keys" : target.closest(".with-attack") ? "attack" : null;
  for (let card = target.closest("details"); card; card = card.parentElement?.closest("details") ?? null) {
    card.open = true;
  }
  if (view && !isShown(target)) {
    document.querySelector<HTMLInputElement>(`#view-${view}`)!.checked = true;
  }
  target.scrollIntoView({ block: target.matches("tr, .b") ? "center" : "start" });
  const stop = target.matches("details") ? target.querySelector<HTMLElement>("summary") : target;
  stop?.focus({ preventScroll: true });
  light(target);
}

addEventListener("hashchange", reveal);
reveal();

// A link to where one already is changes no address.
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>('a[href^="#"]') : null;
  if (link && link.getAttribute("href") === location.hash) reveal();
});

/** Keeps what is looked at in its place when the view above it changes its height. */
for (const radio of document.querySelectorAll<HTMLInputElement>('input[name="view"]')) {
  radio.addEventListener("pointerdown", remember);
  radio.addEventListener("keydown", remember);
  radio.closest("label")?.addEventListener("pointerdown", remember);
  radio.addEventListener("change", restore);
}
let seen: { frame: HTMLElement; top: number } | null = null;

function remember(): void {
  const frames = [...document.querySelectorAll<HTMLElement>(".frame")];
  const frame = frames.find((frame) => frame.getBoundingClientRect().bottom > 90);
  seen = frame && scrollY > 0 ? { frame, top: frame.getBoundingClientRect().top } : null;
}

function restore(): void {
  if (!seen) return;
  scrollBy({ top: seen.frame.getBoundingClientRect().top - seen.top, behavior: "instant" });
  seen = null;
}

/** Copies a line; where the browser does not let us, it is selected. */
async function copy(button: HTMLButtonElement, code: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(code.textContent ?? "");
    button.textContent = "Copied";
  } catch {
    getSelection()?.selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

for (const line of document.querySelectorAll<HTMLElement>(".line")) {
  const code = line.querySelector("code");
  if (!code) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  const name = line.getAttribute("aria-label") ?? "The line";
  button.setAttribute("aria-label", `Copy ${name.charAt(0).toLowerCase()}${name.slice(1)}`);
  button.addEventListener("click", () => void copy(button, code));
  line.prepend(button);
}

// Paper cannot be opened: the first card of each kind is, until the printer has it. Paper has the
// titles alone of those that say the same again.
let closed: HTMLDetailsElement[] = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll<HTMLDetailsElement>("details:not([open], .repeat)")];
  for (const card of closed) card.open = true;
});
addEventListener("afterprint", () => {
  for (const card of closed) card.open = false;
  closed = [];
});

export {};
