# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""The command line as people and scripts use it: options, output, errors and exit statuses."""
import errno
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
ANYBPF = BUILD / "anybpf"
SOURCES = ROOT / "tests" / "cli"
COMMANDS = [c["name"] for c in json.loads(subprocess.check_output([ANYBPF, "help", "--json"]))["commands"]]

TEMPLATE = BUILD / "anybpf-template.so"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root")


def anybpf(*args, program=ANYBPF, **kwargs):
    kwargs.setdefault("timeout", 60)
    kwargs.setdefault("text", True)
    return subprocess.run([program, *map(str, args)], capture_output=True, **kwargs)


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def of_type(text, kind):
    return [line for line in lines(text) if line["type"] == kind]


@pytest.fixture(scope="session")
def objects(tmp_path_factory):
    """The test programs, compiled by the command under test."""
    folder = tmp_path_factory.mktemp("objects")
    done = anybpf("build", *sorted(SOURCES.glob("*.bpf.c")), "-o", folder)
    assert done.returncode == 0, done.stderr
    return folder


class Run:
    """anybpf run, from attached programs to the end."""

    def __init__(self, *args, pid=None, **kwargs):
        assert "-q" not in args  # it would not say when it is attached
        self.process = subprocess.Popen([ANYBPF, "run", *map(str, args), "--pid", str(pid or os.getpid())], text=True,
                                        stdout=kwargs.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **kwargs)
        self.talk = ""
        for line in self.process.stderr:
            self.talk += line
            if line.startswith("anybpf: attached"):
                break

    def call(self, *numbers):
        for number in numbers:
            try:
                os.getpgid(number)
            except ProcessLookupError:
                pass
        return self

    def end(self, sig=signal.SIGINT):
        if sig:
            self.process.send_signal(sig)
        out, err = self.process.communicate(timeout=60)
        self.talk += err
        return self.process.returncode, out or ""


def run(*args, calls=(), **kwargs):
    """A run that sees getpgid(N) for each N; Ctrl-C ends it, and what was sent before is still printed."""
    status, out = Run(*args, **kwargs).call(*calls).end()
    assert status == 0
    return out


# ---- help, manual pages, completion: all from the same tables ----


def options_of(command):
    return json.loads(anybpf("help", command, "--json").stdout)["options"]


def test_overview_names_every_command():
    done = anybpf("--help")
    assert (done.returncode, done.stderr) == (0, "")
    names = re.findall(r"^  (\w+) +\w", done.stdout.split("Commands:")[1].split("Try:")[0], re.M)
    assert names == COMMANDS and set(names) >= {"run", "build", "doctor", "completion", "help", "version"}
    assert anybpf("help").stdout == anybpf("-h").stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_option(command):
    done = anybpf(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: anybpf {command} ")
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
    shown = re.findall(r"^  (?:-(.), |    )--([a-z-]+)(?: (\S+))?", done.stdout, re.M)
    assert shown == [(o["letter"] or "", o["name"], o["argument"] or "") for o in options_of(command)]
    assert anybpf(command, "-h").stdout == anybpf("help", command).stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_letters_and_names_are_unique(command):
    options = options_of(command)
    names = [o["name"] for o in options]
    letters = [o["letter"] for o in options if o["letter"]]
    assert len(set(names)) == len(names) and len(set(letters)) == len(letters)


def test_help_json_has_the_exit_statuses():
    table = {e["kind"]: e["exit_status"] for e in json.loads(anybpf("help", "--json").stdout)["errors"]}
    assert table["usage"] == 2 and table["verifier"] == 3 and table["not-found"] == 4 and table["internal"] == 70


@pytest.mark.parametrize("page", ["anybpf", *(f"anybpf-{c}" for c in COMMANDS)])
def test_manual_page(page, tmp_path):
    command = page[len("anybpf-"):]
    done = anybpf("help", "--man", *([command] if command else []), "--prose", ROOT / "docs" / "man" / f"{page}.md")
    assert done.returncode == 0
    sections = re.findall(r'^\.SH "?([A-Z ]+)', done.stdout, re.M)
    assert sections[:2] == ["NAME", "SYNOPSIS"] and sections[-2:] == ["EXIT STATUS", "SEE ALSO"]
    assert "EXAMPLES" in sections and len(set(sections)) == len(sections)
    for option in options_of(command) if command else []:
        assert "\\-\\-" + option["name"].replace("-", "\\-") + "\\fR" in done.stdout
    if shutil.which("groff"):
        (tmp_path / "page.1").write_text(done.stdout)
        checked = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z", tmp_path / "page.1"], capture_output=True, text=True)
        assert checked.stderr == ""


def bash_complete(*words):
    script = anybpf("completion", "bash").stdout
    script += f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _anybpf; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, cwd=ROOT / "tests")
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completion():
    assert bash_complete("anybpf", "") == [*COMMANDS, "--help", "--version"]
    assert bash_complete("anybpf", "doc") == ["doctor"]
    assert bash_complete("anybpf", "run", "--fl") == ["--flamegraph"]
    assert bash_complete("anybpf", "run", "--sort", "k") == ["key"]
    assert bash_complete("anybpf", "build", "--isa", "") == ["v1", "v2", "v3", "v4"]
    assert "lo" in bash_complete("anybpf", "run", "-I", "")
    assert bash_complete("anybpf", "completion", "z") == ["zsh"]
    assert bash_complete("anybpf", "run", "cli/ev") == ["cli/events.bpf.c"]
    assert bash_complete("anybpf", "run", "conftest") == []


def test_bash_completion_has_every_option():
    for command in COMMANDS:
        assert bash_complete("anybpf", command, "--") == ["--" + o["name"] for o in options_of(command)]


def test_zsh_completion():
    script = anybpf("completion", "zsh").stdout
    assert script.startswith("#compdef anybpf\n")
    for command in COMMANDS:
        assert all(f"--{o['name']}" in script for o in options_of(command))
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed: its syntax check was left out")
    assert subprocess.run(["zsh", "-n", "-c", script], capture_output=True).returncode == 0


