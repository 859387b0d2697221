/** `useToast` as shadcn/ui has it, over sonner. Put sonner's `<Toaster />` into the page once. */

import type { ReactNode } from "react";
import { toast as sonner } from "sonner";

export interface ToastOptions {
  /** A toast of the same id is replaced, not added: an alert storm folds into one. */
  id?: string | number;
  title: ReactNode;
  description?: ReactNode;
  variant?: "default" | "destructive";
  /** How long it stays, in ms. */
  duration?: number;
}

/** Show a toast; return its id. */
export function toast({ title, variant = "default", ...rest }: ToastOptions): string | number {
  return variant === "destructive" ? sonner.error(title, rest) : sonner(title, rest);
}

const toaster = { toast, dismiss: (id?: string | number): void => void sonner.dismiss(id) };

export const useToast = (): typeof toaster => toaster;
