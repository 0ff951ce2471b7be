// Light or dark, as chosen or as the system has it, before anything is drawn; and what overflows can
// be scrolled with the keyboard. Without scripts the page follows the system, and is whole.

(() => {
  const NAME = "ddes-book-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  // Browsers may refuse to store anything, for pages of files say: the choice is this page's then.
  const stored = () => {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null;
    }
  };
  const store = (theme) => {
    try {
      localStorage.setItem(NAME, theme);
    } catch {}
  };

  const first = stored();
  if (first === "light" || first === "dark") root.dataset.theme = first;

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => (button.textContent = isDark() ? "Light" : "Dark");
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      store(root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    button.hidden = false;
    show();

    const wide = document.querySelectorAll("main pre, main .table-wrapper");
    const reach = () => {
      for (const box of wide) {
        if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
        else box.removeAttribute("tabindex");
      }
    };
    reach();
    addEventListener("resize", reach);
    document.querySelector("#contents [aria-current]")?.scrollIntoView({ block: "nearest" });
    scrollTo({ top: scrollY });
  });
})();
