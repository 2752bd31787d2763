# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""Every tool on every kernel that KERNELS names (`make check-lab`), and what guests can do to the lab."""
import json
import os
import pathlib
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time

import pytest
from live import BUILD, ROOT

SPECS = os.environ.get("KERNELS", "").replace(",", " ").split()


class Lab:
    """Runs anybpf; `status` None: whatever it is."""

    def __call__(self, *args, status=0):
        done = subprocess.run([BUILD / "anybpf", *map(str, args)], capture_output=True, text=True, errors="replace", timeout=900,
                              stdin=subprocess.DEVNULL)
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    def test(self, *args, status=0):
        return json.loads(self("test", *args, "--json", status=status).stdout)

    def fetch(self, spec):
        """(name, path) of each kernel. Without a network there is nothing to test on."""
        done = self("lab", "fetch", spec, status=None)
        if "is it reachable?" in done.stderr:
            pytest.skip(f"Debian's archive cannot be reached: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        return [line.split(" ", 1) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def lab():
    return Lab()


@pytest.fixture(scope="session")
def kernel(lab):
    """One kernel for what need not be tried on all: its name."""
    return lab.fetch("6.1")[0][0]


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """Tools as objects, so that a compiler runs once for each."""
    made = tmp_path_factory.mktemp("objects")

    def build(name):
        path = made / f"{name}.bpf.o"
        if not path.exists():
            subprocess.run([BUILD / "anybpf", "build", ROOT / "tools" / f"{name}.bpf.c", "-o", path], check=True)
        return path

    return build


@pytest.mark.parametrize("spec", SPECS)
def test_every_tool(lab, spec):
    tools = sorted((ROOT / "tools").glob("*.bpf.c"))
    lab.fetch(spec)
    report = lab.test(*tools, "--kernels", spec, "--jobs", os.environ.get("JOBS", "1"), status=None)
    assert [f"{t['kernel']} {t['name']}: {t['reason']}\n{t['detail']}" for t in report["tests"] if t["verdict"] == "fail"] == []
    assert report["pass"] + report["skip"] == len(report["tests"]) >= len(tools)
    assert all(t["programs"] for t in report["tests"] if t["verdict"] == "pass")


def copy(objects, tmp_path, name, expectations, tool="execsnoop"):
    path = tmp_path / f"{name}.bpf.o"
    shutil.copy(objects(tool), path)
    (tmp_path / f"{name}.test.toml").write_text(expectations)
    return path


def test_a_panic_costs_one_object(lab, kernel, objects, tmp_path):
    files = [copy(objects, tmp_path, "a", 'workload = ["/bin/true"]\n[[event]]\nwhere = { comm = "true" }\n'),
             copy(objects, tmp_path, "b", 'workload = ["echo c > /proc/sysrq-trigger"]\n'),
             copy(objects, tmp_path, "c", 'workload = ["sleep 600"]\ntimeout_s = 1\n'),
             copy(objects, tmp_path, "d", '[[event]]\nwhere = { comm = "never" }\n')]
    report = lab.test(*files, "--kernels", kernel, "--logs", tmp_path / "logs", status=1)
    verdicts = {t["name"]: (t["verdict"], t["reason"]) for t in report["tests"]}
    assert verdicts["a"] == ("pass", "")
    assert verdicts["b"][0] == "fail" and "sysrq" in verdicts["b"][1]
    assert verdicts["c"] == ("fail", "the workload's command 'sleep 600' did not end in 1 s")
    assert verdicts["d"] == ("fail", '0 events where {"comm":"never"}')
    assert report["kernels"][0]["guests"] == 2
    assert "sysrq triggered crash" in (tmp_path / "logs" / f"{kernel}.log").read_text()


def test_skips_are_tried(lab, kernel, objects, tmp_path):
    stale = copy(objects, tmp_path, "stale", '[[skip]]\nkernels = "< 99"\nreason = "old"\n')
    right = copy(objects, tmp_path, "right", 'workload = ["true"]\n[[event]]\nwhere = { comm = "never" }\n'
                                             '[[skip]]\nkernels = ">= 6.1"\nreason = "never seen there"\n')
    report = lab.test(stale, right, "--kernels", kernel, status=1)
    assert [(t["verdict"], t["reason"]) for t in report["tests"]] == [
        ("fail", "it works here, but the expectation file skips this kernel: old"), ("skip", "never seen there")]


def test_a_guest_that_is_too_slow(lab, kernel, objects):
    report = lab.test(objects("execsnoop"), "--kernels", kernel, "--timeout", "300ms", status=1)
    assert "did not boot" in report["tests"][0]["reason"]


@pytest.mark.parametrize("what, reason, verdict", [
    ("ringbuf", "perf buffer", "pass"), ("btf", "no BTF", "fail"), ("bpf", "no bpf(2)", "fail"), ("tracefs", "tracefs", "fail")])
def test_what_an_older_kernel_lacks(lab, kernel, objects, tmp_path, what, reason, verdict):
    tool = copy(objects, tmp_path, "tool", 'workload = ["/bin/true"]\n[[event]]\nwhere = { comm = "true" }\n')
    report = lab.test(tool, "--kernels", kernel, "--hide", what, status=verdict == "fail")
    assert report["tests"][0]["verdict"] == verdict and reason in report["tests"][0]["reason"]


def test_several_features_at_once(lab, kernel, objects, tmp_path):
    """Whatever their order: to hide tracefs forbids mounts, and types are hidden by one."""
    tool = copy(objects, tmp_path, "tool", "")
    report = lab.test(tool, "--kernels", kernel, "--hide", "tracefs", "--hide", "ringbuf", "--hide", "btf", status=1)
    assert "no BTF" in report["tests"][0]["reason"]


def test_many_objects_in_one_guest(lab, kernel, tmp_path):
    source = tmp_path / "t.bpf.c"
    source.write_text('#include "anybpf.bpf.h"\nSEC("tp/sched/sched_process_exec") int on_exec(void *ctx) { return 0; }\n')
    lab("build", source, "-o", tmp_path / "t0.bpf.o", "-q")
    for i in range(1, 70):
        shutil.copy(tmp_path / "t0.bpf.o", tmp_path / f"t{i}.bpf.o")
    report = lab.test(*tmp_path.glob("*.bpf.o"), "--kernels", kernel)
    assert report["pass"] == 70 and report["kernels"][0]["guests"] == 1


OWN_GROUP = """mkdir /sys/fs/cgroup/mine
echo '+cpu +memory +pids' > /sys/fs/cgroup/cgroup.subtree_control
in_own_group() { (echo 0 > /sys/fs/cgroup/mine/cgroup.procs && exec "$@"); }
"""
SERVICE = """in_own_group ./anybpfd --state /tmp/state --listen 127.0.0.1:7600 --anonymous read,build 2> /tmp/log &
for i in $(seq 60); do grep -q '"ready"' /tmp/log && break; sleep 1; done
cd /sys/fs/cgroup/mine
wget -q -O - http://127.0.0.1:7600/readyz | grep -q '"cgroups":"on"' || exit 1
wget -q -O /dev/null --header 'Content-Type: application/json' --post-file $OLDPWD/body.json http://127.0.0.1:7600/v1/build || exit 1
for pid in $(cat builder-0/cgroup.procs); do cat /proc/$pid/cmdline; done | grep -q anybpf-cc || exit 1
grep -q 2147483648 builder-0/memory.max && kill $(cat server/cgroup.procs) || exit 1
for i in $(seq 60); do [ -d builder-0 ] || break; sleep 1; done
[ ! -d builder-0 ]"""


@pytest.mark.parametrize("names, script", [
    (["tests/unit/unit-cgroups"], "ANYBPF_TEST_CGROUPS=1 in_own_group ./unit-cgroups holds"),
    (["anybpfd", "anybpf-cc", "libanybpf.so.0"], SERVICE)], ids=["limits", "service"])
def test_control_groups_of_compilers(lab, kernel, objects, tmp_path, names, script):
    """There is a cgroup2 with controllers in every guest: what anybpfd puts compilers into holds, and it does put them there."""
    folder = tempfile.TemporaryDirectory(dir="/var/tmp")  # guests have a /tmp of their own
    here = pathlib.Path(folder.name)
    for name in names:
        shutil.copy(BUILD / name, here)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(here)}
    listed = [subprocess.run(["ldd", program], env=environment, capture_output=True, text=True).stdout for program in here.iterdir()]
    libraries = re.findall(r"(/\S+) \(0x", "".join(listed))
    (here / "body.json").write_text(json.dumps({"source": "a.bpf.c", "files": {"a.bpf.c": "int a;"}}))
    (here / "script").write_text(f"cd {here}\nexport LD_LIBRARY_PATH={here}\n{OWN_GROUP}{script}\n")
    workload = [f"/bin/sh {here}/script && cp /bin/busybox /tmp/groups-hold && /tmp/groups-hold"]
    files = sorted({*map(str, here.iterdir()), *libraries})
    tool = copy(objects, tmp_path, "cgroups", f"files = {json.dumps(files)}\nworkload = {json.dumps(workload)}\ntimeout_s = 150\n"
                '[[event]]\nwhere = { comm = "groups-hold" }\n')
    report = lab.test(tool, "--kernels", kernel, "--memory", 2048, "--timeout", "250s", status=None)
    assert [(t["verdict"], t["reason"]) for t in report["tests"]] == [("pass", "")], report


