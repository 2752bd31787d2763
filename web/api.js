// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// The server's interface: requests with the token, problem documents as errors, server-sent events, downloads.
import { byId, el, kernelId, kernelNotes } from "./dom.js";

const TOKEN = "anybpf-token";

class Problem extends Error {
  constructor(title, detail, document = {}) {
    super(detail);
    this.title = title;
    this.kind = (document.type ?? "").split("/problems/")[1];
    this.id = (document.instance ?? "").split("/requests/")[1];
    this.document = document;
  }
}

export const problemOf = document => new Problem(document.title, document.detail, document);

async function readProblem(answer) {
  const document = await answer.json().catch(() => ({ title: `the server answered ${answer.status}`, detail: answer.statusText }));
  const seconds = answer.headers.get("Retry-After");
  if (seconds)
    document.detail += `; try again in ${seconds} s`;
  return problemOf(document);
}

// ---- the token ----

function labelTokenButton() {
  byId("token-button").textContent = sessionStorage.getItem(TOKEN) ? "Token: set" : "Token";
}

// True if there is another token now.
function askToken(why = "") {
  const dialog = byId("token"), input = dialog.querySelector("input"), old = sessionStorage.getItem(TOKEN) ?? "";
  byId("token-why").textContent = why;
  input.value = old;
  dialog.returnValue = "";
  if (!dialog.open)
    dialog.showModal();
  return new Promise(resolve => dialog.addEventListener("close", () => {
    if (dialog.returnValue === "save" && input.value.trim())
      sessionStorage.setItem(TOKEN, input.value.trim());
    else if (dialog.returnValue === "forget")
      sessionStorage.removeItem(TOKEN);
    labelTokenButton();
    resolve((sessionStorage.getItem(TOKEN) ?? "") !== old);
  }, { once: true }));
}

export function startToken() {
  labelTokenButton();
  byId("token-button").addEventListener("click", async () => {
    if (await askToken())
      location.reload();
  });
}

// ---- requests ----

// Of several requests that need a token one asks for it.
let asking = null;

// The answer, if it is a good one. A server that wants a token gets the one that the user types in.
export async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN), headers = { ...options.headers };
    if (token)
      headers.Authorization = `Bearer ${token}`;
    const answer = await fetch(path, { ...options, headers }).catch(error => {
      throw new Problem("the server cannot be reached", error.message);
    });
    if (answer.ok)
      return answer;
    const problem = await readProblem(answer);
    if (answer.status !== 401)
      throw problem;
    if (token !== sessionStorage.getItem(TOKEN))
      continue;
    asking ??= askToken(problem.message).finally(() => { asking = null; });
    if (!await asking)
      throw problem;
  }
}

export const getJson = async (path, options) => (await request(path, options)).json();

export const post = (path, type, body, accept) =>
  request(path, { method: "POST", body, headers: { "Content-Type": type, ...(accept && { Accept: accept }) } });

// The events of a stream as they come: {event, data}.
export async function* readEvents(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const parts = (rest + (value ?? "")).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map(line => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]));
      if (fields.event)
        yield { event: fields.event, data: JSON.parse(fields.data) };
    }
    if (done)
      return;
  }
}

// A link to bytes of the server; with a token they are fetched first, as a link sends none.
export function download(path, name, text) {
  const save = async event => {
    if (!sessionStorage.getItem(TOKEN))
      return;
    event.preventDefault();
    try {
      const url = URL.createObjectURL(await (await request(path)).blob());
      el("a", { href: url, download: name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    } catch (error) {
      anchor.after(" ", el("strong", { class: "bad", role: "alert" }, error.message));
    }
  };
  const anchor = el("a", { href: path, download: name, click: save }, text);
  return anchor;
}

// ---- kernels ----

let kernels;

// {default, kernels}, the newest first, asked for once; fills the list that the kernel fields choose from.
export function getKernels() {
  kernels ??= getJson("/v1/kernels").then(answer => {
    answer.kernels.sort((a, b) => b.release.localeCompare(a.release, "en", { numeric: true }));
    byId("kernel-list").replaceChildren(...answer.kernels.map(k => el("option", { value: kernelId(k) }, kernelNotes(k))));
    return answer;
  });
  return kernels;
}
