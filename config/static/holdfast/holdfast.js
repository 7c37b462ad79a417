// Small helps on top of pages that work without it: copy an id, keep "in 12 min" honest, keys.
"use strict";

(() => {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

  function words(seconds) {
    const far = Math.abs(Math.round(seconds));
    let at = units.findIndex(([, size]) => far >= size);
    if (at < 0) at = units.length - 1;
    const [name, size] = units[at];
    let text = `${Math.floor(far / size)} ${name}`;
    const next = units[at + 1];
    if (next && at < 2) {
      const rest = Math.floor((far % size) / next[1]);
      if (rest) text += ` ${rest} ${next[0]}`;
    }
    return seconds < 0 ? `${text} ago` : `in ${text}`;
  }

  function tick() {
    for (const node of document.querySelectorAll("time[data-relative]")) {
      const text = words((Date.parse(node.dateTime) - Date.now()) / 1000);
      if (node.textContent !== text) node.textContent = text;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button || !navigator.clipboard) return;
    navigator.clipboard.writeText(button.dataset.copy).then(() => {
      const before = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = before; }, 1200);
    });
  });

  // The palette is the page /search/ in a dialog; without this script its link opens that page.
  const palette = document.getElementById("palette");
  function openPalette() {
    palette.showModal();
    const words = document.getElementById("palette-words");
    words.select();
    if (window.htmx) window.htmx.trigger(words, "open");
  }
  if (palette) {
    document.querySelector("[data-palette]")?.addEventListener("click", (event) => {
      event.preventDefault();
      openPalette();
    });
    palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
    palette.addEventListener("keydown", (event) => {
      const hits = [...palette.querySelectorAll("[data-hit]")];
      const at = hits.indexOf(document.activeElement);
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (step) {
        event.preventDefault();
        const next = at + step;
        (next < 0 ? document.getElementById("palette-words") : hits[Math.min(next, hits.length - 1)])?.focus();
      } else if (event.key === "Enter" && at < 0 && hits.length) {
        event.preventDefault();
        hits[0].click();
      }
    });
  }
  document.addEventListener("keydown", (event) => {
    if (!palette || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "k") return;
    event.preventDefault();
    if (palette.open) palette.close();
    else openPalette();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const node = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (!node) {
      if (event.key === "/" && palette) { event.preventDefault(); openPalette(); }
      return;
    }
    event.preventDefault();
    if (node.matches("input, textarea, select")) node.focus();
    else node.click();
  });

  // A live part that holds the focus or typed text is not replaced under the reader; the next answer is.
  function inUse(part) {
    const focused = document.activeElement;
    if (focused && focused !== document.body && part.contains(focused)) return true;
    return [...part.querySelectorAll("input, textarea")].some((field) =>
      field.type === "hidden" ? false : field.type === "checkbox" || field.type === "radio"
        ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);
  }

  let opened = [];
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = event.detail.target;
    if (!part || !part.hasAttribute("data-live")) return;
    if (inUse(part)) event.detail.shouldSwap = false;
    else opened = [...part.querySelectorAll("details[open][id]")].map((node) => node.id);
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
    opened = [];
  });

  // An open page asks for news of its subject, an answer that costs the server next to nothing; its live parts
  // are fetched when there is some, and now and then all the same. A page that nobody looks at does not ask.
  const [pause, longPause, anyway] = [2000, 30000, 600000];
  function listen(main) {
    let seen = main.dataset.seen;
    let fetched = Date.now();
    let fails = 0;
    let timer;
    async function ask() {
      clearTimeout(timer);
      if (document.hidden) return;
      let fresh = Date.now() - fetched > anyway;
      try {
        const answer = await fetch(`${main.dataset.news}?seen=${seen}`, { cache: "no-store" });
        if (answer.status === 404) return;
        fails = answer.ok ? 0 : fails + 1;
        if (answer.status === 200) { seen = await answer.text(); fresh = true; }
      } catch { fails += 1; }
      if (fresh && window.htmx) { fetched = Date.now(); window.htmx.trigger(document.body, "news"); }
      timer = setTimeout(ask, Math.min(longPause, pause * 2 ** Math.min(fails, 5)) * (0.9 + Math.random() * 0.2));
    }
    document.addEventListener("visibilitychange", ask);
    timer = setTimeout(ask, pause * Math.random());
  }
  const subject = document.querySelector("main[data-news]");
  if (subject) listen(subject);

  // Told to the server, which writes the times; somebody's own setting goes before it.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.split("; ").includes(`tz=${zone}`)) {
    document.cookie = `tz=${zone}; path=/; max-age=31536000; SameSite=Lax`;
  }

  document.addEventListener("htmx:afterSettle", tick);
  tick();
  setInterval(tick, 15000);
})();
