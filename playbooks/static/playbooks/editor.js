// The editor of playbooks: line numbers with marks, Tab, and jumps to a problem. Without it the text field works as it is.
"use strict";

(() => {
  const box = document.querySelector("[data-editor]");
  const text = box && box.querySelector("textarea");
  if (!text) return;

  const lines = document.createElement("div");
  lines.className = "lines";
  lines.setAttribute("aria-hidden", "true");
  box.prepend(lines);
  box.classList.add("numbered");

  function number() {
    const count = text.value.split("\n").length;
    while (lines.children.length < count) {
      const line = document.createElement("span");
      line.textContent = lines.children.length + 1;
      lines.append(line);
    }
    while (lines.children.length > count) lines.lastChild.remove();
  }

  function mark() {
    for (const line of lines.children) {
      line.className = "";
      line.title = "";
    }
    for (const item of document.querySelectorAll("#problems [data-line]")) {
      const line = lines.children[item.dataset.line - 1];
      if (!line || line.className === "wrong") continue;
      line.className = "warning" in item.dataset ? "odd" : "wrong";
      line.title = item.textContent.trim();
    }
  }

  function follow() {
    lines.scrollTop = text.scrollTop;
  }

  function show(line, column) {
    const rows = text.value.split("\n");
    const start = rows.slice(0, line - 1).reduce((sum, row) => sum + row.length + 1, 0);
    const at = Math.min(start + column - 1, start + (rows[line - 1] || "").length);
    text.focus();
    text.setSelectionRange(at, start + (rows[line - 1] || "").length);
    const height = parseFloat(getComputedStyle(text).lineHeight);
    text.scrollTop = Math.max(0, (line - 4) * height);
    const place = text.getBoundingClientRect().top + (line - 1) * height - text.scrollTop;
    window.scrollBy({ top: place - window.innerHeight / 3 });
    follow();
  }

  function shift(back) {
    const { selectionStart: from, selectionEnd: to, value } = text;
    const first = value.lastIndexOf("\n", from - 1) + 1;
    if (!back && from === to) {
      text.setRangeText("  ", from, to, "end");
    } else {
      const part = value.slice(first, to);
      const moved = back ? part.replace(/^ {1,2}/gm, "") : part.replace(/^/gm, "  ");
      text.setRangeText(moved, first, to, "select");
    }
    text.dispatchEvent(new Event("input", { bubbles: true }));
  }

  let leaving = false;
  text.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      leaving = true;
    } else if (event.key === "Tab" && !leaving && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      shift(event.shiftKey);
    } else if (event.key === "Enter" && text.selectionStart === text.selectionEnd) {
      const start = text.value.lastIndexOf("\n", text.selectionStart - 1) + 1;
      const indent = text.value.slice(start, text.selectionStart).match(/^ *(?:- )?/)[0].replace("-", " ");
      if (indent) {
        event.preventDefault();
        text.setRangeText(`\n${indent}`, text.selectionStart, text.selectionEnd, "end");
        text.dispatchEvent(new Event("input", { bubbles: true }));
      }
    } else if (event.key !== "Shift") {
      leaving = false;
    }
  });

  document.addEventListener("click", (event) => {
    const place = event.target.closest("#problems .place");
    const item = place && place.closest("[data-line]");
    if (!item) return;
    event.preventDefault();
    show(Number(item.dataset.line), Number(item.dataset.column));
  });

  // what is open beside the text stays open when it is drawn again
  let open = null;
  document.addEventListener("htmx:oobBeforeSwap", () => {
    open = [...document.querySelectorAll("#beside details[open]")].map((part) => part.id);
  });
  document.addEventListener("htmx:oobAfterSwap", () => {
    if (open === null) return;
    for (const part of document.querySelectorAll("#beside details")) part.open = open.includes(part.id);
  });
  document.addEventListener("htmx:afterSettle", mark);
  text.addEventListener("scroll", follow);
  text.addEventListener("input", number);
  number();
  mark();
})();