def test_version():
    done = anybpf("version")
    assert re.fullmatch(r"anybpf \d+\.\d+\.\d+\n", done.stdout)
    assert anybpf("--version").stdout == anybpf("-V").stdout == done.stdout
    assert "anybpf " + json.loads(anybpf("version", "--json").stdout)["version"] == done.stdout.strip()


# ---- mistakes on the command line ----


@pytest.mark.parametrize("args, message", [
    ([], "what to do is missing; 'anybpf help' lists the commands"),
    (["rum"], "unknown command 'rum'; did you mean 'run'?"),
    (["frobnicate"], "unknown command 'frobnicate'; 'anybpf help' lists the commands"),
    (["x.bpf.c"], "unknown command 'x.bpf.c'; did you mean 'anybpf run x.bpf.c'?"),
    (["--frob"], "unknown option '--frob'; options follow a command, and 'anybpf help' lists the commands"),
    (["doctor", "--jsn"], "unknown option '--jsn'; did you mean '--json'?"),
    (["doctor", "--frobnicate"], "unknown option '--frobnicate'; 'anybpf doctor --help' lists the options"),
    (["doctor", "-Z"], "unknown option '-Z'; 'anybpf doctor --help' lists the options"),
    (["doctor", "x"], "doctor: 'x' is one argument too many"),
    (["doctor", "--json=1"], "option '--json' takes no argument"),
    (["completion"], "completion: bash|zsh is missing; 'anybpf completion --help' shows how it is used"),
    (["completion", "powershell"], "completion: there is no 'powershell': it is bash or zsh"),
    (["help", "rum"], "unknown command 'rum'; 'anybpf help' lists the commands"),
    (["run"], "run: FILE is missing; 'anybpf run --help' shows how it is used"),
    (["run", "--durtion", "5"], "unknown option '--durtion'; did you mean '--duration'?"),
    (["run", "x.o", "--duration"], "option '--duration' needs an argument: --duration TIME"),
    (["run", "x.o", "-d"], "option '-d' needs an argument: -d TIME"),
    *((["run", "x.o", "-d", bad], f"option '--duration' takes a duration such as 10, 1.5, 500ms or 2m, not '{bad}'")
      for bad in ("0", "-1", "1x", "", "1e3", "nan", "0x10", "99999999999h")),
    (["run", "x.o", "--count", "0"], "option '--count' takes a number from 1, not '0'"),
    (["run", "x.o", "--pid", "4194305"], "option '--pid' takes a number from 1 to 4194304, not '4194305'"),
    (["run", "x.o", "--cpu", "one"], "option '--cpu' takes a number from 0 to 65535, not 'one'"),
    (["run", "x.o", "--top=99999999999999999999"], "option '--top' takes a number from 1, not '99999999999999999999'"),
    (["run", "x.o", "--clear"], "option '--clear' needs '--interval'"),
    (["run", "x.o", "--folded=a", "--flamegraph=a"], "options '--flamegraph' and '--folded' name the same file"),
    (["build"], "build: FILE is missing; 'anybpf build --help' shows how it is used"),
    (["build", "--isa", "v5", "x.c"], "option '--isa' takes 'v1', 'v2', 'v3' or 'v4', not 'v5'"),
    (["build", "a.c", "b.c", "-o", "c.o"], "build: with several files, '--output' is a directory, not 'c.o'"),
    (["build", "a.c", "-o", "-", "--json"], "build: '--json' and '--output -' both want standard output"),
    (["build", "--header", "a.c", "b.c"], "build: option '--header' takes one FILE"),
])
def test_usage_errors(args, message):
    done = anybpf(*args)
    assert (done.returncode, done.stderr) == (2, f"anybpf: error: {message}\n")
    if "--json" not in args:
        assert done.stdout == ""


def test_error_as_json():
    done = anybpf("run", "no-such.bpf.o", "--json")
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 4
    assert error["kind"] == "not-found" and error["code"] == -errno.ENOENT and "no-such.bpf.o" in error["message"]
    assert json.loads(anybpf("doctor", "--json", "--frob").stdout)["error"]["kind"] == "usage"


def test_messages_are_one_printable_line():
    done = anybpf("run", "a\nb\033[31m.bpf.o")
    assert done.returncode == 4 and done.stderr.count("\n") == 1 and "\033" not in done.stderr


# ---- build ----


