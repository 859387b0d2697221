/** The clients that the user sees, by id, in the order of their names. */

import { useQuery } from "@tanstack/react-query";
import { allClients, type ClientInfo } from "../api.js";

const NONE: ReadonlyMap<string, string> = new Map();

const namesOf = (clients: readonly ClientInfo[]): ReadonlyMap<string, string> => new Map(clients.map(({ id, name }) => [id, name]));

export const useClientNames = (): ReadonlyMap<string, string> =>
  useQuery({ queryKey: ["clients"], queryFn: allClients, staleTime: 60_000, select: namesOf }).data ?? NONE;
