// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// Home: what this server is, and how to use it from a shell.
import { getJson, getKernels } from "./api.js";
import { busy, byId, code, copyable, el, plural, showError } from "./dom.js";

function describe(version, ready, keys) {
  const key = keys.keys.find(k => k.active);
  const state = ready.degraded.length ? ["ready, but degraded", el("ul", {}, ready.degraded.map(text => el("li", {}, text)))] : "ready";
  return [
    ["State", [el("span", { class: ready.degraded.length ? "mark warn" : "mark good", "aria-hidden": "true" }), state]],
    ["Version", `anybpfd ${version.version}`],
    ["Compiler", version.compiler],
    ["Work", `${ready.running} running, ${ready.waiting} waiting`],
    ["Signs with", key ? code(key.id) : "no key"],
  ];
}

async function countKernels(target) {
  try {
    const { kernels } = await getKernels();
    target.replaceChildren(el("a", { href: "/kernels" }, plural(kernels.length, "kernel")));
  } catch (error) {
    target.replaceChildren(error.message);
  }
}

export async function startHome() {
  const target = byId("home-state"), kernels = el("dd", {}, "…"), url = location.origin;
  byId("home-shell").replaceChildren(copyable(
    `export ANYBPF_SERVER=${url}\n` +
    "anybpf trust add $ANYBPF_SERVER     # once: whose builds may be loaded here\n" +
    "anybpf build tool.bpf.c -o tool.so  # no compiler, no headers needed\n" +
    "sudo -E anybpf run tool.bpf.c       # built there, run here"),
  el("p", {}, "Or with nothing but curl, for example the BTF of a kernel:"),
  copyable(`curl -fo vmlinux.btf ${url}/v1/btf/$(uname -r)`));
  busy(target, "Asking the server…");
  try {
    const facts = describe(...await Promise.all(["/version", "/readyz", "/v1/keys"].map(path => getJson(path))));
    target.replaceChildren(el("dl", { class: "facts" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
      el("dt", {}, "Types of"), kernels));
    await countKernels(kernels);
  } catch (error) {
    showError(target, error);
  }
}