def test_types_for_a_kernel_without_any(lab, kernel, objects, tmp_path):
    """Out of the kernel's image into a pack; from there by the guest, and in the object."""
    folder = tempfile.TemporaryDirectory(dir="/var/tmp")  # guests have a /tmp of their own
    pack = pathlib.Path(folder.name) / "kernels.pack"
    expected = 'workload = ["/bin/true"]\n[[event]]\nwhere = { comm = "true" }\n'
    lab("pack", "add", pack, lab.fetch(kernel)[0][1])
    packed = copy(objects, tmp_path, "packed", f'args = ["--btf", "{pack}"]\nfiles = ["{pack}"]\n{expected}')
    carries = copy(objects, tmp_path, "carries", expected)
    lab("btf", "min", objects("execsnoop"), "--pack", pack, "--embed", "-o", carries)
    report = lab.test(packed, carries, "--kernels", kernel, "--hide", "btf")
    assert [(t["name"], t["verdict"]) for t in report["tests"]] == [("packed", "pass"), ("carries", "pass")]


def test_kernel_files(lab, kernel, objects, tmp_path):
    """What the user has: no modules (so no virtio in this kernel), a package, one cut short, other bytes."""
    path = pathlib.Path(lab.fetch(kernel)[0][1])
    (tmp_path / "cut.deb").write_bytes(b"!<arch>\n" + os.urandom(5000))
    bare = tmp_path / "bare"
    shutil.copy(path, bare)
    report = lab.test(objects("execsnoop"), "--kernel", bare, "--kernel", f"{path}:{path.parent / 'modules'}", "--kernel",
                      tmp_path / "cut.deb", "--kernel", "/bin/true", status=1)
    bare, whole, cut, program = report["tests"]
    assert bare["verdict"] == "fail" and "no virtio port" in bare["reason"]
    assert whole["verdict"] == "pass"
    assert cut["verdict"] == "fail" and "damaged" in cut["reason"]
    assert program["verdict"] == "fail"


