// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// Types: one type of a kernel as C, its differences between two kernels, its history over all, and functions by their types.
import { getJson, getKernels } from "./api.js";
import { busy, byId, bytes, el, kernelId, kernelName, link, plural, showError } from "./dom.js";

const NO_LINK = new Set(("auto bool char const double enum float int long register restrict short signed struct union " +
  "unsigned void volatile _Bool").split(" "));
const SUGGESTIONS = 50, TYPING_MS = 300;
const isGlob = text => /[*?[]/.test(text);

// ---- C ----

const typeLink = (name, kernel, text = name) => el("a", { href: link("/types", { name, kernel }) }, text);

// A type's text with each name in it a link to what it means.
function linkTypes(text, kernel) {
  return text.split(/((?:struct|union|enum) [A-Za-z_]\w*|[A-Za-z_]\w*)/).map((part, i) =>
    i % 2 && !NO_LINK.has(part) ? typeLink(part, kernel) : part);
}

// What C writes before and behind the name that is declared: "char[16]" is "char ", "[16]".
function splitType(type) {
  const inner = /\(\*+(?: ?const)*(?=[)[])/.exec(type), at = inner ? inner.index + inner[0].length : type.search(/\[|$/);
  const before = type.slice(0, at);
  return [before + (/[*(]$/.test(before) ? "" : " "), type.slice(at)];
}

function declare(type, name, kernel) {
  const [before, after] = splitType(type);
  return [linkTypes(before, kernel), name, linkTypes(after, kernel)];
}

// ---- one type ----

const makeLine = (depth, offset, size, text, mark = "") => el("tr", { class: mark || null },
  el("td", {}, offset), el("td", {}, size), el("td", { class: `depth${Math.min(depth, 8)}` }, text));

// A member's name, which leads to its history, unless no path leads to it.
function linkMember(name, { prefix, kernel }) {
  if (!name || prefix === null || isGlob(name))
    return el("b", {}, name);
  return el("a", { class: "member", href: link("/types", { view: "history", name: prefix + name, kernel }), title: "its history" }, name);
}

// Rows for the members of a struct or union, with what is free between them.
function layMembers(members, isUnion, end, limit, depth, view) {
  const rows = [];
  const layHole = until => {
    if (!isUnion && until > end)
      rows.push(makeLine(depth, String(end), String(until - end), `/* ${plural(until - end, "byte")} free */`, "hole"));
  };
  for (const m of members) {
    const place = m.bits ? `${m.offset}:${m.bit}` : String(m.offset), first = m.bits ? m.offset + (m.bit >> 3) : m.offset;
    layHole(first);
    if (m.members) {
      const [keyword, dimensions] = m.type.split(" {...}");
      rows.push(makeLine(depth, place, "", `${keyword} {`),
        ...layMembers(m.members, keyword.endsWith("union"), m.offset, m.offset + m.size, depth + 1,
          { ...view, prefix: dimensions ? null : m.name ? `${view.prefix}${m.name}.` : view.prefix }),
        makeLine(depth, "", String(m.size), `}${m.name ? ` ${m.name}` : ""}${dimensions ?? ""};`));
    } else {
      rows.push(makeLine(depth, place, String(m.size), [declare(m.type, linkMember(m.name, view), view.kernel), m.bits ? `:${m.bits}` : "", ";"]));
    }
    end = Math.max(end, m.bits ? m.offset + ((m.bit + m.bits + 7) >> 3) : m.offset + m.size);
  }
  layHole(limit);
  return rows;
}

function makeTable(caption, heads, rows) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { class: "layout" }, el("caption", { class: "hidden" }, caption),
      el("thead", {}, el("tr", {}, heads.map(head => el("th", { scope: "col" }, head)))), el("tbody", {}, rows)));
}

function showStruct(answer, kernel) {
  const isTypedef = answer.kind === "typedef", word = isTypedef ? answer.type.split(" {...}")[0] : answer.kind;
  const holes = answer.holes.reduce((sum, hole) => sum + hole.size, 0);
  const rows = [makeLine(0, "", "", isTypedef ? `typedef ${word} {` : `${answer.name} {`),
    ...layMembers(answer.members, word.endsWith("union"), 0, answer.size, 1, { prefix: `${answer.name}.`, kernel }),
    makeLine(0, "", String(answer.size), isTypedef ? `} ${answer.name};` : "};")];
  return [
    el("p", {}, [bytes(answer.size), plural(Math.ceil(answer.size / 64), "cache line"), plural(answer.members.length, "member"),
      holes ? `${plural(answer.holes.length, "hole")} of ${bytes(holes)}` : "no holes",
      answer.padding ? `${bytes(answer.padding)} free at the end` : null].filter(Boolean).join(" · ")),
    makeTable(answer.name, ["Offset", "Size", "C"], rows)];
}

function showEnum(answer) {
  return [el("p", {}, `${plural(answer.values.length, "value")} in ${bytes(answer.size)}`),
    makeTable(answer.name, ["Value", "Name"], answer.values.map(v =>
      el("tr", {}, el("td", {}, String(v.value)), el("td", {}, el("b", {}, v.name)))))];
}

function prototype(f, kernel) {
  const params = f.params.map((p, i) => [i ? ", " : "", p.type === "..." ? "..." : declare(p.type, p.name, kernel)]);
  const [before, after] = splitType(f.returns);
  return [linkTypes(before, kernel), el("b", {}, f.name), "(", params.length ? params : "void", ")", after, ";"];
}

function showBody(answer, kernel) {
  if (answer.members)
    return showStruct(answer, kernel);
  if (answer.values)
    return showEnum(answer);
  const text = answer.kind === "func" ? prototype(answer, kernel)
    : answer.type ? [answer.kind === "typedef" ? "typedef " : "", declare(answer.type, el("b", {}, answer.name), kernel), ";"]
      : [answer.name, answer.kind === "fwd" ? "; /* declared only */" : ";"];
  return [answer.size ? el("p", {}, bytes(answer.size)) : null, el("pre", { tabindex: 0 }, text)];
}

function leftOut(answer) {
  return answer.left_out ? el("p", {}, `${plural(answer.left_out, "more")} left out: ask for fewer.`) : null;
}

function showNames(answer, kernel) {
  return [el("h2", {}, answer.names.length ? plural(answer.names.length, "name") : "No such name"), leftOut(answer),
    el("ul", { class: "names" }, answer.names.map(({ name, kind }) => {
      const full = ["struct", "union", "enum"].includes(kind) ? `${kind} ${name}` : name;
      return el("li", {}, el("small", {}, `${kind} `), typeLink(full, kernel, name));
    }))];
}

function showShow(answer, view) {
  const kernel = view.kernel || kernelId(answer.kernel);
  if (answer.names)
    return [el("p", {}, "Kernel ", kernelName(answer.kernel)), showNames(answer, kernel)];
  return [el("h2", {}, el("code", {}, answer.name)),
    el("p", {}, "in kernel ", kernelName(answer.kernel), " · ",
      el("a", { href: link("/types", { view: "history", name: answer.name, kernel }) }, "history")),
    showBody(answer, kernel)];
}

// ---- differences ----

const SIGNS = { added: "+", removed: "−", moved: "→", retyped: "~", changed: "~" };

function describeSide(side) {
  if (!side)
    return "–";
  const at = side.offset ?? side.index ?? side.value;
  return [side.type ? el("code", {}, side.type, side.bits ? `:${side.bits}` : "") : "", side.type ? " at " : "= ",
    side.bits ? `${at}:${side.bit}` : String(at)];
}

function showDiff(answer, view) {
  const { from, to, changes } = answer, same = !changes.length && from.size === to.size && from.kind === to.kind;
  const whole = !to.kind ? "It is gone." : !from.kind ? "It is new." : same ? "It is the same in both."
    : from.size === to.size ? `${plural(changes.length, "change")}, ${bytes(to.size)} as before`
      : `${plural(changes.length, "change")}, ${bytes(from.size)} before, ${bytes(to.size)} now`;
  const rows = changes.map(c => el("tr", { class: c.change },
    el("td", {}, el("abbr", { title: c.change }, SIGNS[c.change])),
    el("td", {}, el("code", {}, c.name || "(the type)"), c.went_to ? el("small", {}, " now ", el("code", {}, c.went_to), "?") : ""),
    el("td", {}, describeSide(c.from)), el("td", {}, describeSide(c.to))));
  return [el("h2", {}, el("code", {}, answer.name)),
    el("p", {}, "from ", kernelName(from.kernel), " to ", kernelName(to.kernel), " · ",
      el("a", { href: link("/types", { view: "diff", name: view.name, kernel: view.to, to: view.kernel }) }, "the other way round")),
    el("p", {}, whole), rows.length ? makeTable("Changes", ["", "Member", "Before", "Now"], rows) : null];
}

// ---- history ----

function placeOf(group, span) {
  if ("offset" in group)
    return `at ${group.offset}${span.bits ? `:${group.bit}` : `, ${bytes(group.size)}`}`;
  return "value" in group ? `= ${group.value}` : group.size ? bytes(group.size) : "";
}

// A bar from the first to the last kernel of a group, among all that were looked at.
function makeBar(group, total) {
  const bar = el("span", { class: `bar layout${group.layout % 8}` });
  bar.style.marginLeft = `${100 * group.first / total}%`;
  bar.style.width = `${Math.max(100 * (group.last - group.first + 1) / total, 0.5)}%`;
  return el("span", { class: "track", "aria-hidden": "true" }, bar);
}

// What changed since the layout before, of a kernel of the same flavour if there is one: those for clouds are compared with those for clouds.
function linkChange(group, groups, view) {
  const before = groups.slice(0, groups.indexOf(group)).reverse(), isAlike = k => k.flavour === group.from.flavour;
  const base = before.find(g => isAlike(g.from) || isAlike(g.to)) ?? before[0];
  return base ? [" · ", el("a", { href: link("/types", { view: "diff", name: view.type, kernel: kernelId(isAlike(base.to) ? base.to : base.from),
    to: kernelId(group.from) }) }, `changes since layout ${base.layout + 1}`)] : "";
}

function showGroup(group, groups, span, view, total) {
  const show = k => el("a", { href: link("/types", { name: view.type, kernel: kernelId(k) }) }, kernelName(k));
  return el("li", {},
    el("strong", {}, `Layout ${group.layout + 1}`), ` ${placeOf(group, span)} · ${plural(group.kernels, "kernel")}`, linkChange(group, groups, view),
    el("br"), show(group.from), group.kernels > 1 ? [" to ", show(group.to)] : "", makeBar(group, total));
}

function showSpan(span, groups, view, total) {
  const title = !span.has_type ? "the type is not there" : !span.there ? "not there"
    : [el("code", {}, span.type), span.bits ? ` : ${span.bits}` : ""];
  const guess = span.came_from ? ["it was ", el("code", {}, span.came_from), ", it seems"]
    : span.went_to ? ["then it is ", el("code", {}, span.went_to), ", it seems"] : null;
  return el("li", { class: span.there ? "there" : "away" },
    el("p", {}, el("strong", {}, title), ` · ${plural(span.kernels, "kernel")}`, el("br"),
      kernelName(span.from), span.kernels > 1 ? [" to ", kernelName(span.to)] : "", guess ? [el("br"), guess] : ""),
    span.layouts ? el("ul", {}, span.layouts.map(group => showGroup(group, groups, span, view, total))) : null);
}

function showHistory(answer, view) {
  const total = answer.spans.reduce((sum, span) => sum + span.kernels, 0);
  const groups = answer.spans.flatMap(span => span.layouts ?? []), layouts = new Set(groups.map(g => g.layout)).size;
  return [el("h2", {}, el("code", {}, answer.name, answer.member ? `.${answer.member}` : "")),
    el("p", {}, `${plural(total, "kernel")}, ${plural(layouts, "layout")}`),
    el("ol", { class: "history" }, answer.spans.map(span => showSpan(span, groups, view, total)))];
}

// ---- functions ----

function showFound(answer, view) {
  const kernel = view.kernel || kernelId(answer.kernel);
  return [el("h2", {}, answer.functions.length ? plural(answer.functions.length, "function") : "No such function"),
    el("p", {}, "in kernel ", kernelName(answer.kernel)), leftOut(answer),
    el("ul", { class: "functions" }, answer.functions.map(f => el("li", {}, el("code", {}, prototype(f, kernel)), " ",
      el("a", { href: link("/types", { view: "history", name: f.name, kernel }), "aria-label": `history of ${f.name}` }, "history"))))];
}

// ---- questions ----

// Which kernel, as the interface takes it: without its architecture the one of the server's machine is meant.
function whose(kernel, kernels) {
  const arch = kernel.split("/")[2] || kernels.find(k => k.release === kernel)?.arch;
  return { kernel, arch: arch && !isGlob(arch) ? arch : "" };
}

// A history is about all kernels, of the architecture of the one that was chosen.
function whoseHistory({ kernel, arch }) {
  return { kernel: isGlob(kernel) || !arch ? kernel.includes("*") ? kernel : "" : `*/*/${arch}`, arch };
}

const VIEWS = {
  show: [view => [`show/${encodeURIComponent(view.name)}`, view.whose], showShow],
  diff: [view => [`diff/${encodeURIComponent(view.name)}`, { from: view.kernel, to: view.to, ...view.whose }], showDiff],
  history: [view => [`history/${encodeURIComponent(view.name)}`, whoseHistory(view.whose)], showHistory],
  find: [view => ["find", { name: view.name, takes: view.takes, returns: view.returns, ...view.whose }], showFound],
};

async function answerView(view, target) {
  busy(target, "Looking…");
  document.title = `${view.name || view.returns || view.takes} – ${document.title}`;
  try {
    const kernels = view.kernel ? (await getKernels()).kernels : [];
    view.whose = whose(view.kernel, kernels);
    view.type = view.name.split(".")[0];
    const [ask, show] = VIEWS[view.view], [path, query] = ask(view);
    target.replaceChildren(...[show(await getJson(link(`/v1/types/${path}`, query)), view)].flat(Infinity).filter(Boolean));
  } catch (error) {
    showError(target, error);
  }
}

// Names that begin as what is being typed. Without an answer there are none.
async function suggest({ name, kernel }) {
  const text = name.value.trim();
  if (text.length < 3 || /[^\w ]/.test(text))
    return;
  try {
    const query = whose(kernel.value, (await getKernels()).kernels);
    const { names } = await getJson(link(`/v1/types/show/${encodeURIComponent(`${text}*`)}`, query));
    byId("types-names").replaceChildren(...names.slice(0, SUGGESTIONS).map(n => el("option", { value: n.name }, n.kind)));
  } catch {
    byId("types-names").replaceChildren();
  }
}

function startSuggestions(form) {
  let timer;
  form.elements.name.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(suggest, TYPING_MS, form.elements);
  });
}

export function startTypes(query) {
  const form = byId("types-form"), find = byId("types-find");
  const view = Object.fromEntries(["view", "name", "kernel", "to", "takes", "returns"].map(key => [key, (query.get(key) ?? "").trim()]));
  if (!Object.hasOwn(VIEWS, view.view) || view.view === "show")
    view.view = view.name.includes(".") ? "history" : "show";
  const shown = view.view === "find" ? find.querySelector("form") : form;
  find.open = view.view === "find";
  for (const input of shown.querySelectorAll("input"))
    input.value = view[input.name];
  getKernels().catch(error => showError(byId("types-answer"), error));
  startSuggestions(form);
  if (view.view === "diff" && !(view.kernel && view.to))
    showError(byId("types-answer"), { title: "two kernels are needed", message: "choose both to compare them" });
  else if (view.name || view.view === "find")
    answerView(view, byId("types-answer"));
}
