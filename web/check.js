// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// Check: an object, or a source that is built first, against all kernels: verdicts by series, and the reasons.
import { build, showBuildError } from "./build.js";
import { post, request } from "./api.js";
import { busy, byId, code, el, kernelName, link, plural, showError } from "./dom.js";

const WORDS = { native: ["✔", "native", "good"], driver: ["◐", "by the driver", "warn"], fails: ["✘", "failing", "bad"] };

// ---- groups ----

// "5.10.0-8-amd64" is of the series 5.10.
const seriesOf = k => /^\d+\.\d+/.exec(k.release)?.[0] ?? k.release;
const columnOf = k => [k.distribution, k.arch].filter(Boolean).join(" ") || "other";

function compareSeries(a, b) {
  const [x, y] = [a, b].map(s => s.split(".").map(Number));
  return y[0] - x[0] || y[1] - x[1] || (a < b ? -1 : 1);
}

// Kernels (their places in the report) by series and by distribution and architecture.
function groupKernels(kernels) {
  const cells = new Map(), series = new Set(), columns = new Set();
  kernels.forEach((k, i) => {
    const row = seriesOf(k), column = columnOf(k), key = `${row}\n${column}`;
    series.add(row);
    columns.add(column);
    if (!cells.has(key))
      cells.set(key, []);
    cells.get(key).push(i);
  });
  return { series: [...series].sort(compareSeries), columns: [...columns].sort(), cell: (row, column) => cells.get(`${row}\n${column}`) };
}

const countVerdicts = (indices, verdicts) =>
  Object.keys(WORDS).map(word => [word, indices.filter(i => verdicts[i] === word).length]).filter(([, n]) => n);

// ---- what is shown ----

function showVerdict([word, n]) {
  const [sign, , mark] = WORDS[word];
  return el("span", { class: `verdict ${mark}` }, `${sign} ${n} `);
}

function showMatrix(groups, verdicts, choose) {
  const cell = (row, column) => {
    const indices = groups.cell(row, column);
    return el("td", {}, indices ? el("button", { type: "button", class: "cell", "aria-pressed": "false", "aria-label":
        `${row} ${column}: ${countVerdicts(indices, verdicts).map(([word, n]) => `${n} ${WORDS[word][1]}`).join(", ")}`,
    click: event => choose(indices, `${row} ${column}`, event.currentTarget) }, countVerdicts(indices, verdicts).map(showVerdict)) : null);
  };
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Verdicts by series" }, el("table", { class: "matrix" },
    el("caption", { class: "hidden" }, "Verdicts by series of kernels, and by distribution and architecture"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Series"), groups.columns.map(c => el("th", { scope: "col" }, c)))),
    el("tbody", {}, groups.series.map(row => el("tr", {}, el("th", { scope: "row" }, row), groups.columns.map(c => cell(row, c)))))));
}

function showKernels(indices, kernels, title) {
  return el("details", {}, el("summary", {}, title), el("ul", { class: "kernels" }, indices.map(i => el("li", {}, kernelName(kernels[i])))));
}

function showReason(reason, kernels, indices) {
  return el("li", { class: reason.fatal ? "fatal" : "note" },
    el("p", {}, el("strong", { class: reason.fatal ? "bad" : "warn" }, reason.fatal ? "Fails" : "Note"),
      reason.program ? [" ", code(reason.program)] : "", reason.file ? [" ", code(`${reason.file}:${reason.line}`)] : "",
      reason.access ? [" ", code(reason.access)] : "", " ", reason.message,
      reason.hint ? [el("br"), el("small", {}, reason.hint)] : ""),
    showKernels(indices, kernels, `${plural(indices.length, "kernel")}${reason.where ? `: ${reason.where}` : ""}`));
}

// The part of the report that is about some kernels.
function showPart(report, object, indices, title) {
  const wanted = new Set(indices);
  const reasons = object.reasons.map(r => [r, r.kernels.filter(i => wanted.has(i))]).filter(([, own]) => own.length)
    .sort(([a, x], [b, y]) => b.fatal - a.fatal || y.length - x.length);
  return [el("h3", {}, title),
    reasons.length ? el("ul", { class: "reasons" }, reasons.map(([r, own]) => showReason(r, report.kernels, own)))
      : el("p", {}, "Nothing stands in the way."),
    countVerdicts(indices, object.verdicts).map(([word, n]) =>
      showKernels(indices.filter(i => object.verdicts[i] === word), report.kernels, `${plural(n, "kernel")}: ${WORDS[word][1]}`))];
}