@pytest.fixture(scope="session")
def files(lab, tmp_path_factory):
    """(release, folder) of a kernel's package, unpacked: what other packagings of a kernel are made of here."""
    name = lab.fetch("6.1-cloud")[0][0]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "anybpf/lab/deb"
    for deb in cache.glob("*.deb"):
        package = subprocess.run(["dpkg-deb", "-f", deb, "Package"], capture_output=True, text=True).stdout.strip()
        if package == f"linux-image-{name}":
            folder = tmp_path_factory.mktemp("files")
            subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
            return name, folder
    raise AssertionError(f"the package of {name} is not in {cache}")


# In Debian's cloud kernels this is a module, as virtio_console is, without which no guest can report.
NEEDS_A_MODULE = 'modules = ["dummy"]\nworkload = ["/bin/ip link add d0 type dummy"]\n' \
                 '[[event]]\nwhere = { args = { matches = "^/bin/ip link add d0" } }\n'


def check_own_kernel(lab, objects, tmp_path, release, name, *args):
    tool = copy(objects, tmp_path, "tool", NEEDS_A_MODULE)
    report = lab.test(tool, *args)
    assert [(t["kernel"], t["verdict"], t["events"] > 0) for t in report["tests"]] == [(name, "pass", True)]
    assert report["kernels"][0]["release"] == release


