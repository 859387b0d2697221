/** Media queries, where the browser has them. */

interface Media {
  readonly matches: boolean;
  addEventListener(type: "change", listener: () => void): void;
  removeEventListener(type: "change", listener: () => void): void;
}

const NEVER: Media = { matches: false, addEventListener: () => undefined, removeEventListener: () => undefined };

// The chart library asks by itself as it is loaded: import this module before it.
if (typeof globalThis.matchMedia !== "function") Object.assign(globalThis, { matchMedia: () => NEVER });

/** The query; one that never matches where the browser has none, or an old kind that cannot be listened to. */
export function media(query: string): Media {
  try {
    const found = matchMedia(query);
    return typeof found.addEventListener === "function" ? found : { ...NEVER, matches: found.matches };
  } catch {
    return NEVER; // a browser without media queries
  }
}

export const prefersDark = (): boolean => media("(prefers-color-scheme: dark)").matches;
