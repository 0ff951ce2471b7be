// The search over mdBook's index. Index and engine are loaded when somebody searches: as scripts,
// which pages of files may load too.

(() => {
  const { root, engine, index } = document.currentScript.dataset;
  const RESULTS_MAX = 20;
  /** Of the text around the first word that was found. */
  const CHARACTERS_BEFORE = 60;
  const CHARACTERS_MAX = 180;
  const form = document.querySelector("form[role=search]");
  const [input, found] = [form.querySelector("input"), form.querySelector("#found")];
  const [said, list] = [found.querySelector("p"), found.querySelector("ol")];
  let loaded = null;
  let searcher = null;

  const load = (source) =>
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = source;
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${source} cannot be loaded`));
      document.head.append(script);
    });

  // mdBook's index adds itself to this.
  window.search ??= {};

  const prepare = () => {
    loaded ??= Promise.all([load(engine), load(index)]).then(() => {
      searcher = elasticlunr.Index.load(window.search.index);
    });
    return loaded;
  };

  /** The text around the first of the words, as nodes, with the words marked. */
  const around = (text, words) => {
    const lower = text.toLowerCase();
    const places = words.map((word) => lower.indexOf(word)).filter((place) => place >= 0);
    const first = places.length > 0 ? Math.min(...places) : 0;
    const from = first > CHARACTERS_BEFORE ? text.lastIndexOf(" ", first - CHARACTERS_BEFORE) + 1 : 0;
    const shown = text.slice(from, from + CHARACTERS_MAX);
    const nodes = [from > 0 ? "… " : ""];
    let at = 0;
    while (at < shown.length) {
      const rest = shown.slice(at).toLowerCase();
      const next = words
        .map((word) => ({ word, place: rest.indexOf(word) }))
        .filter(({ place }) => place >= 0)
        .sort((a, b) => a.place - b.place)[0];
      if (!next) break;
      const mark = document.createElement("mark");
      const begin = at + next.place;
      mark.textContent = shown.slice(begin, begin + next.word.length);
      nodes.push(shown.slice(at, begin), mark);
      at = begin + next.word.length;
    }
    nodes.push(shown.slice(at), text.length > from + CHARACTERS_MAX ? " …" : "");
    return nodes;
  };

  const entry = ({ ref, doc }, words) => {
    const link = document.createElement("a");
    link.href = root + window.search.doc_urls[ref];
    const title = document.createElement("b");
    title.textContent = doc.title;
    const where = document.createElement("span");
    where.className = "where";
    // Its last part is the title.
    where.textContent = doc.breadcrumbs.split(" » ").slice(0, -1).join(" › ");
    const text = document.createElement("span");
    text.append(...around(doc.body, words));
    link.append(title, " ", where, text);
    const item = document.createElement("li");
    item.append(link);
    return item;
  };

  const show = async () => {
    const asked = input.value.trim();
    if (asked === "") {
      found.hidden = true;
      return;
    }
    try {
      await prepare();
    } catch (error) {
      found.hidden = false;
      said.textContent = `The search is not there: ${error.message}`;
      return;
    }
    // While the index was loaded, more was typed: the newest wins.
    if (input.value.trim() !== asked) return;
    const words = asked.toLowerCase().split(/\s+/);
    const results = searcher.search(asked, window.search.search_options).slice(0, RESULTS_MAX);
    list.replaceChildren(...results.map((result) => entry(result, words)));
    said.textContent =
      results.length === 0
        ? `Nothing has all of: ${asked}`
        : results.length < RESULTS_MAX
          ? `${results.length} found`
          : `The first ${RESULTS_MAX}`;
    found.hidden = false;
  };

  const close = () => {
    found.hidden = true;
  };

  /** Moves the focus through the input and the links below it. */
  const step = (by) => {
    const stops = [input, ...list.querySelectorAll("a")];
    const at = stops.indexOf(document.activeElement);
    if (at >= 0) stops[Math.max(0, Math.min(stops.length - 1, at + by))].focus();
  };

  input.addEventListener("focus", () => {
    // A failure is told when somebody searches.
    prepare().catch(() => {});
  });
  input.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    list.querySelector("a")?.click();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      close();
      input.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      step(event.key === "ArrowDown" ? 1 : -1);
    }
  });
  list.addEventListener("click", close);
  document.addEventListener("click", (event) => {
    if (!form.contains(event.target)) close();
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, textarea, select");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
  form.hidden = false;
})();