@pytest.mark.skipif(not shutil.which("rpmbuild"), reason="needs rpmbuild (Debian: rpm)")
def test_rpm(lab, objects, files, tmp_path):
    """A package as Fedora makes them: the kernel among its modules, those compressed, the payload by zstd."""
    release, source = files
    modules = pathlib.Path("lib/modules") / release
    root = tmp_path / "root" / modules
    for part in ("net", "drivers/char", "drivers/virtio", "drivers/net/dummy.ko"):
        target = root / "kernel" / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / modules / "kernel" / part).is_dir():
            shutil.copytree(source / modules / "kernel" / part, target)
        elif (source / modules / "kernel" / part).exists():
            shutil.copy(source / modules / "kernel" / part, target)
    assert list(root.rglob("dummy.ko"))
    subprocess.run(["xz", "--check=crc32", *root.rglob("*.ko")], check=True)
    shutil.copy(source / modules / "modules.builtin", root)
    shutil.copy(source / f"boot/vmlinuz-{release}", root / "vmlinuz")
    (tmp_path / "kernel.spec").write_text(textwrap.dedent(f"""
        Name: kernel-core
        Version: 6.1
        Release: 1
        Summary: kernel
        License: GPL-2.0
        %global _binary_payload w3.zstdio
        %global __os_install_post %{{nil}}
        %global _build_id_links none
        %description
        kernel
        %install
        cp -a {tmp_path}/root/. %{{buildroot}}
        %files
        /lib/modules
        """))
    subprocess.run(["rpmbuild", "--quiet", "-bb", "--define", f"_topdir {tmp_path}/top", "--buildroot", tmp_path / "made",
                    tmp_path / "kernel.spec"], check=True, capture_output=True)
    [rpm] = (tmp_path / "top").rglob("*.rpm")
    check_own_kernel(lab, objects, tmp_path, release, release, "--kernel", rpm)
    (tmp_path / "cut.rpm").write_bytes(rpm.read_bytes()[:1000000])
    report = lab.test(tmp_path / "tool.bpf.o", "--kernel", tmp_path / "cut.rpm", status=1)
    assert "damaged" in report["tests"][0]["reason"]


