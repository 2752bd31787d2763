# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
"""What `make install` puts in place is enough: a program builds against it by pkg-config alone, and the commands find their parts."""
import os
import subprocess

import pytest

from live import BUILD, ROOT, TOOLS

PROGRAM = """
#include <anybpf/anybpf.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct ab_error err = { 0 };
	struct ab_object *object;

	if (ab_object_open_file(argv[1], NULL, &object, &err) < 0) {
		fprintf(stderr, "%s\\n", err.msg);
		return ab_error_exit_status(err.kind);
	}
	printf("%s %zu %s\\n", ab_object_name(object), ab_object_program_count(object), ab_version());
	ab_object_close(object);
	return argc - 2;
}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The directory that stands for /, and the prefix in it."""
    root = tmp_path_factory.mktemp("installed")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild"], env={**os.environ, "DESTDIR": str(root)}, check=True,
                   capture_output=True, cwd=ROOT)
    return root, next(root.rglob("bin/anybpf")).parent.parent


@pytest.fixture(scope="module")
def built(installed):
    root, prefix = installed
    subprocess.run([prefix / "bin" / "anybpf", "build", "-q", TOOLS / "opensnoop.bpf.c", "-o", root / "opensnoop.so"], check=True,
                   env={**os.environ, "LD_LIBRARY_PATH": str(next(prefix.rglob("libanybpf.so.0")).parent),
                        "ANYBPF_CC": str(next(prefix.rglob("anybpf-cc"))),
                        "ANYBPF_LIBDIR": str(next(prefix.rglob("anybpf-template.so")).parent)})
    return root / "opensnoop.so"


@pytest.mark.parametrize("link", ["shared", "static"])
def test_a_program_builds_by_pkg_config_alone(installed, built, link):
    root, prefix = installed
    folder = next(prefix.rglob("anybpf.pc")).parent
    env = {**os.environ, "PKG_CONFIG_PATH": str(folder), "PKG_CONFIG_SYSROOT_DIR": str(root)}
    # The sysroot is for our own paths only: what libbpf and the others say must stay as it is.
    ask = ["pkg-config", "--cflags", "--libs", *(["--static"] if link == "static" else []), "anybpf"]
    flags = subprocess.run(ask, env=env, check=True, capture_output=True, text=True).stdout.split()
    flags = [flag.replace(f"{root}/usr/lib", "/usr/lib") if "anybpf" not in flag and "/local/" not in flag else flag for flag in flags]
    if link == "static":
        flags = ["-l:libanybpf.a" if flag == "-lanybpf" else flag for flag in flags]
    (root / "program.c").write_text(PROGRAM)
    program = root / f"program-{link}"
    subprocess.run(["cc", "-Wall", "-Werror", root / "program.c", "-o", program, *flags], check=True)
    needed = subprocess.run(["readelf", "-d", program], check=True, capture_output=True, text=True).stdout
    assert ("libanybpf.so.0" in needed) == (link == "shared")
    done = subprocess.run([program, built], capture_output=True, text=True, env={**os.environ, "LD_LIBRARY_PATH": str(folder.parent)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "opensnoop" and int(done.stdout.split()[1]) >= 4


def test_manual_pages_completion_and_headers_are_there(installed):
    _, prefix = installed
    for name in ("share/man/man1/anybpf-run.1", "share/bash-completion/completions/anybpf", "share/zsh/site-functions/_anybpf",
                 "share/anybpf/bpf/anybpf.bpf.h", "share/anybpf/tools/execsnoop.bpf.c", "include/anybpf/object.h"):
        assert (prefix / name).stat().st_size > 0