def test_build_makes_what_the_suffix_says(tmp_path):
    source = SOURCES / "iter.bpf.c"
    done = anybpf("build", source, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["source"] == str(source) and report["output"] == "iter.bpf.o" and report["full_header"] is False
    data = (tmp_path / "iter.bpf.o").read_bytes()
    assert data[:4] == b"\x7fELF" and len(data) == report["size"]
    piped = anybpf("build", source, "-o", "-", text=False)
    assert piped.stdout == data
    assert anybpf("build", "-", "-o", "-", input=source.read_bytes(), text=False).stdout[:4] == b"\x7fELF"
    assert anybpf("build", source, "-o", "x.skel.h", cwd=tmp_path).returncode == 0
    assert "iter_bpf__open" in (tmp_path / "x.skel.h").read_text() or "x_bpf__open" in (tmp_path / "x.skel.h").read_text()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iter.bpf.o", "x.skel.h"]


@pytest.mark.skipif(not TEMPLATE.exists(), reason="this build has no library template")
def test_build_says_what_it_did(tmp_path):
    done = anybpf("build", SOURCES / "iter.bpf.c", "-v", "-o", tmp_path / "iter.so")
    assert done.returncode == 0, done.stderr
    assert re.search(r"kernel header: on demand, \d+ lines\n", done.stderr)
    assert re.search(r"iter\.so: \d+ bytes, \d+\.\d ms, clang", done.stderr)
    assert re.search(r"iter\.so: needs glibc 2\.\d+ or newer\n", done.stderr)


def test_build_header():
    own = anybpf("build", "--header", SOURCES / "iter.bpf.c")
    assert own.returncode == 0 and "struct task_struct {" in own.stdout
    assert len(anybpf("build", "--header").stdout) > 10 * len(own.stdout)


@pytest.mark.parametrize("source, status, pattern", [
    ("int f(void) { return undeclared; }\n", 3, r"bad\.bpf\.c:1:22: .*undeclared identifier 'undeclared'"),
    ("#include \"no-such.h\"\n", 3, r"bad\.bpf\.c:1:10: .*no-such\.h"),
    ("#include \"anybpf.bpf.h\"\nint f(struct task_strct *t) { return t->pid; }\n", 3, r"nearest name is 'struct task_struct'"),
])
def test_build_refuses_bad_source(tmp_path, source, status, pattern):
    (tmp_path / "bad.bpf.c").write_text(source)
    done = anybpf("build", "bad.bpf.c", cwd=tmp_path)
    assert done.returncode == status and re.search(pattern, done.stderr)
    assert done.stderr.splitlines()[-1].startswith("anybpf: error: ")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.bpf.c"]


def test_build_makes_no_output_twice(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.bpf.c").write_text("int of_" + name + ";\n")
    done = anybpf("build", tmp_path / "a" / "x.bpf.c", tmp_path / "b" / "x.bpf.c", "-o", tmp_path)
    assert done.returncode == 2 and f"{tmp_path}/x.bpf.o' would be made of '{tmp_path}/b/x.bpf.c' and of another" in done.stderr
    assert not (tmp_path / "x.bpf.o").exists()


def test_build_leaves_nothing_behind_where_it_cannot_write(tmp_path):
    assert anybpf("build", tmp_path / "none.bpf.c").returncode == 4
    done = anybpf("build", SOURCES / "iter.bpf.c", "-o", tmp_path / "no" / "such" / "x.o")
    assert done.returncode == 4 and "x.o" in done.stderr
    assert anybpf("build", SOURCES / "iter.bpf.c", "-o", tmp_path / "x.exe").returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_build_to_a_full_disk():
    with open("/dev/full", "w") as full:
        done = subprocess.run([ANYBPF, "build", SOURCES / "iter.bpf.c", "-o", "-"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (9, "anybpf: error: standard output: No space left on device\n")


# ---- run: files and parameters ----


def test_file_help_lists_parameters_and_programs(objects):
    done = anybpf("run", objects / "events.bpf.o", "--help")
    assert done.returncode == 0
    own = done.stdout.split("Parameters of events:\n")[1]
    assert re.search(r"^ +--target-pid pid_t +only this process; 0: all \(default 0\) \(also set by --pid\)$", own, re.M)
    assert re.search(r"^ +--silent +count only \(default off\)$", own, re.M)
    assert re.search(r"^ +--only-kind enum kind +a kind by name \(default KIND_ODD\)$", own, re.M)
    assert re.search(r"^  getpgid +tracepoint/syscalls/sys_enter_getpgid$", own, re.M)
    assert anybpf("run", "--help", SOURCES / "events.bpf.c").stdout.replace(" of events", "") == \
        done.stdout.replace(" of events", "")


@pytest.mark.parametrize("args, status, message", [
    (["--taget-pid", "4"], 2, "unknown option '--taget-pid'; did you mean '--target-pid'?"),
    (["--target-pid"], 2, "option '--target-pid' needs an argument: a value of type pid_t"),
    (["--set", "add"], 2, "option '--set' takes NAME=VALUE, not 'add'"),
    (["--attach", "getpgid"], 2, "option '--attach' takes PROG=TARGET, not 'getpgid'"),
    (["--event", "=x"], 2, "option '--event' takes MAP=TYPE, not '=x'"),
    (["--only", "getpgd"], 4, "no program 'getpgd' in 'events'; did you mean 'getpgid'?"),
    (["--skip", "nothing_like_it"], 4, "no program 'nothing_like_it' in 'events'"),
    (["--map", "cals"], 4, "no map 'cals' in 'events'; did you mean 'calls'?"),
    (["--map", "events"], 2, "map 'events' is of a kind that cannot be printed"),
    (["--map", "calls", "--sort", "weight"], 4,
     "option '--sort': no map that is printed has a column 'weight'; 'value', 'key' and 'none' always work"),
    (["-I", "lo"], 2, "option '--interface': 'events' has no program of that kind"),
    (["--cgroup", "/sys/fs/cgroup"], 2, "option '--cgroup': 'events' has no program of that kind"),
])
def test_mistakes_about_the_object(objects, args, status, message):
    done = anybpf("run", objects / "events.bpf.o", *args)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (status, f"anybpf: error: {message}")


@pytest.mark.parametrize("option, value", [("add", "x"), ("add", "4294967296"), ("only-kind", "KIND_NONE"), ("text", "too long a text"),
                                           ("silent=maybe", None)])
def test_bad_parameter_values(objects, option, value):
    done = anybpf("run", objects / "events.bpf.o", f"--{option}", *([value] if value else []))
    assert done.returncode == 2 and done.stderr.startswith("anybpf: error: ")
    assert option.split("=")[0].replace("-", "_") in done.stderr


def test_more_than_one_file(objects):
    done = anybpf("run", objects / "events.bpf.o", "other.bpf.o")
    assert done.returncode == 2 and "'other.bpf.o' is one argument too many" in done.stderr


@pytest.mark.parametrize("content, status", [(b"", 8), (b"hello\n", 8), (b"\x7fELF", 8), (b"\x7fELF" + bytes(200), 8)])
def test_files_that_are_no_objects(tmp_path, content, status):
    path = tmp_path / "bad.bpf.o"
    path.write_bytes(content)
    done = anybpf("run", path)
    assert done.returncode == status and "bad.bpf.o" in done.stderr and done.stderr.count("\n") == 1


def test_standard_input_that_is_nothing():
    done = anybpf("run", "-", input="")
    assert (done.returncode, done.stderr) == (8, "anybpf: error: standard input is empty\n")
    assert anybpf("run", "-", input=b"a\0b", text=False).returncode == 8


def test_not_root(objects):
    data = (objects / "events.bpf.o").read_bytes()
    if os.geteuid() == 0:
        program = ["setpriv", "--reuid", "65534", "--clear-groups", ANYBPF]
        if subprocess.run([*program, "version"], capture_output=True).returncode:
            pytest.skip("another user cannot run the build")
    else:
        program = [ANYBPF]
    done = subprocess.run([*program, "run", "-"], input=data, capture_output=True)
    assert done.returncode == 5 and b"CAP_BPF" in done.stderr and b"root" in done.stderr


# ---- run: events ----

EVENT = {"number": 70001, "big": 2**64 - 1 - 70001, "kind": "KIND_ODD", "text": "abc", "address": "127.0.0.1",
         "pair": {"small": 113, "negative": -4465}, "list": [4465, 2, 3], "size": 70001 << 10}


@needs_root
@pytest.mark.parametrize("make", ["object", "source", "library", "object on stdin", "source on stdin"])
def test_every_kind_of_file(objects, tmp_path, make):
    source, kwargs = SOURCES / "events.bpf.c", {}
    if make == "library":
        if not TEMPLATE.exists():
            pytest.skip("this build has no library template")
        file = tmp_path / "events.so"
        assert anybpf("build", source, "-o", file).returncode == 0
    else:
        file = source if "source" in make else objects / "events.bpf.o"
    if "stdin" in make:
        kwargs, file = {"stdin": open(file)}, "-"
    out = run(file, "--json", calls=[70001], **kwargs)
    assert of_type(out, "event") == [{"type": "event", "channel": "events", "data": EVENT}]


@needs_root
def test_json_lines(objects):
    out = lines(run(objects / "events.bpf.o", "--json", "--map", "calls", calls=[70001, 70001, 70002]))
    assert out.pop(0) == {"type": "attached", "programs": 1}
    assert [line["type"] for line in out] == ["event"] * 3 + ["map", "summary"]
    assert out[0]["data"] == EVENT and out[2]["data"]["kind"] == "KIND_EVEN"
    assert out[3] == {"type": "map", "map": "calls", "entries": [{"key": 70001, "value": 2}, {"key": 70002, "value": 1}]}
    summary = out[4]
    assert summary["events"] == 3 and summary["lost"] == 0 and 0 < summary["duration_ns"] < 60e9
    assert summary["programs"] == [{"name": "getpgid", "section": "tracepoint/syscalls/sys_enter_getpgid",
                                    "state": "attached", "reason": ""}]


@needs_root
def test_table(objects):
    out = run(objects / "burst.bpf.o", "--skip", "no_such_call", calls=[2, 1])
    zeros = "[" + ", ".join(["0"] * 14) + "]"
    rows = [line.rstrip() for line in out.splitlines()]
    assert sorted(r.split("  ")[0] for r in rows) == ["CHANNEL"] * 2 + ["burst"] * 3 + ["single"] * 2
    assert [r.split() for r in rows if r.startswith("single")] == [["single", "2"], ["single", "1"]]
    burst = [r for r in rows if r.startswith("burst")]
    assert [r.split(None, 2) for r in burst] == [["burst", str(n), zeros] for n in (0, 1, 0)]
    header = next(r for r in rows if r.startswith("CHANNEL") and "FILL" in r)
    assert header.index("NUMBER") + len("NUMBER") == burst[0].index("0") + 1
    assert header.index("FILL") == burst[0].index("[")


@needs_root
def test_parameters(objects):
    path = objects / "events.bpf.o"
    numbers = [e["data"]["number"] for e in of_type(run(path, "--json", "--add", "5", calls=[70001]), "event")]
    assert numbers == [70006]
    assert of_type(run("--set=add=0x10", "--json", "--text=x;y", path, calls=[70001]), "event")[0]["data"]["text"] == "x;y"
    assert of_type(run("--add", "1", "--json", path, "--silent", calls=[70001]), "event") == []
    assert of_type(run("--silent=false", path, "--json", calls=[70001]), "event") != []
    assert of_type(run("--silent", path, "--json", calls=[70001]), "event") == []
    assert of_type(run(path, "--json", calls=[70001], pid=1), "event") == []


@needs_root
def test_count_ends_the_run(objects):
    ended = Run(objects / "events.bpf.o", "--json", "--count", "2").call(*range(70001, 70006))
    status, out = ended.end(sig=None)
    assert status == 0 and [e["data"]["number"] for e in of_type(out, "event")] == [70001, 70002]
    assert of_type(out, "summary")[0]["events"] == 2


@needs_root
@pytest.mark.parametrize("text, seconds", [("0.3", 0.3), ("300ms", 0.3), ("0.005m", 0.3), ("300000us", 0.3)])
def test_duration_ends_the_run(objects, text, seconds):
    done = anybpf("run", objects / "events.bpf.o", "--json", "-q", "-d", text)
    assert done.returncode == 0 and done.stderr == ""
    assert seconds <= of_type(done.stdout, "summary")[0]["duration_ns"] / 1e9 < seconds + 5


@needs_root
def test_count_needs_events(objects):
    done = anybpf("run", objects / "stacks.bpf.o", "--count", "1")
    assert done.returncode == 2 and "sends none" in done.stderr


@needs_root
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_with_a_summary(objects, sig):
    ended = Run(objects / "events.bpf.o").call(70001)
    status, out = ended.end(sig)
    assert status == 0 and "70001" in out
    assert re.search(r"^anybpf: attached 1 program; Ctrl-C to end\nanybpf: 1 event, 0 lost in \d+\.\d s\n$", ended.talk)


@needs_root
def test_lost_events_are_counted(objects):
    out = run(objects / "burst.bpf.o", "--json", calls=[200, 200])
    got = sum(e["channel"] == "burst" for e in of_type(out, "event"))
    lost = sum(line["count"] for line in of_type(out, "lost") if line["channel"] == "burst")
    assert lost > 0 and got + lost == 400
    assert of_type(out, "summary")[0]["lost"] == lost
    ended = Run(objects / "burst.bpf.o").call(200)
    ended.end()
    assert re.search(r"^anybpf: warning: \d+ events of 'burst' were lost", ended.talk, re.M)


@needs_root
def test_optional_programs_are_skipped(objects):
    ended = Run(objects / "burst.bpf.o", "--json")
    out = ended.end()[1]
    skipped = [p for p in of_type(out, "summary")[0]["programs"] if p["state"] == "skipped"]
    assert [p["name"] for p in skipped] == ["no_such_call"] and "sys_enter_no_such_call" in skipped[0]["reason"]
    assert "no_such_call" in of_type(out, "warning")[0]["message"]
    assert ended.talk.startswith("anybpf: warning: ")
    quiet = anybpf("run", objects / "burst.bpf.o", "-q", "-d", "0.1")
    assert (quiet.returncode, quiet.stderr) == (0, "")


@needs_root
def test_required_programs_end_the_run(objects):
    done = anybpf("run", objects / "burst.bpf.o", "--attach", "getpgid=syscalls/sys_enter_nothing", "-d", "1")
    assert done.returncode == 4 and "getpgid" in done.stderr.splitlines()[-1]
    done = anybpf("run", objects / "burst.bpf.o", "--attach", "getpgid=syscalls/sys_enter_nothing", "-d", "1", "--json")
    failed, error = map(json.loads, done.stdout.splitlines())
    assert failed["type"] == "failed" and error["error"]["kind"] == "not-found"
    states = {p["name"]: (p["state"], p["reason"]) for p in failed["programs"]}
    assert states == {"getpgid": ("failed", error["error"]["message"]), "no_such_call": ("loaded", "")}


@needs_root
def test_a_refused_program_shows_its_line(objects):
    done = anybpf("run", objects / "refused.bpf.o", "--json")
    failed, error = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 3 and error["error"]["kind"] == "verifier"
    assert [(p["state"], p["reason"]) for p in failed["programs"] if p["name"] == "getpgid"] == [("failed", error["error"]["message"])]
    first, *rest = done.stderr.splitlines()
    assert first.startswith("anybpf: error: program 'getpgid' refused: ") and "refused.bpf.c:13" in first
    assert rest[-1] == "anybpf: -v shows all that the verifier said" and len(rest) < 12
    assert "processed " in anybpf("run", objects / "refused.bpf.o", "-v").stderr


@needs_root
def test_trace(objects):
    out = run(objects / "burst.bpf.o", "--trace", "--json", calls=[3])
    assert any("burst of 3" in line["line"] for line in of_type(out, "trace"))


@needs_root
def test_a_reader_that_leaves_ends_the_run(objects):
    ended = Run(objects / "events.bpf.o", "--json")
    ended.process.stdout.close()
    assert ended.process.wait(timeout=30) == 0
    assert ended.process.stderr.read() == ""


@needs_root
def test_a_full_disk_ends_the_run(objects):
    with open("/dev/full", "w") as full:
        ended = Run(objects / "events.bpf.o", stdout=full).call(70001)
        status, _ = ended.end(sig=None)
    assert status == 9 and ended.talk.endswith("anybpf: error: standard output: No space left on device\n")


@needs_root
def test_kinds_of_channels(objects):
    events = {e["channel"]: e for e in of_type(run(objects / "channels.bpf.o", "--json", calls=[77]), "event")}
    assert set(events) == {"perf", "raw", "larges", "calls"}
    assert events["perf"]["data"] == {"number": 77} and events["perf"]["cpu"] in range(os.cpu_count() or 1)
    assert events["raw"]["data"].startswith("4d000000") and "cpu" in events["raw"]
    assert events["larges"]["data"] == {"number": 77, "bytes": "00" * 2000} and "cpu" not in events["larges"]
    assert any(frame.startswith("do_syscall_64+0x") for frame in events["calls"]["data"]["kernel"])
    rows = run(objects / "channels.bpf.o", calls=[77]).splitlines()
    assert any(re.fullmatch(r"raw +4d000000\w*", row) for row in rows)
    done = anybpf("run", objects / "channels.bpf.o", "-d", "0.1")
    assert [line for line in done.stderr.splitlines() if "stay bytes" in line and "--event 'raw=struct NAME'" in line]
    assert done.stderr.count("stay bytes") == 1
    assert any(re.fullmatch(r"perf +77", row) for row in rows)


@needs_root
def test_event_type_by_option(objects):
    data = [e["data"] for e in of_type(run(objects / "channels.bpf.o", "--json", "--event", "raw=struct typed", calls=[77]), "event")
            if e["channel"] == "raw"]
    assert data == [{"number": 77}]
    done = anybpf("run", objects / "channels.bpf.o", "--event", "raw=struct tped")
    assert done.returncode == 4 and "'struct typed'" in done.stderr
    done = anybpf("run", objects / "channels.bpf.o", "--event", "raw=struct of_nothing")
    assert done.returncode == 4 and "'const struct of_nothing *unused;'" in done.stderr


@needs_root
def test_stacks_of_events(objects, tmp_path):
    out = run(objects / "channels.bpf.o", "--folded", tmp_path / "folded", "--json", calls=[1, 2])
    assert len(of_type(out, "event")) == 8
    folded = (tmp_path / "folded").read_text().splitlines()
    assert sum(int(line.rsplit(" ", 1)[1]) for line in folded) == 2 and all("do_syscall_64_[k]" in line for line in folded)


@needs_root
def test_second_signal_ends_at_once(objects):
    ended = Run(objects / "channels.bpf.o", "--json").call(*range(200))
    time.sleep(0.3)  # nobody reads: it hangs in write()
    ended.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert ended.process.poll() is None
    ended.process.send_signal(signal.SIGINT)
    assert ended.process.wait(timeout=30) == 128 + signal.SIGINT
    ended.process.stdout.close()
    ended.process.stderr.close()


@needs_root
def test_nohup_is_heeded(objects):
    ended = Run(objects / "events.bpf.o", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    ended.process.send_signal(signal.SIGHUP)
    assert "70001" in ended.call(70001).end()[1]


@needs_root
@pytest.mark.parametrize("name, args, message", [
    ("events", ["--cpu", "0"], "warning: --cpu has no effect: 'events' has no program of a perf event"),
    ("events", ["-D", "X=1"], "warning: --define has no effect: "),
    ("events", ["--include", "/usr"], "warning: --include has no effect: "),
    ("trace", [], "nothing will be printed: 'trace' has no events and no maps to show; --trace shows what bpf_printk() says"),
    ("trace", ["--trace"], "attached 1 program"),
])
def test_what_has_no_effect_is_said(objects, name, args, message):
    done = anybpf("run", objects / f"{name}.bpf.o", *args, "-d", "0.1")
    assert done.returncode == 0 and message in done.stderr, done.stderr
    assert ("nothing will be printed" in done.stderr) == message.startswith("nothing")


@pytest.mark.parametrize("option", ["flamegraph", "folded"])
def test_stacks_are_asked_of_who_has_them(objects, tmp_path, option):
    done = anybpf("run", objects / "events.bpf.o", f"--{option}", tmp_path / "out")
    assert done.returncode == 2 and f"option '--{option}' is about stacks, and 'events' has no map of them" in done.stderr


# ---- run: targets ----


@needs_root
def test_a_cpu_that_is_not_there():
    done = anybpf("run", ROOT / "tools" / "profile.bpf.c", "--cpu", 65535, "-d", "1")
    assert done.returncode == 4 and "CPU 65535 is not online" in done.stderr


def states(out):
    return {p["name"]: p["state"] for p in of_type(out, "summary")[0]["programs"]}


@needs_root
def test_attach_option(objects):
    started = Run(objects / "burst.bpf.o", "--json", "--skip", "no_such_call", "-a", "getpgid=syscalls/sys_enter_getsid")
    os.getsid(0)
    out = started.call(1).end()[1]
    assert [e["data"]["number"] for e in of_type(out, "event") if e["channel"] == "single"] == [0]


@needs_root
def test_interface_and_cgroup(objects, tmp_path):
    """In a network namespace of its own, so that nobody else's programs are in the way."""
    path = objects / "targets.bpf.o"
    alone = ["unshare", "-n", ANYBPF, "run", path, "--json", "-q", "-d", "0.2"]
    mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines() if line.split()[2] == "cgroup2"]
    if subprocess.run(["unshare", "-n", "true"]).returncode or not mounts:
        pytest.skip("no network namespaces or no cgroup2 here")
    done = subprocess.run([*alone, "-I", "lo", "--skip", "on_cgroup"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert states(done.stdout) == {"on_xdp": "attached", "on_tc": "attached", "on_cgroup": "skipped"}
    group = pathlib.Path(mounts[0]) / f"anybpf-test-{os.getpid()}"
    group.mkdir()
    try:
        done = subprocess.run([*alone, "--cgroup", group, "--only=on_cgroup"], capture_output=True, text=True)
    finally:
        group.rmdir()
    assert done.returncode == 0, done.stderr
    assert states(done.stdout)["on_cgroup"] == "attached"
    done = subprocess.run([*alone, "-I", "nosuch0", "--only=on_xdp"], capture_output=True, text=True)
    assert done.returncode == 4 and "nosuch0" in done.stderr


PROBE = r"""
static void sold(long number)
{
	__asm__ volatile("990: nop\n"
		".pushsection .note.stapsdt,\"?\",\"note\"\n .balign 4\n .4byte 992f-991f, 994f-993f, 3\n"
		"991: .asciz \"stapsdt\"\n 992: .balign 4\n"
		"993: .8byte 990b, base, 0\n .asciz \"shop\"\n .asciz \"sold\"\n .asciz \"-8@%0\"\n 994: .balign 4\n .popsection\n"
		".pushsection .stapsdt.base,\"a\",\"progbits\"\n base: .space 1\n .popsection\n" :: "r"(number));
}

int main(void)
{
	for (long number = -1; number < 2; number++)
		sold(number);
	return 0;
}
"""


@needs_root
def test_static_probes(objects, tmp_path):
    (tmp_path / "shop.c").write_text(PROBE)
    subprocess.run(["cc", "-O1", "-o", tmp_path / "shop", tmp_path / "shop.c"], check=True)
    process = subprocess.Popen([ANYBPF, "run", objects / "usdt.bpf.o", "--json", "--attach", f"sold={tmp_path}/shop:shop:sold", "-c", "3",
                                "-d", "20"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert '"attached"' in process.stdout.readline(), process.stderr.read()
    shop = subprocess.Popen([tmp_path / "shop"])
    out = process.communicate(timeout=60)[0]
    assert shop.wait() == 0
    sales = [e["data"] for e in of_type(out, "event")]
    assert sales == [{"pid": shop.pid, "number": n} for n in (-1, 0, 1)]
    for target, missing in [(f"{tmp_path}/shop:shop:lost", "no static probe 'shop:lost'"), (f"{tmp_path}/shop", "PATH:PROVIDER:NAME")]:
        done = anybpf("run", objects / "usdt.bpf.o", "--attach", f"sold={target}", "-d", "1")
        assert done.returncode in (2, 4) and missing in done.stderr, done.stderr


@needs_root
@pytest.mark.parametrize("args, status, message", [
    ([], 2, "error: program 'on_xdp' (xdp) needs a target, a network interface: --attach on_xdp=TARGET"),
    (["--only=on_cgroup"], 2, "error: program 'on_cgroup' (cgroup_skb/egress) needs a target, the path of a cgroup"),
    (["-a", "on_tc=lo"], 0, "warning: program 'on_xdp' (xdp) is not attached: it needs a target, a network interface"),
])
def test_a_missing_target_is_said(objects, args, status, message):
    alone = ["unshare", "-n"] if subprocess.run(["unshare", "-n", "true"]).returncode == 0 else []
    done = subprocess.run([*alone, ANYBPF, "run", objects / "targets.bpf.o", "--json", "-d", "0.1", *args], capture_output=True, text=True)
    assert done.returncode == status and message in done.stderr, done.stderr
    if not status:
        assert states(done.stdout) == {"on_xdp": "loaded", "on_tc": "attached", "on_cgroup": "loaded"}


# ---- run: maps ----


@needs_root
def test_maps_as_tables(objects):
    out = run(objects / "events.bpf.o", "--silent", "--map", "all", calls=[70000, 70001, 70001])
    assert out == """\
calls: calls by number
  KEY  VALUE
70001      2
70000      1

cpu_calls
  KEY  VALUE
70001      2
70000      1

slots
INDEX  VALUE
    0      1
    1      2

sizes
     bytes               : count    distribution
     65536 -> 131071     : 3        |****************************************|

""" + out[out.index("sizes_by"):]
    charts = out[out.index("sizes_by"):]
    assert re.findall(r"^(\d)$", charts, re.M) == ["0", "1"]
    assert re.findall(r"65536 -> 131071 +: (\d)", charts) == ["1", "2"]


@needs_root
def test_maps_as_json(objects):
    out = run(objects / "events.bpf.o", "--silent", "--json", "--map=all", calls=[70000, 70001, 70001])
    assert {m["map"]: m["entries"] for m in of_type(out, "map")} == {
        "calls": [{"key": 70001, "value": 2}, {"key": 70000, "value": 1}],
        "cpu_calls": [{"key": 70001, "value": 2}, {"key": 70000, "value": 1}],
        "slots": [{"key": 0, "value": 1}, {"key": 1, "value": 2}]}
    assert of_type(out, "hist") == [
        {"type": "hist", "map": "sizes", "slots": [{"from": 65536, "to": 131072, "count": 3}]},
        {"type": "hist", "map": "sizes_by", "key": 0, "slots": [{"from": 65536, "to": 131072, "count": 1}]},
        {"type": "hist", "map": "sizes_by", "key": 1, "slots": [{"from": 65536, "to": 131072, "count": 2}]}]


@needs_root
@pytest.mark.parametrize("options, keys", [([], [70001, 70005, 70009]), (["--sort=key"], [70001, 70005, 70009]),
                                           (["--sort", "value", "--top", "1"], [70009]), (["--top=2"], [70009, 70005])])
def test_order_and_top(objects, options, keys):
    out = run(objects / "events.bpf.o", "--silent", "--json", "--map", "calls", *options,
              calls=[70001] + [70005] * 2 + [70009] * 3)
    got = [e["key"] for e in of_type(out, "map")[0]["entries"]]
    assert got == (keys if options else keys[::-1])


@needs_root
def test_per_cpu_values(objects):
    out = run(objects / "events.bpf.o", "--silent", "--json", "--map", "cpu_calls", "--per-cpu", calls=[70001] * 5)
    entry, = of_type(out, "map")[0]["entries"]
    assert entry["key"] == 70001 and sum(entry["values"]) == 5 and len(entry["values"]) >= (os.cpu_count() or 1)


@needs_root
def test_interval_and_clear(objects):
    started = Run(objects / "events.bpf.o", "--silent", "--json", "--map", "calls", "-i", "200ms", "--clear").call(70001)
    time.sleep(0.5)
    out = started.call(70002, 70002).end()[1]
    maps = [m["entries"] for m in of_type(out, "map")]
    assert len(maps) >= 3
    assert [entries for entries in maps if entries] == [[{"key": 70001, "value": 1}], [{"key": 70002, "value": 2}]]


@needs_root
def test_default_maps(objects):
    out = run(objects / "events.bpf.o", "--silent", "--json", calls=[70001])
    assert [line.get("map") for line in lines(out)] == [None, "sizes", "sizes_by", None]
    out = run(objects / "stacks.bpf.o", "--json", calls=[70001])
    assert [line.get("map") for line in lines(out)] == [None, "by_stack", None]


# ---- run: stacks and iterators ----


@needs_root
def test_stacks(objects, tmp_path):
    text = run(objects / "stacks.bpf.o", calls=[1, 2, 3])
    assert "    do_syscall_64\n" in text and re.search(r"^    \w*getpgid\w*$", text, re.M)
    assert re.search(r"^\S.*  3$", text, re.M)
    frames = of_type(run(objects / "stacks.bpf.o", "--json", calls=[1]), "map")[0]["entries"][0]["key"]["kernel"]
    assert any(frame.startswith("do_syscall_64+0x") for frame in frames)
    stacks = of_type(run(objects / "stacks.bpf.o", "--json", "--map", "stacks", calls=[1]), "stack")
    assert any(frame.startswith("do_syscall_64+0x") for stack in stacks for frame in stack["frames"])


@needs_root
def test_flame_graph(objects, tmp_path):
    svg, folded = tmp_path / "out.svg", tmp_path / "out.folded"
    out = run(objects / "stacks.bpf.o", "--flamegraph", svg, "--folded", folded, calls=[1, 2, 3])
    assert out == ""
    comm = pathlib.Path("/proc/self/comm").read_text().strip()
    weights = {line.rsplit(" ", 1)[0]: int(line.rsplit(" ", 1)[1]) for line in folded.read_text().splitlines()}
    assert sum(weights.values()) == 3
    assert all(stack.startswith(comm + ";") and ";do_syscall_64_[k];" in stack for stack in weights)
    assert svg.read_text().startswith("<?xml") and "do_syscall_64" in svg.read_text()
    assert run(objects / "stacks.bpf.o", "--folded", "-", calls=[1, 2]).strip().endswith(" 2")


@needs_root
def test_stacks_are_written_though_the_reader_left(objects, tmp_path):
    ended = Run(objects / "stacks.bpf.o", "--folded", tmp_path / "folded").call(1, 2)
    assert "nothing will be printed" not in ended.talk
    ended.process.stdout.close()
    assert ended.process.wait(timeout=30) == 0
    ended.process.stderr.close()
    assert (tmp_path / "folded").read_text().strip().endswith(" 2")


@needs_root
def test_flame_graph_that_cannot_be_written(objects, tmp_path):
    began = time.monotonic()
    done = anybpf("run", objects / "stacks.bpf.o", "-f", tmp_path / "no" / "out.svg", "-d", "30")
    assert done.returncode == 4 and "out.svg" in done.stderr and time.monotonic() - began < 20


@needs_root
def test_iterators_print_once(objects):
    expected = "".join(f"thread {tid}\n" for tid in sorted(map(int, os.listdir(f"/proc/{os.getpid()}/task"))))
    done = anybpf("run", objects / "iter.bpf.o", "--pid", os.getpid())
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")
    out = anybpf("run", objects / "iter.bpf.o", "--pid", os.getpid(), "--json").stdout
    assert of_type(out, "iter") == [{"type": "iter", "program": "threads", "text": expected}]
    done = anybpf("run", objects / "iter.bpf.o", "--pid", os.getpid(), "-i", "0.1", "-d", "0.35", "-q")
    assert done.returncode == 0 and done.stdout.count(expected) >= 3


# ---- on a terminal ----


def on_terminal(args, columns=40, rows=10, trigger=lambda: None, env={}):
    """What a command writes to a terminal of that size, as one string with its escapes."""
    import fcntl
    import pty
    import struct
    import termios
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    child = subprocess.Popen([ANYBPF, *map(str, args)], stdout=slave, stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **env})
    os.close(slave)
    for line in child.stderr:
        if "attached" in line:
            break
    trigger()
    out = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    child.wait(timeout=30)
    child.stderr.close()
    os.close(master)
    return out.decode().replace("\r\n", "\n")


@needs_root
def test_table_on_a_terminal(objects):
    def trigger():
        for n in range(70000, 70030):
            try:
                os.getpgid(n)
            except ProcessLookupError:
                pass

    args = ["run", objects / "events.bpf.o", "-c", "30", "--pid", os.getpid()]
    out = on_terminal(args, trigger=trigger)
    rows = [re.sub(r"\033\[\d*m", "", line) for line in out.splitlines() if line]
    rows = rows[:rows.index("sizes")]
    assert all(len(row) <= 40 for row in rows)
    headers = [i for i, row in enumerate(rows) if "NUMBER" in row]
    assert headers[0] == 0 and all(b - a <= 10 for a, b in zip(headers, headers[1:])) and len(headers) >= 3
    assert "\033[1m" in out
    assert "\033" not in on_terminal(args, trigger=trigger, env={"NO_COLOR": "1"})
    assert "\033" not in on_terminal(args, trigger=trigger, env={"TERM": "dumb"})


# ---- doctor ----


def test_doctor():
    done = anybpf("doctor", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["can_run"] else 1)
    assert {f["group"] for f in report["features"]} >= {"kernel", "attach", "program", "map", "helper", "capability", "tools"}
    for feature in report["features"]:
        assert set(feature) == {"group", "name", "state", "detail", "advice"} and feature["state"] in ("yes", "no", "unknown")
    text = anybpf("doctor")
    assert text.returncode == done.returncode
    assert text.stdout.endswith(f"BPF programs {'can' if report['can_run'] else 'cannot'} be run here.\n")
    rows = anybpf("doctor", "-v").stdout
    for feature in report["features"]:
        assert re.search(rf"^  {feature['state']} +{re.escape(feature['name'])}( |$)", rows, re.M)
        if feature["state"] == "no" and feature["group"] != "helper":
            assert feature["name"] in text.stdout


@needs_root
def test_doctor_as_root_says_what_run_shows(objects):
    assert anybpf("doctor").returncode == anybpf("run", objects / "events.bpf.o", "-d", "0.1").returncode == 0


# ---- anybpf-static ----


def test_static(objects):
    program = BUILD / "anybpf-static"
    if not program.exists():
        pytest.skip("anybpf-static is not built")
    done = anybpf("build", SOURCES / "iter.bpf.c", program=program)
    assert done.returncode == 7 and "no compiler" in done.stderr
    done = anybpf("run", SOURCES / "iter.bpf.c", program=program)
    assert done.returncode == 7 and "'anybpf build'" in done.stderr
    assert "--define" not in anybpf("run", "--help", program=program).stdout
    if os.geteuid() == 0:
        done = anybpf("run", objects / "iter.bpf.o", "--pid", os.getpid(), program=program)
        assert done.returncode == 0 and f"thread {os.getpid()}\n" in done.stdout


# ---- the examples of the manual pages ----


def examples():
    for page in sorted((ROOT / "docs" / "man").glob("*.md")):
        section = page.read_text().split("# EXAMPLES")[1]
        yield from re.findall(r"^\$ (anybpf .*)$", section, re.M)


@needs_root
@pytest.mark.parametrize("example", examples())
def test_examples(example, tmp_path):
    if ".so" in example and not TEMPLATE.exists():
        pytest.skip("this build has no library template")
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    done = anybpf(*shlex.split(example)[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "-o" in example or example.startswith("anybpf build") or "exitsnoop" in example or "svg" in example
