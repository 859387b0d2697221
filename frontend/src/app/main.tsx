/** The single-page dashboard, from the document that Django rendered. */

// oxlint-disable-next-line import/no-unassigned-import -- a style sheet
import "./app.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App.js";
import { readBoot } from "./boot.js";

const boot = readBoot();
createRoot(boot.root).render(
  <StrictMode>
    <App boot={boot} />
  </StrictMode>,
);