function showReport(target, report) {
  const [object] = report.objects, all = report.kernels.map((_, i) => i);
  if (!object || !all.length)
    return showError(target, { title: "there is no such kernel here", message: "the Kernels page lists those that there are" });
  const part = el("div", { "aria-live": "polite" });
  const choose = (indices, title, button) => {
    const isOff = button?.getAttribute("aria-pressed") === "true";
    for (const other of target.querySelectorAll("button.cell"))
      other.setAttribute("aria-pressed", String(other === button && !isOff));
    part.replaceChildren(...(isOff || !button ? showPart(report, object, all, "All kernels") : showPart(report, object, indices, title)).flat());
  };
  target.replaceChildren(el("h2", {}, object.file),
    el("p", { class: "total", role: "status" }, countVerdicts(all, object.verdicts).map(([word, n]) =>
      [el("span", { class: `verdict ${WORDS[word][2]}` }, `${WORDS[word][0]} ${n} ${WORDS[word][1]}`), " "])),
    el("p", { class: "note" }, "Press a cell to see these kernels alone."),
    showMatrix(groupKernels(report.kernels), object.verdicts, choose), part);
  choose(all, "", null);
}

// ---- what is done ----

// What was checked last, {bytes, name, digest}: it can be checked again, on other kernels. A digest gives it an address.
let subject = null;

async function check(form, target) {
  const { bytes, name, digest } = subject, kernels = form.elements.kernels.value.trim(), arch = form.elements.arch.value.trim();
  busy(target, "Checking…");
  history.replaceState(null, "", link("/check", digest ? { object: digest, name, kernels, arch } : {}));
  const answer = await post(link("/v1/check", { name, kernels, arch }), "application/octet-stream", bytes);
  showReport(target, await answer.json());
}

async function fetchObject(digest, name, target) {
  busy(target, "Fetching the object…");
  subject = { bytes: await (await request(`/v1/artifacts/${encodeURIComponent(digest)}`)).arrayBuffer(), name, digest };
}

async function buildObject(source, name, target) {
  const files = { source: name, files: { [name]: source } };
  try {
    const { artifacts: [object] } = await build({ ...files, outputs: ["o"], inline: false }, text => busy(target, text));
    await fetchObject(object.digest, name, target);
  } catch (error) {
    error.files = files;
    throw error;
  }
}

// Takes a file, else the pasted source, else what is there already.
async function takeSubject(file, source, target) {
  if (file && !file.name.endsWith(".c"))
    subject = { bytes: await file.arrayBuffer(), name: file.name };
  else if (file)
    await buildObject(await file.text(), file.name, target);
  else if (source.trim())
    await buildObject(source, "tool.bpf.c", target);
}

async function run(form, target) {
  try {
    await takeSubject(form.elements.file.files[0], form.elements.source.value, target);
    if (subject)
      await check(form, target);
    else
      showError(target, { title: "nothing to check", message: "choose an object or a source, or paste a source" });
  } catch (error) {
    showBuildError(target, error, error.files);
  }
}

function startDrop(zone, form, target) {
  for (const type of ["dragover", "dragleave", "drop"])
    zone.addEventListener(type, event => {
      event.preventDefault();
      zone.classList.toggle("over", type === "dragover");
    });
  zone.addEventListener("drop", event => {
    if (event.dataTransfer.files.length) {
      form.elements.file.files = event.dataTransfer.files;
      run(form, target);
    }
  });
}

export async function startCheck(query) {
  const form = byId("check-form"), target = byId("check-answer"), digest = query.get("object");
  for (const name of ["kernels", "arch"])
    form.elements[name].value = query.get(name) ?? "";
  startDrop(byId("check-drop"), form, target);
  form.addEventListener("submit", event => {
    event.preventDefault();
    run(form, target);
  });
  if (!digest)
    return;
  try {
    await fetchObject(digest, query.get("name") ?? "object", target);
    await check(form, target);
  } catch (error) {
    showError(target, error);
  }
}
