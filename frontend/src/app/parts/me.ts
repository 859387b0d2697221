/** Who looks. */

import { createContext, useContext } from "react";
import type { Boot, Me } from "../boot.js";

export const BootContext = createContext<Boot | null>(null);

export function useBoot(): Boot {
  const boot = useContext(BootContext);
  if (!boot) throw new Error("useBoot needs a BootContext around it.");
  return boot;
}

export const useMe = (): Me => useBoot().me;
