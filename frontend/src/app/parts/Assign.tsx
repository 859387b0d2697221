/** Giving an alert to somebody: a dialog that any button on the page can open. */

import { createContext, type ReactNode, useContext, useState } from "react";
import type { Alert } from "../state/alerts.js";
import { useDeeds } from "./deeds.js";
import { Palette } from "./Palette.js";
import { others, usePresenceOverview } from "./people.js";
import { useMe } from "./me.js";

const AssignContext = createContext<(alert: Alert) => void>(() => undefined);

/** Opens the dialog for an alert. */
export const useAssign = (): ((alert: Alert) => void) => useContext(AssignContext);

export function Assign({ children }: { children: ReactNode }): ReactNode {
  const [alert, setAlert] = useState<Alert | null>(null);
  return (
    <AssignContext value={setAlert}>
      {children}
      {alert && <AssignDialog alert={alert} onClose={() => setAlert(null)} />}
    </AssignContext>
  );
}

const NOBODY = "";

function AssignDialog({ alert, onClose }: { alert: Alert; onClose: () => void }): ReactNode {
  const me = useMe();
  const presence = usePresenceOverview();
  const { mutate } = useDeeds();
  const options = [
    { id: me.username, label: me.username, hint: "you" },
    ...others(me, presence).map((user) => ({ id: user, label: user, hint: user === alert.assignee ? "has it now" : undefined })),
    ...(alert.assignee ? [{ id: NOBODY, label: "Nobody", hint: "back to Unassigned" }] : []),
  ];
  return (
    <Palette
      title="Assign the alert to"
      placeholder="Assign to… a name, or any username"
      options={options}
      another={(words) => ({ id: words, label: words, hint: "somebody else" })}
      onChoose={({ id }) => mutate({ alert, deed: { do: "assign", assignee: id === NOBODY ? null : id } })}
      onClose={onClose}
    />
  );
}
