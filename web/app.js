// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
// Shows the page that the path names. A view is an address: forms and links lead from one to the next.
import { startToken } from "./api.js";
import { startBuild } from "./build.js";
import { startCheck } from "./check.js";
import { byId } from "./dom.js";
import { startHome } from "./home.js";
import { startKernels } from "./kernels.js";
import { startTypes } from "./types.js";

const pages = { home: startHome, types: startTypes, check: startCheck, build: startBuild, kernels: startKernels };
const name = Object.hasOwn(pages, location.pathname.slice(1)) ? location.pathname.slice(1) : "home";
const section = byId(name);

document.title = name === "home" ? "anybpf" : `${section.querySelector("h1").textContent} – anybpf`;
document.querySelector(`nav a[href="/${name}"]`)?.setAttribute("aria-current", "page");
section.hidden = false;
startToken();
// Empty fields are left out of addresses.
for (const form of section.querySelectorAll("form[action]"))
  form.addEventListener("formdata", event => {
    for (const [key, value] of [...event.formData])
      if (!value)
        event.formData.delete(key);
  });
pages[name](new URLSearchParams(location.search));
