// The page is redrawn while somebody reads it: what was opened stays open, and the focus stays.
"use strict";
if (window.Idiomorph) {
  Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) =>
    !(name === "open" && node.tagName === "DETAILS");
}
