/** Shows the toasts: said politely, kept while somebody points at them, gone by themselves. */

import { type ReactNode, useSyncExternalStore } from "react";
import { alertToast, failureToast, type ToastStore } from "./toastStore.js";

export const Toasts = (): ReactNode => (
  <div className="toasts" role="status" aria-live="polite">
    <Toast store={failureToast} />
    <Toast store={alertToast} />
  </div>
);

function Toast({ store }: { store: ToastStore }): ReactNode {
  const toast = useSyncExternalStore(store.subscribe, store.getSnapshot);
  if (!toast) return null;
  return (
    <div className="toast" data-severity={toast.severity} onPointerEnter={store.hold} onPointerLeave={store.release} onFocus={store.hold} onBlur={store.release}>
      <div className="toast-body">
        <p className="toast-title">{toast.title}</p>
        <p className="toast-text">{toast.text}</p>
      </div>
      <button type="button" className="icon-button" aria-label="Dismiss" onClick={store.hide}>
        ×
      </button>
    </div>
  );
}
