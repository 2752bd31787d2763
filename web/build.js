// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// Build: a source to artifacts, with progress as the server tells it, or diagnostics at their lines.
import { download, getKernels, post, problemOf, readEvents } from "./api.js";
import { busy, byId, bytes, code, copyable, el, link, plural, showError } from "./dom.js";

const CONTEXT_LINES = 2;
const EXAMPLE = `#include "anybpf.bpf.h"

struct event {
	u32 pid;
	char comm[16];
};
AB_EVENTS(events, struct event);

/* An event for each program that starts. */
SEC("tracepoint/sched/sched_process_exec")
int on_exec(void *ctx)
{
	struct event *e = ab_reserve(events);

	if (!e)
		return 0;
	e->pid = ab_pid();
	ab_comm(e->comm);
	ab_submit(ctx, events, e);
	return 0;
}

AB_LICENSE("GPL");
`;

// Sends a request for a build; the answer, or a Problem. `tell` gets what is being waited for.
export async function build(request, tell) {
  tell("Sending…");
  const answer = await post("/v1/build", "application/json", JSON.stringify(request), "text/event-stream");
  for await (const { event, data } of readEvents(answer)) {
    if (event === "queued")
      tell(data.position ? `Waiting, number ${data.position} of the queue…` : "Waiting…");
    else if (event === "started")
      tell("Compiling…");
    else if (event === "problem")
      throw problemOf(data);
    else if (event === "result")
      return data;
  }
  throw problemOf({ title: "the server ended the connection too early", detail: "try again" });
}

// ---- diagnostics ----

// Selects a place in the source; a character of a column is a byte, which is the same in nearly all sources.
function goTo(area, line, column) {
  const start = area.value.split("\n").slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + Math.max(column - 1, 0);
  area.focus();
  area.setSelectionRange(start, start + 1);
  area.scrollTop = (line - 4) * parseFloat(getComputedStyle(area).lineHeight);
}

function showLines(text, line, column) {
  const lines = text.split("\n"), first = Math.max(line - 1 - CONTEXT_LINES, 0);
  return el("pre", { class: "lines", tabindex: 0 }, lines.slice(first, line + CONTEXT_LINES).map((content, i) => {
    const n = first + i + 1;
    const caret = n === line && column ? `\n     ${content.slice(0, column - 1).replace(/[^\t]/g, " ")}^` : "";
    return el("span", { class: n === line ? "at" : null }, `${String(n).padStart(4)} ${content}${caret}\n`);
  }));
}

function showDiagnostic(d, files, area) {
  const isMain = files && d.file === files.source, text = files?.files[d.file];
  const place = `${d.file ?? ""}${d.line ? `:${d.line}:${d.column}` : ""}`;
  return el("li", {},
    el("p", {}, el("strong", { class: d.severity === "warning" || d.severity === "note" ? "warn" : "bad" }, d.severity), " ",
      isMain && area ? el("button", { type: "button", class: "as-link", click: () => goTo(area, d.line, d.column) }, place) : code(place),
      " ", d.message),
    typeof text === "string" && d.line ? showLines(text, d.line, d.column) : null,
    d.notes?.length ? el("ul", {}, d.notes.map(note => showDiagnostic(note, files, area))) : null);
}

// What one place in a macro says several times is shown once.
function showDiagnostics(diagnostics, files, area) {
  const different = [...new Map(diagnostics.map(d => [JSON.stringify([d.file, d.line, d.column, d.message]), d])).values()];
  return different.length ? [el("h3", {}, plural(different.length, "diagnostic")),
    el("ul", { class: "diagnostics" }, different.map(d => showDiagnostic(d, files, area)))] : [];
}

// A problem; with diagnostics if the compiler refused the source.
export function showBuildError(target, error, files, area) {
  showError(target, error);
  const { diagnostics, log } = error.document ?? {};
  if (diagnostics?.length)
    target.append(...showDiagnostics(diagnostics, files, area));
  else if (log)
    target.append(el("pre", { tabindex: 0 }, log));
}

// ---- artifacts ----

function showArtifact(a) {
  const path = `/v1/artifacts/${a.digest}`;
  return el("li", {},
    el("p", {}, download(path, a.name, el("strong", {}, a.name)), ` · ${bytes(a.size)}`,
      a.output === "o" ? [" · ", el("a", { href: link("/check", { object: a.digest, name: a.name }) }, "check where it runs")] : ""),
    el("dl", { class: "facts" }, el("dt", {}, "Digest"), el("dd", {}, code(a.digest)), el("dt", {}, "Signature"), el("dd", {}, code(a.signature))));
}

function showResult(result, request, area, ms) {
  return [el("h2", {}, "Built"),
    el("p", {}, `for kernel ${result.kernel} by ${result.compiler}, in ${ms.toLocaleString("en")} ms`),
    el("ul", { class: "artifacts" }, result.artifacts.map(showArtifact)),
    ...showDiagnostics(result.diagnostics, request, area),
    el("details", {}, el("summary", {}, "The same from a shell"), copyable(shellCommand(request)))];
}

const quote = text => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

function shellCommand({ source, outputs, options, kernel }) {
  const stem = source.replace(/(\.bpf)?\.c$/, "").split("/").pop();
  const flags = [["--kernel", kernel], ["--arch", options.arch], ["--isa", options.isa]].filter(([, value]) => value).flat();
  return [`export ANYBPF_SERVER=${location.origin}`,
    ...outputs.map(o => ["anybpf build", ...flags, "-o", `${stem}.${o}`, source].map((word, i) => i ? quote(word) : word).join(" "))].join("\n");
}

// ---- the page ----

// The bytes of a file as the interface takes them: text, or base64 of what is none.
async function encodeFile(file) {
  const data = new Uint8Array(await file.arrayBuffer());
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    let text = "";
    for (const byte of data)
      text += String.fromCharCode(byte);
    return { base64: btoa(text) };
  }
}

async function makeRequest({ name, source, more, arch, isa, kernel }, outputs) {
  const files = {}, options = {};
  for (const file of more.files)
    files[file.name] = await encodeFile(file);
  files[name.value] = source.value;
  if (arch.value)
    options.arch = arch.value;
  if (isa.value)
    options.isa = isa.value;
  return { source: name.value, files, options, outputs, inline: false, ...(kernel.value && { kernel: kernel.value }) };
}

async function run(form, target) {
  const outputs = [...form.querySelectorAll("[name=output]:checked")].map(box => box.value), began = performance.now();
  if (!outputs.length)
    return showError(target, { title: "nothing to make", message: "choose an output" });
  const request = await makeRequest(form.elements, outputs), area = form.elements.source;
  try {
    const result = await build(request, text => busy(target, text));
    target.replaceChildren(...showResult(result, request, area, Math.round(performance.now() - began)));
  } catch (error) {
    showBuildError(target, error, request, area);
  }
}

// A source stays in its field while one looks at other pages.
function keepSource(area) {
  area.value = sessionStorage.getItem("anybpf-source") ?? "";
  area.addEventListener("input", () => sessionStorage.setItem("anybpf-source", area.value));
}

export function startBuild() {
  const form = byId("build-form"), target = byId("build-answer"), area = form.elements.source;
  keepSource(area);
  getKernels().catch(error => showError(target, error));
  byId("build-example").addEventListener("click", () => {
    area.value = EXAMPLE;
    area.dispatchEvent(new Event("input"));
    area.focus();
  });
  form.addEventListener("submit", async event => {
    event.preventDefault();
    const button = event.submitter ?? form.querySelector("button");
    button.disabled = true;
    await run(form, target);
    button.disabled = false;
  });
}
