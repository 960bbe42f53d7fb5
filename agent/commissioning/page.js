// Renews the live parts of the page once a second; only what changed is replaced, so nothing flickers and a screen
// reader hears the answer only when it is another one. Without scripts the page renews itself as a whole.
"use strict";
const PERIOD = 1000, PATIENCE = 4000, SILENT_AFTER = 3;
let missed = 0;

async function renew() {
  const ending = new AbortController();
  const timer = setTimeout(() => ending.abort(), PATIENCE);
  try {
    const answer = await fetch("/live", {signal: ending.signal, cache: "no-store"});
    if (answer.status === 401 || answer.status === 204) { location.reload(); return; }
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of fresh.querySelectorAll("[data-live]")) {
      const shown = document.getElementById(part.id);
      if (shown && shown.innerHTML !== part.innerHTML) shown.replaceChildren(...part.childNodes);
      if (shown && shown.className !== part.className) shown.className = part.className;
    }
    missed = 0;
  } catch (error) {
    missed += 1;
  } finally {
    clearTimeout(timer);
    document.getElementById("silent").hidden = missed < SILENT_AFTER;
    setTimeout(renew, PERIOD);
  }
}

setTimeout(renew, PERIOD);