def test_built_kernel_tree(lab, objects, files, tmp_path):
    """What `make` leaves in a kernel's source: bzImage, .config, the release, modules beside their sources."""
    release, source = files
    tree, modules = tmp_path / "linux", source / "lib/modules" / release
    (tree / "arch/x86/boot").mkdir(parents=True)
    shutil.copy(source / f"boot/vmlinuz-{release}", tree / "arch/x86/boot/bzImage")
    (tree / "include/config").mkdir(parents=True)
    (tree / "include/config/kernel.release").write_text(release + "\n")
    shutil.copy(source / f"boot/config-{release}", tree / ".config")
    shutil.copy(modules / "modules.builtin", tree)
    for part in ("drivers", "net", "fs"):
        shutil.copytree(modules / "kernel" / part, tree / part)
    check_own_kernel(lab, objects, tmp_path, release, release, "--kernel", tree)
    # Another module makes it another kernel for verdicts that are reused.
    assert lab.test(tmp_path / "tool.bpf.o", "--kernel", tree, "--cached")["tests"][0]["cached"]
    os.utime(next(tree.rglob("dummy.ko")))
    assert not lab.test(tmp_path / "tool.bpf.o", "--kernel", tree, "--cached")["tests"][0]["cached"]
    (tree / "arch/x86/boot/bzImage").unlink()
    report = lab.test(tmp_path / "tool.bpf.o", "--kernel", tree, status=1)
    assert "no built kernel tree: it has no arch/x86/boot/bzImage" in report["tests"][0]["reason"]


def test_survey(lab, kernel, tmp_path):
    lab("lab", "survey", "--kernels", kernel, "--output", tmp_path / "db")
    rows = [json.loads(line) for line in (tmp_path / "db").read_text().splitlines()]
    assert [row["kernel"] for row in rows] == [kernel] and rows[0]["error"] is None
    features = {(f["group"], f["name"]): f["state"] for f in rows[0]["doctor"]["features"]}
    assert features["attach", "kprobe"] == features["map", "ringbuf"] == features["kernel", "btf"] == "yes"
    assert len(features) > 50


# Which are there depends on more than the types that check looks at: Debian's kernels are configured without.
CONFIGURED = {"override_return", "rc_repeat", "rc_keydown", "rc_pointer_rel"}
ASKS = '#include "anybpf.bpf.h"\nchar LICENSE[] SEC("license") = "GPL";\n'
ASKS_MAP = ASKS + 'struct { __uint(type, %d); __uint(max_entries, 4096); __type(key, u32); __type(value, u32); } m SEC(".maps");\n' \
                  'SEC("raw_tp/sched_switch") int p(void *c) { u32 k = 0; return bpf_map_delete_elem(&m, &k); }\n'
ASKS_HELPER = 'SEC("?raw_tp/sched_switch") int h_%s(void *ctx) { return ((long (*)(void))%d)(); }\n'


@pytest.mark.skipif(not SPECS, reason="KERNELS names no kernels")
def test_surveys_judge_check(lab, tmp_path):
    """What `anybpf check` believes of each helper and type of map from a kernel's types is what the booted kernel says of itself."""
    lab("lab", "survey", "--kernels", ",".join(SPECS), "--output", tmp_path / "db")
    rows = [json.loads(line) for line in (tmp_path / "db").read_text().splitlines()]
    lab("pack", "add", tmp_path / "pack", *{path for spec in SPECS for _, path in lab.fetch(spec)})

    def ask(name, source):
        (tmp_path / f"{name}.bpf.c").write_text(source)
        lab("build", tmp_path / f"{name}.bpf.c", "-o", tmp_path / f"{name}.bpf.o", "-q")
        return tmp_path / f"{name}.bpf.o"

    helpers, maps = ([f["name"] for f in rows[0]["doctor"]["features"] if f["group"] == group] for group in ("helper", "map"))
    assert len(helpers) > 200 and len(maps) > 30
    objects = [ask("helpers", ASKS + "".join(ASKS_HELPER % (name, i) for i, name in enumerate(helpers, 1)))]
    objects += [ask(name, ASKS_MAP % i) for i, name in enumerate(maps, 1) if name != "struct_ops"]
    report = json.loads(lab("check", *objects, "--pack", tmp_path / "pack", "--json", status=None).stdout)
    assert len(report["kernels"]) == len(rows)
    for i, kernel in enumerate(report["kernels"]):
        [doctor] = [row["doctor"] for row in rows if row["release"] == kernel["release"]]
        surveyed = {(f["group"], f["name"]) for f in doctor["features"] if f["state"] == "no" and f["group"] in ("helper", "map")}
        checked = {("helper", r["program"][2:]) for r in report["objects"][0]["reasons"] if i in r["kernels"]}
        checked |= {("map", pathlib.Path(o["file"]).name[:-6]) for o in report["objects"][1:] if o["verdicts"][i] == "fails"}
        assert surveyed - {("helper", name) for name in CONFIGURED} == checked, kernel["release"]


