// The second secret of the session that a login link opened: it gives the right to act. It comes in
// the part of the address behind the #, which no browser sends, and stays in this tab. A cookie alone
// would not do: a browser sends it to every port of a host, whoever serves there.

const KEY = "proof";

/** A browser may keep nothing; then the right lasts until the page is loaded again. */
function kept(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function take(): string | null {
  const [, found] = /^#proof=([0-9a-f]{64})$/.exec(location.hash) ?? [];
  if (found === undefined) return kept();
  // Whoever looks at the address, or goes back, must not find it.
  history.replaceState(null, "", location.pathname);
  try {
    sessionStorage.setItem(KEY, found);
  } catch {
    return found;
  }
  return found;
}

/** What the header X-Ddes-Action has in it: without a proof this tab may look. */
export const proof: string | null = take();
