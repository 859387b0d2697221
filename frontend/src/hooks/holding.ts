/** A component's subscriptions, for as long as it is mounted. */

import type { Unsubscribe } from "../services/emitter.js";
import type { Hold } from "../services/hold.js";

const mounted = new WeakSet<Hold>();

/** Keep what `hold` asks for until the returned function was called. */
export function keepHold(hold: Hold): Unsubscribe {
  mounted.add(hold);
  hold.attend();
  return () => {
    mounted.delete(hold);
    // Not at once: StrictMode mounts again, and where the connection ends too, its positions are kept for the next visit.
    setTimeout(() => {
      if (!mounted.has(hold)) hold.release();
    }, 0);
  };
}