@pytest.mark.skipif(not shutil.which("qemu-system-aarch64"), reason="needs qemu-system-aarch64")
@pytest.mark.skipif(not (BUILD / "src/lab/anybpf-static-arm64").exists(),
                    reason="'make static' makes no anybpf-static-arm64 without what 'scripts/deps --lab' installs")
def test_arm64(lab):
    """Tools on another architecture's kernel: compiled for it, run by an anybpf for it."""
    tools = [ROOT / "tools" / f"{name}.bpf.c" for name in ("execsnoop", "gethostlatency", "opensnoop", "runqlat", "tasks")]
    report = lab.test(*tools, "--arch", "arm64", "--kernels", "6.12-cloud")
    assert {t["name"]: t["verdict"] for t in report["tests"]} == {
        "execsnoop": "pass", "gethostlatency": "skip", "opensnoop": "pass", "runqlat": "pass", "tasks": "pass"}
    assert all("cloud-arm64" in k["release"] for k in report["kernels"])


def in_shell(tmp_path, kernel, keys, *args):
    """What `anybpf lab shell` in that directory shows on a terminal where somebody types, and its exit status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(BUILD / "anybpf", ["anybpf", "lab", "shell", kernel, *args])
    seen, sent, until = b"", False, time.time() + 90
    while time.time() < until:
        if not select.select([fd], [], [], 1)[0]:
            continue
        try:
            seen += os.read(fd, 4096)
        except OSError:
            break
        if not sent and b"/host # " in seen:
            os.write(fd, keys.encode())
            sent = True
    else:
        os.kill(pid, signal.SIGKILL)
    return seen.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("spec, how", [("6.1", "mounted"), ("6.1-cloud", "copied")])
def test_shell(lab, tmp_path, spec, how):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "marker").write_text("4711\n")
    (tmp_path / "link").symlink_to("folder/marker")
    name = lab.fetch(spec)[0][0]
    seen, status = in_shell(tmp_path, name, "echo m-$(cat link)-$(uname -r); touch x; exit\n")
    assert f"m-4711-{name}" in seen and status == 0, seen
    assert "Read-only" in seen and not (tmp_path / "x").exists()
    assert ("is a copy of the directory" in seen) == (how == "copied")


def test_a_shell_that_hangs_can_be_left(lab, kernel, tmp_path):
    seen, status = in_shell(tmp_path, kernel, "sleep 1000\n\x1dx")
    assert status and "the guest ended without 'exit'" in seen
    seen, status = in_shell(tmp_path, kernel, "sleep 1000\n", "--timeout", "10s")
    assert status and "did not finish in 10 s" in seen


def test_a_script_for_the_shell(kernel, tmp_path):
    """Where standard input is no terminal: all of it, and then the guest ends."""
    (tmp_path / "marker").write_text("4711\n")
    for script in ("", "echo m-$(cat marker)\n# " + "x" * 70000 + "\necho last"):
        done = subprocess.run([BUILD / "anybpf", "lab", "shell", kernel], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0 and ("m-4711" in done.stdout and "last" in done.stdout) == bool(script)


def examples():
    for page in ("test", "lab"):
        section = (ROOT / "docs" / "man" / f"anybpf-{page}.md").read_text().split("# EXAMPLES")[1]
        yield from re.findall(r"^anybpf (.*)$", section, re.M)


@pytest.mark.parametrize("example", examples())
def test_examples(lab, kernel, example, tmp_path, monkeypatch):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    monkeypatch.chdir(tmp_path)
    assert lab(*shlex.split(example)).stdout or "--output" in example
