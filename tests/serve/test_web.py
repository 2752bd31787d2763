# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The pages, in a real browser: every one does its job, on a phone too, and nothing that the server says becomes markup."""
import gzip
import json
import pathlib
import re
import shutil
import subprocess
import time
import urllib.parse

import pytest

from anybpfd import BUILD, HELLO, OPEN, PROGRAM, ROOT, Server, data_of
from browser import PROGRAM as BROWSER
from browser import Browser

WEB = ROOT / "web"
EVIL = "<img/src=x/onerror=hacked=1>"
EVIL_FILE = "<img src=x onerror=hacked=1>"

# Kernels of which each has something that the one before has not; `EVILNAME…` becomes EVIL in their BTF. The last one is the host's.
SOURCE = """
struct cpu; struct EVILNAME { int EVILMEMBER; };
enum work { READY = 1, DONE = %d };
struct crew { int pid; %s long %s; char comm[16]; unsigned kept : 3, cut : 2; void (*done)(struct crew *w); struct cpu *cpu;
  union { struct { int first, second; }; long both; }; struct EVILNAME evil; };
typedef struct crew *crew_ptr;
struct crew *crews; crew_ptr ptr; enum work now; struct EVILNAME evil;
int crew_wake(struct crew *w, int flags) { return w->pid + flags; }
struct crew *crew_find(const char *comm, %s) { return crews; }
"""
KERNELS = [("5.4.0-1-amd64", "x86_64", (2, "", "state", "int pid")), ("5.10.0-8-amd64", "x86_64", (2, "", "state", "int pid")),
           ("5.10.0-8-rt-amd64", "x86_64", (2, "int rt;", "state", "int pid")), ("6.1.0-9-amd64", "x86_64", (3, "", "__state", "unsigned pid")),
           ("6.1.0-9-arm64", "aarch64", (3, "", "__state", "unsigned pid")), ("6.12.0-1-amd64", "x86_64", None)]


def make_btf(directory, release, values):
    if not values:
        return shutil.copy("/sys/kernel/btf/vmlinux", directory / f"{release}.btf")
    name = "EVILNAME".ljust(len(EVIL), "_")
    source, out = directory / f"{release}.c", directory / f"{release}.btf"
    source.write_text((SOURCE % values).replace("EVILNAME", name).replace("EVILMEMBER", name.replace("NAME", "FIELD")[:len(EVIL)]))
    subprocess.run(["gcc", "-g", "-c", "-o", source.with_suffix(".o"), source], check=True)
    subprocess.run(["pahole", f"--btf_encode_detached={out}", source.with_suffix(".o")], check=True)
    data = re.sub(rb"EVIL(NAME|FIELD)_+", EVIL.encode(), out.read_bytes())
    assert data.count(EVIL.encode()) == 2
    out.write_bytes(data)
    return out


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A server with a small pack, and where it is."""
    directory = tmp_path_factory.mktemp("site")
    pack = directory / "kernels.pack"
    for release, arch, values in KERNELS:
        subprocess.run([BUILD / "anybpf", "hub", "import", make_btf(directory, release, values), "--pack", pack, "--release", release,
                        "--arch", arch, "--distribution", "debian"], check=True, capture_output=True)
    with Server(directory / "state", *OPEN, "--kernels-packs", pack) as s:
        s.url = "http://%s:%d" % s.address
        s.directory = directory
        yield s


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not BROWSER:
        pytest.skip("no Chromium is installed")
    b = Browser(tmp_path_factory.mktemp("browser"))
    yield b
    b.close()


@pytest.fixture
def page(browser):
    """An empty session; the test fails if the page complained about anything, its own policy included."""
    p = browser.open()
    yield p
    assert p.eval("window.hacked") is None
    assert not p.errors


def types(**query):
    return "/types?" + urllib.parse.urlencode(query)


def kernel(i):
    release, arch, _ = KERNELS[i]
    return f"debian/{release}/{arch}"


# ---- what is sent ----

def test_headers(site):
    document = site.get("/")
    policy = dict(part.split(" ", 1) for part in document.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'" and "unsafe" not in str(policy)
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'" and policy["require-trusted-types-for"] == "'script'"
    assert document.headers["X-Content-Type-Options"] == "nosniff" and document.headers["Referrer-Policy"] == "no-referrer"
    assert document.headers["Cache-Control"] == "no-cache"
    for path in ("/types", "/check", "/build", "/kernels"):
        assert site.get(path).body == document.body
    assert site.get("/types", If_None_Match=document.headers["ETag"]).status == 304


def test_files(site):
    addresses = set(re.findall(r'"(/web/[^"]+)"', site.get("/").body.decode()))
    kinds = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
    assert {a.rsplit("/", 1)[1] for a in addresses} == {p.name for p in WEB.iterdir() if p.suffix in kinds}
    for address in addresses:
        answer = site.get(address)
        assert answer.status == 200 and answer.body == (WEB / address.rsplit("/", 1)[1]).read_bytes()
        assert answer.headers["Content-Type"] == kinds[pathlib.Path(address).suffix]
        assert answer.headers["Cache-Control"] == "max-age=31536000, immutable"
        assert site.get(address, If_None_Match=answer.headers["ETag"]).status == 304
        other = site.get("/web/0123456789abcdef/" + address.rsplit("/", 1)[1])  # a page of another version
        assert other.body == answer.body and other.headers["Cache-Control"] == "no-cache"
    for path in ("/web/x", "/web/x/", "/web/x/none.js", "/web/x/../../etc/passwd", "/web/%2e%2e/app.c"):
        assert site.get(path).status == 404


def test_files_are_small_and_make_no_markup():
    files = {p.name: p.read_text() for p in WEB.iterdir()}
    assert sum(len(gzip.compress(text.encode())) for text in files.values()) < 30000
    for name, text in files.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc", text), name
        assert name == "icon.svg" or not re.search(r"""https?://|(src|href)=["']?//|\son\w+=|\sstyle=|url\(""", text), name


