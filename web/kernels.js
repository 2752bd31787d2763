// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// Kernels: all whose types are here, filtered by words.
import { download, getKernels } from "./api.js";
import { byId, code, el, kernelId, link, plural, showError } from "./dom.js";

const FIRST_ROWS = 200;

function makeRow(k, isDefault) {
  const path = `/v1/btf/${kernelId(k).split("/").map(encodeURIComponent).join("/")}`;
  return el("tr", {},
    el("th", { scope: "row" }, el("a", { href: link("/types", { name: "task_struct", kernel: kernelId(k) }) }, k.release),
      k.flavour ? el("small", {}, ` ${k.flavour}`) : "", isDefault ? el("small", { class: "tag" }, "default") : ""),
    el("td", {}, k.distribution || "–"), el("td", {}, k.arch || "–"),
    el("td", {}, k.build_id ? el("abbr", { title: k.build_id }, code(k.build_id.slice(0, 8))) : "–"),
    el("td", {}, download(path, `${k.release}.btf`, "BTF")));
}

export async function startKernels(query) {
  const form = byId("kernels-form"), table = byId("kernels-table"), more = byId("kernels-all");
  let answer;
  try {
    answer = await getKernels();
  } catch (error) {
    return showError(byId("kernels-answer"), error);
  }
  const rows = answer.kernels.map(k => ({ k, isDefault: !k.distribution && k.release === answer.default,
    text: `${k.release} ${k.distribution} ${k.flavour} ${k.arch} ${k.build_id}`.toLowerCase() }));
  const show = limit => {
    const words = form.q.value.toLowerCase().split(/\s+/);
    const found = rows.filter(row => words.every(word => row.text.includes(word)));
    table.tBodies[0].replaceChildren(...found.slice(0, limit).map(row => makeRow(row.k, row.isDefault)));
    byId("kernels-count").textContent = found.length === rows.length ? plural(rows.length, "kernel")
      : `${found.length} of ${plural(rows.length, "kernel")}`;
    table.hidden = !found.length;
    more.hidden = found.length <= limit;
  };
  form.q.value = query.get("q") ?? "";
  form.addEventListener("submit", event => event.preventDefault());
  form.addEventListener("input", () => {
    history.replaceState(null, "", link("/kernels", { q: form.q.value }));
    show(FIRST_ROWS);
  });
  more.addEventListener("click", () => show(Infinity));
  show(FIRST_ROWS);
}
