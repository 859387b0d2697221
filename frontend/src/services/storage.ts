/** What is kept in the browser, where it lets us: a browser may block storage, and then even naming it throws. */

/** The stored value; null where there is none, or storage is blocked. */
export function readStored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // blocked: the default holds
  }
}

/** Keep a value for the next visit. Where storage is blocked or full, it holds for this page only. */
export function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // blocked or full, which is the visitor's choice
  }
}
