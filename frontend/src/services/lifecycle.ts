/** What the page can tell of its connection: it came back (online, visible, out of the cache), or the network may be gone. */

import type { Unsubscribe } from "./emitter.js";

export interface LifecycleListener {
  /** Something changed for the better: try now. */
  wake(): void;
  /** The line may be dead: find out. */
  doubt(): void;
}
export type Lifecycle = (listener: LifecycleListener) => Unsubscribe;

/** `online`, `offline`, `pageshow` and page visibility. Outside a page it does nothing. */
export const pageLifecycle: Lifecycle = ({ wake, doubt }) => {
  if (typeof window === "undefined" || typeof document === "undefined") return () => undefined;
  const visible = (): void => {
    if (document.visibilityState === "visible") wake();
  };
  const heard: [EventTarget, string, () => void][] = [
    [window, "online", wake],
    [window, "offline", doubt],
    [window, "pageshow", wake],
    [document, "visibilitychange", visible],
  ];
  for (const [target, type, listener] of heard) target.addEventListener(type, listener);
  return () => {
    for (const [target, type, listener] of heard) target.removeEventListener(type, listener);
  };
};
