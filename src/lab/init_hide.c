/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Makes a guest look like an older kernel in one respect, for every program started afterwards:
 *
 *	bpf      bpf(2) answers ENOSYS, as before Linux 3.18
 *	btf      no types in /sys/kernel/btf, as before 5.2
 *	ringbuf  no ring buffer map, neither in the types nor when one is made, as before 5.8
 *	tracefs  neither tracefs nor debugfs, and no mounting of anything, so this comes last
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "init.h"

#ifdef __x86_64__
#define THIS_ARCH AUDIT_ARCH_X86_64
#else
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif
#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE 1
#endif

static int listener = -1;

int hide_listener(void)
{
	return listener;
}

/* `syscall` gets `verdict`; with `arg0` >= 0 only if its first argument is that. Other architectures' calls pass. */
static int add_filter(int number, int arg0, unsigned int verdict, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 0, 5),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(arg0 < 0 ? BPF_JMP | BPF_JGE | BPF_K : BPF_JMP | BPF_JEQ | BPF_K, arg0 < 0 ? 0 : arg0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, verdict),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };
	int r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

	if (r < 0)
		init_note("seccomp: %s", strerror(errno));
	return r;
}

/* False: it is still to be seen. */
static bool cover(const char *path)
{
	if (mount("tmpfs", path, "tmpfs", MS_RDONLY, NULL) == 0 || errno == ENOENT)
		return true;
	init_note("covering %s: %s", path, strerror(errno));
	return false;
}

static bool hide_tracefs(void)
{
	umount2("/sys/kernel/tracing", MNT_DETACH);
	umount2("/sys/kernel/debug", MNT_DETACH);
	return add_filter(SYS_mount, -1, SECCOMP_RET_ERRNO | ENODEV, 0) >= 0;
}

static void replace_all(char *data, size_t size, const char *from, const char *to)
{
	char *p = data;

	while ((p = memmem(p, size - (p - data), from, strlen(from))))
		memcpy(p, to, strlen(to));
}

/* The kernel's types with the ring buffer's names changed, in front of the real ones. Names keep their length. */
static bool hide_ringbuf_types(void)
{
	const char *real = "/sys/kernel/btf/vmlinux", *copy = "/run/btf-without-ringbuf";
	int in = open(real, O_RDONLY | O_CLOEXEC), out;
	struct stat st;
	ssize_t n = 0;
	size_t have = 0;
	bool hidden;
	char *data;

	if (in < 0)
		return true;
	data = fstat(in, &st) == 0 ? malloc(st.st_size + 1) : NULL;
	while (data && have < st.st_size && (n = read(in, data + have, st.st_size - have)) > 0)
		have += n;
	close(in);
	if (!data || have != st.st_size) {
		init_note("%s: cannot be read", real);
		free(data);
		return false;
	}
	replace_all(data, have, "BPF_MAP_TYPE_RINGBUF", "BPF_MAP_TYPE_NO_RING");
	replace_all(data, have, "BPF_FUNC_ringbuf_", "BPF_FUNC_no_ring_");
	out = open(copy, O_WRONLY | O_CREAT | O_CLOEXEC, 0444);
	for (char *p = data; out >= 0 && have && (n = write(out, p, have)) > 0; p += n)
		have -= n;
	hidden = out >= 0 && !have && mount(copy, real, NULL, MS_BIND, NULL) == 0;
	if (!hidden)
		init_note("%s: %s", real, strerror(errno));
	if (out >= 0)
		close(out);
	free(data);
	return hidden;
}

/* The map's type is in memory, which a filter cannot see, so making maps asks us (hide_serve). */
static bool hide_ringbuf(void)
{
	if (listener >= 0)
		return true;
	if (!hide_ringbuf_types())
		return false;
	listener = add_filter(SYS_bpf, BPF_MAP_CREATE, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
	return listener >= 0;
}

void hide_serve(void)
{
	struct seccomp_notif call = {};
	struct seccomp_notif_resp answer = {};
	unsigned int map_type = 0;
	char path[32];
	int fd;

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
		return;
	snprintf(path, sizeof(path), "/proc/%u/mem", call.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (pread(fd, &map_type, sizeof(map_type), call.data.args[1]) != sizeof(map_type))
			map_type = 0;
		close(fd);
	}
	answer.id = call.id;
	if (map_type == BPF_MAP_TYPE_RINGBUF || map_type == BPF_MAP_TYPE_USER_RINGBUF)
		answer.error = -EINVAL;
	else
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

bool hide_feature(const char *name)
{
	if (!strcmp(name, "bpf"))
		return add_filter(SYS_bpf, -1, SECCOMP_RET_ERRNO | ENOSYS, 0) >= 0;
	if (!strcmp(name, "btf"))
		return cover("/sys/kernel/btf");
	if (!strcmp(name, "ringbuf"))
		return hide_ringbuf();
	if (!strcmp(name, "tracefs"))
		return hide_tracefs();
	init_note("nothing is known of hiding '%s'", name);
	return false;
}