# ---- each page does its job ----

def test_home(site, page):
    page.goto(site.url).wait_for_text("7 kernels", "#home-state")
    version = site.get("/version").json()
    text = page.text("main")
    assert f"anybpfd {version['version']}" in text and version["compiler"] in text and "ready" in text
    assert f"export ANYBPF_SERVER={site.url}" in text and site.get("/v1/keys").json()["keys"][0]["id"] in text
    page.click("nav a[href='/types']")
    page.wait("location.pathname === '/types' && document.title.startsWith('Types')")


def test_types_show(site, page):
    page.goto(site.url + "/types")
    page.type("#types-form [name=name]", "crew")
    page.type("#types-form [name=kernel]", "debian/5.10.0-8-amd64/x86_64")
    page.press("Enter", number=13, text="\r")
    page.wait_for_text("in kernel 5.10.0-8-amd64", "#types-answer")
    query = urllib.parse.parse_qs(urllib.parse.urlparse(page.eval("location.href")).query)
    assert query == {"name": ["crew"], "kernel": [kernel(1)], "view": ["show"]}
    rows = page.eval("[...document.querySelectorAll('.layout tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
    assert rows[0] == ["", "", "struct crew {"] and ["0", "4", "int pid;"] in rows
    assert ["4", "4", "/* 4 bytes free */"] in rows and ["8", "8", "long state;"] in rows
    assert ["16", "16", "char comm[16];"] in rows and ["32:3", "4", "unsigned int cut:2;"] in rows
    assert any(r[2] == "void (*done)(struct crew *);" for r in rows), rows
    page.click(".layout a.member[href*='crew.state']")
    page.wait("document.querySelector('#types-answer h2')?.textContent === 'struct crew.state'")
    page.goto(site.url + types(name="crew", kernel=kernel(1)))
    page.click(".layout a.member[href*='crew.second']")
    page.wait_for_text("at 60, 4 bytes", "#types-answer")
    # Every kind of answer.
    for name, text in (("enum work", "DONE"), ("crew_wake", "int crew_wake(struct crew *w, int flags);"),
                       ("crew_ptr", "typedef struct crew *crew_ptr;"),
                       ("*crew*", "4 names"), ("no_such", "no type or function 'no_such'")):
        page.goto(site.url + types(name=name, kernel=kernel(1))).wait_for_text(text, "#types-answer")


def test_types_suggestions(site, page):
    page.goto(site.url + types(name="work", kernel=kernel(1)))
    page.type("#types-form [name=name]", "crew")
    assert page.wait("[...document.querySelectorAll('#types-names option')].map(o => o.value).sort().join()") == "crew,crew_find,crew_ptr,crew_wake"
    assert page.eval("document.querySelectorAll('#kernel-list option').length") == len(KERNELS) + 1


def test_types_diff(site, page):
    page.goto(site.url + types(name="crew", kernel=kernel(1), to=kernel(3)))
    page.click("button[value=diff]")
    page.wait_for_text("changes", "#types-answer")
    rows = page.eval("[...document.querySelectorAll('.layout tbody tr')].map(r => r.className + ' ' + r.innerText)")
    assert any(r.startswith("removed") and "state now __state?" in r for r in rows), rows
    assert any(r.startswith("added") and "__state" in r for r in rows), rows
    page.goto(site.url + types(view="diff", name="crew", kernel=kernel(0), to=kernel(1))).wait_for_text("It is the same in both.")
    page.goto(site.url + types(view="diff", name="crew", kernel=kernel(0))).wait_for_text("two kernels are needed")
    page.goto(site.url + types(view="diff", name="crew", kernel=kernel(0), to="9.9")).wait_for_text("there is no kernel '9.9'")


def test_types_history(site, page):
    page.goto(site.url + types(view="history", name="crew")).wait_for_text("5 kernels, 3 layouts", "#types-answer")
    text = page.text("#types-answer")
    assert "Layout 1" in text and "5.4.0-1-amd64 debian, x86_64 to 5.10.0-8-amd64" in text and "changes since layout 1" in text
    assert [page.eval(f"document.querySelectorAll('.bar')[{i}].style.marginLeft") for i in range(3)] == ["0%", "40%", "60%"]
    assert text.rstrip().endswith("the type is not there · 1 kernel\n6.12.0-1-amd64 debian, x86_64")
    page.goto(site.url + types(name="crew.state")).wait_for_text("then it is __state, it seems", "#types-answer")
    page.goto(site.url + types(view="history", name="crew", kernel=kernel(4))).wait_for_text("1 kernel, 1 layout")
    page.goto(site.url + types(view="history", name="crew_find")).wait_for_text("crew_find(const char *comm, unsigned int pid)")


def test_types_find(site, page):
    page.goto(site.url + "/types")
    page.click("#types-find summary")
    page.type("#types-find [name=takes]", "struct crew *")
    page.type("#types-find [name=kernel]", kernel(1))
    page.click("#types-find button")
    page.wait_for_text("1 function", "#types-answer")
    assert "int crew_wake(struct crew *w, int flags);" in page.text("#types-answer")
    assert page.eval("location.search").startswith("?takes=struct+crew+*&kernel=debian")


def test_kernels(site, page):
    page.goto(site.url + "/kernels").wait_for_text("7 kernels")
    page.type("#kernels-form [name=q]", "debian 5.10 rt")
    page.wait_for_text("1 of 7 kernels")
    assert page.eval("location.search") == "?q=debian+5.10+rt"
    link = page.eval("document.querySelector('#kernels-table a[download]').href")
    assert site.get(urllib.parse.urlparse(link).path).body[:2] == b"\x9f\xeb"
    page.goto(site.url + "/kernels?q=nothing").wait_for_text("0 of 7 kernels")


def test_build(site, page):
    page.goto(site.url + "/build")
    page.click("#build-example")
    page.click("#build-form [value=so]")
    page.eval("window.told = []; new MutationObserver(() => told.push(document.querySelector('#build-answer').innerText))"
              ".observe(document.querySelector('#build-answer'), {childList: true})")
    page.click("#build-form button")
    page.wait_for_text("Built", "#build-answer")
    told = page.eval("told")
    assert "Compiling…" in told and any(t.startswith("Waiting") for t in told), told
    links = page.eval("[...document.querySelectorAll('#build-answer a[download]')].map(a => [a.download, a.pathname])")
    assert [name for name, _ in links] == ["tool.o", "tool.so"]
    for _, path in links:
        artifact = site.get(path)
        assert artifact.body[:4] == b"\x7fELF" and artifact.headers["Anybpf-Signature"] in page.text("#build-answer")
        assert path.rsplit("/", 1)[1] in page.text("#build-answer")
    page.click("#build-answer a[href^='/check']")
    page.wait_for_text("2 native", "#check-answer")


def test_build_shows_diagnostics_at_their_lines(site, page):
    page.goto(site.url + "/build")
    page.type("#build-form [name=source]", '#include "tool.h"\nint here;\nint wrong = LIMIT + no_such_thing;\n')
    header = site.directory / "tool.h"
    header.write_text("#define LIMIT 5\n")
    page.choose_file("#build-form [name=more]", header)
    page.click("#build-form button")
    page.wait_for_text("the compiler refused the source", "#build-answer")
    text = page.text("#build-answer")
    assert "tool.bpf.c:3:21" in text and "no_such_thing" in text and "LIMIT" not in text.split("3 int wrong")[0].split("error")[0]
    assert page.eval("document.querySelector('.lines .at').textContent").splitlines() == ["   3 int wrong = LIMIT + no_such_thing;", " " * 25 + "^"]
    page.click(".as-link")
    area = "document.querySelector('#build-form [name=source]')"
    assert page.eval(f"{area}.value.slice({area}.selectionStart).split('\\n')[0]") == "no_such_thing;"


def test_check(site, page):
    program = site.directory / "prog.bpf.o"
    program.write_bytes(data_of(site.build(HELLO % 1 + 'SEC("kprobe/crew_wake") int f(void *ctx) { struct crew *w = 0; return 0; }\n'
                                           'SEC("kprobe/no_such_function") int g(void *ctx) { return 0; }').json()))
    page.goto(site.url + "/check")
    page.drop("#check-drop", program)
    page.wait_for_text("prog.bpf.o", "#check-answer")
    reasons = page.text(".reasons")
    assert "the kernel has no BPF" in reasons and "5 kernels: all before 6.12" in reasons
    assert "no_such_function" in reasons and "2 kernels: all since 6.12" in reasons
    assert page.eval("[...document.querySelectorAll('.matrix tbody th')].map(h => h.innerText)")[-3:] == ["6.1", "5.10", "5.4"]
    page.click(".matrix [aria-label^='5.10 debian']")
    page.wait("document.querySelector('#check-answer h3').textContent === '5.10 debian x86_64'")
    assert "2 kernels" in page.text(".reasons")
    page.type("#check-form [name=kernels]", "6.1")
    page.choose_file("#check-form [name=file]", program)
    page.click("#check-form button")
    page.wait("document.querySelectorAll('.matrix tbody tr').length === 1")
    # It stays at hand.
    page.eval("document.querySelector('#check-form [name=file]').value = ''")
    page.type("#check-form [name=kernels]", "5.10")
    page.click("#check-form button")
    page.wait("document.querySelector('.matrix tbody th').innerText === '5.10'")


def test_check_of_a_source_has_an_address(site, page):
    page.goto(site.url + "/check")
    page.click("#check-form summary")
    page.type("#check-form [name=source]", HELLO % 77)
    page.click("#check-form button")
    page.wait_for_text("2 native", "#check-answer")
    page.type("#check-form [name=kernels]", "6.12")
    page.click("#check-form button")
    page.wait_for_text("1 native", "#check-answer")
    address = page.eval("location.href")
    assert "object=sha256" in address and address.endswith("kernels=6.12")
    page.goto("about:blank").goto(address).wait_for_text("1 native", "#check-answer")
    page.goto(site.url + "/check?object=sha256:" + "0" * 64).wait_for_text("build it again")
    page.click("#check-form summary")
    page.type("#check-form [name=source]", "broken")
    page.click("#check-form button")
    page.wait_for_text("the compiler refused the source", "#check-answer")


def test_token(page, new_server, tmp_path):
    s = new_server("--anonymous", "none", open_to_all=False)
    made = subprocess.run([PROGRAM, "--state", s.state, "token", "add", "web", "--scopes", "read"], capture_output=True, text=True, check=True)
    token = made.stdout.split()[-1]
    page.goto("http://%s:%d/kernels" % s.address)
    page.wait("document.querySelector('#token').open")
    assert "needs a token" in page.text("#token")
    page.type("#token input", token)
    page.press("Enter", number=13, text="\r")
    page.wait_for_text("1 kernel")
    assert page.text("#token-button") == "Token: set" and page.eval("Object.values(sessionStorage)") == [token]
    assert page.eval("Object.keys(localStorage).length + document.cookie.length") == 0
    # Files are fetched with it.
    page.browser.call("Browser.setDownloadBehavior", behavior="allow", browserContextId=page.context, downloadPath=str(tmp_path))
    page.click("#kernels-table a[download]")
    saved = tmp_path / page.eval("document.querySelector('#kernels-table a[download]').download")
    deadline = time.time() + 10
    while not saved.exists() and time.time() < deadline:
        time.sleep(0.02)
    assert saved.read_bytes() == pathlib.Path("/sys/kernel/btf/vmlinux").read_bytes()
    # What it may not do is said, and a token can be forgotten.
    page.goto("http://%s:%d/build" % s.address)
    page.click("#build-example")
    page.click("#build-form button")
    page.wait_for_text("has no scope 'build'", "#build-answer")
    page.click("#token-button")
    page.click("#token [value=forget]")
    page.wait("document.querySelector('#token').open && document.querySelector('#token-button').textContent === 'Token'")
    page.click("#token [value=cancel]")


# ---- nothing becomes markup ----

def test_hostile_data_is_text(site, page):
    name = "struct " + EVIL
    page.goto(site.url + types(name=name, kernel=kernel(1))).wait_for_text(f"int {EVIL};", "#types-answer")
    page.goto(site.url + types(name="*evil*", kernel=EVIL)).wait_for_text(EVIL, "#types-answer")
    page.goto(site.url + "/check?object=" + urllib.parse.quote(EVIL)).wait_for_text(EVIL, "#check-answer")
    program = site.directory / f"{EVIL_FILE}.o"
    program.write_bytes(data_of(site.build().json()))
    page.choose_file("#check-form [name=file]", program)
    page.click("#check-form button")
    page.wait_for_text(program.name, "#check-answer")
    page.goto(site.url + "/build")
    page.type("#build-form [name=name]", f"a{EVIL_FILE}.c")
    page.type("#build-form [name=source]", f"#error {EVIL_FILE}\n")
    page.click("#build-form button")
    page.wait_for_text("compiler refused", "#build-answer")
    text = page.text("#build-answer")
    assert f"a{EVIL_FILE}.c:1:2" in text and text.count(f"#error {EVIL_FILE}") == 1
    assert page.eval("document.querySelectorAll('main img, main script').length") == 0


def test_policy_stops_what_gets_in(site, page):
    """The net below: markup in the document does nothing."""
    page.goto(site.url).wait_for_text("ready")
    with pytest.raises(AssertionError, match="TrustedHTML"):
        page.eval(f"document.body.innerHTML = {json.dumps(EVIL_FILE)}")
    page.eval("document.body.append(Object.assign(document.createElement('a'), {href: 'javascript:hacked=1', id: 'evil', textContent: 'x'}))")
    page.click("#evil")
    page.wait("true")
    assert page.errors and all("Content Security Policy" in e or "TrustedHTML" in e for e in page.errors), page.errors
    page.errors.clear()


# ---- everybody can use it ----

def contrast_of(page):
    """The smallest contrast of text to what lies behind it, and whose it is (WCAG 2, 1.4.3)."""
    return page.eval("""(() => {
        const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
        const rgb = (color, under) => { canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
            return `rgb(${[...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)})`; };
        const back = e => e ? rgb(getComputedStyle(e).backgroundColor, back(e.parentElement)) : "rgb(255,255,255)";
        const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
        const light = color => { const [r, g, b] = color.match(/\\d+/g).map(v => linear(v / 255)); return .2126 * r + .7152 * g + .0722 * b; };
        let worst = [99, ""];
        for (const e of document.querySelectorAll("body *")) {
            if (!e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
            const under = back(e), [a, b] = [light(rgb(getComputedStyle(e).color, under)), light(under)].sort((x, y) => y - x);
            const ratio = (a + .05) / (b + .05);
            if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 200)];
        }
        return worst;
    })()""")


VIEWS = [("/", "ready"), ("/kernels", "7 kernels"), ("/build", "Build"), ("/check", "Check"),
         (types(name="crew", kernel=kernel(1)), "cache line"), (types(name="task_struct"), "cache lines"),
         (types(view="history", name="crew"), "3 layouts"), (types(view="diff", name="crew", kernel=kernel(1), to=kernel(3)), "changes"),
         (types(name="sock*"), "names"), (types(view="find", name="tcp_*"), "functions"),
         (types(name="no_such_type_of_a_long_name" * 4), "no type or function")]


def test_phone_contrast_and_names(site, page):
    page.resize(360, 700)
    object = site.build().json()["artifacts"][0]["digest"]
    for path, text in [*VIEWS, (f"/check?object={object}", "2 native")]:
        page.goto(site.url + path).wait_for_text(text)
        assert page.eval("document.documentElement.scrollWidth") <= 360, path
        for dark in (False, True):
            page.set_dark(dark)
            ratio, whose = contrast_of(page)
            assert ratio >= 4.5, (path, dark, ratio, whose)
        nameless = [role for role, name in page.accessible() if not name.strip()]
        assert not nameless, (path, nameless)
        assert page.eval("document.querySelectorAll('section:not([hidden]) h1').length") == 1


def test_keyboard(site, page):
    page.goto(site.url + "/types").wait("document.querySelector('#kernel-list').children.length")
    seen = []
    for _ in range(12):
        page.press("Tab", number=9)
        seen.append(page.eval("document.activeElement.name || document.activeElement.id || document.activeElement.innerText"))
        assert page.eval("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
    assert seen[:11] == ["Skip to the content", "anybpf", "Types", "Check", "Build", "Kernels", "token-button", "name", "kernel", "to", "view"]
