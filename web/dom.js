// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// Elements and words. All that the server says goes into the page as text, never as markup.

// el("a", {href, click: fn}, child…): attributes, listeners, and children, which are nodes or text.
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function")
      e.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined && c !== false));
  return e;
}

export const byId = id => document.getElementById(id);
export const code = text => el("code", {}, text);
export const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;
export const bytes = n => n < 10000 ? plural(n, "byte") : `${Math.round(n / 1024).toLocaleString("en")} KiB`;

// An address within these pages; what is empty is left out.
export function link(path, query) {
  const kept = Object.entries(query).filter(([, value]) => value);
  return path + (kept.length ? "?" + new URLSearchParams(kept) : "");
}

// How a kernel is written in questions, so that it is the only one that is meant.
export const kernelId = k => k.distribution ? `${k.distribution}/${k.release}/${k.arch}` : k.release;
export const kernelNotes = k => [k.distribution, k.flavour, k.arch].filter(Boolean).join(", ");
export const kernelName = k => [k.release, el("small", {}, ` ${kernelNotes(k)}`)];

// Announces that something is being done; the answer replaces it.
export function busy(target, text) {
  target.replaceChildren(el("p", { class: "busy", role: "status" }, text));
}

// What went wrong, from a problem document.
export function showError(target, error) {
  const kind = error.kind && el("a", { href: `/problems/${encodeURIComponent(error.kind)}` }, "what to do about it");
  const id = error.id && el("small", {}, "request ", code(error.id));
  target.replaceChildren(el("div", { class: "error", role: "alert" },
    el("p", {}, el("strong", {}, error.title ?? "this page has a defect"), error.message ? `: ${error.message}` : ""),
    kind || id ? el("p", {}, kind, kind && id ? " · " : "", id) : null));
  if (!error.title)
    console.error(error);
}

// A text to be copied, such as a command.
export function copyable(text) {
  const button = el("button", { type: "button", class: "quiet", click: async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } }, "Copy");
  return el("div", { class: "copy" }, el("pre", { tabindex: 0 }, text), navigator.clipboard ? button : null);
}
