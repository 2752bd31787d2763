/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* src/run/{attach,net,perf_event,user,explain}.c: each way of attaching, with a program that counts its runs, and each refusal. */
#include <arpa/inet.h>
#include <dirent.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include "bpf.h"

enum {
	TP, RAW_TP, TP_BTF, UPROBE, URETPROBE, PERF_EVENT, XDP, TC, CGROUP, SOCKET, LOOKUP, MSG, KPROBE, FENTRY, WRONG_TP, MULTI,
	WRONG_BTF, BARE_FENTRY, SECTION_UPROBE, BARE_RAW, SYSCTL, TAGGED,
};

/* attach.bpf.o with the named programs only. */
static struct ab_object *open_only(const char *name, int pid)
{
	struct ab_object *object = open_object("attach", pid);

	need_bpf();
	for (size_t i = 0; i < ab_object_program_count(object); i++)
		if (strcmp(ab_program_name(ab_object_program(object, i)), name))
			ASSERT(!ab_program_set_enabled(ab_object_program(object, i), false, NULL));
	return object;
}

static struct ab_object *load_only(const char *name, int pid)
{
	struct ab_object *object = open_only(name, pid);
	struct ab_error err = {};

	ASSERT_OK(ab_object_load(object, &err), err);
	return object;
}

static uint64_t count(struct ab_object *object, uint32_t which)
{
	uint64_t n = 0;

	ASSERT(!ab_map_lookup(ab_object_find_map(object, "counts"), &which, &n, NULL));
	return n;
}

/* Attaches the only program, to `target`. */
static struct ab_link *attach(struct ab_object *object, const char *name, const char *target)
{
	struct ab_error err = {};
	struct ab_link *link;

	ASSERT_OK(ab_program_attach(ab_object_find_program(object, name), target, &link, &err), err);
	ASSERT_INT(ab_program_state(ab_object_find_program(object, name)), AB_PROGRAM_ATTACHED);
	return link;
}

/* The message when attaching fails; checks code and kind. */
static const char *refusal(struct ab_object *object, const char *name, const char *target, int code, uint32_t kind)
{
	static struct ab_error err;
	int r;

	ab_error_clear(&err);
	r = ab_program_attach(ab_object_find_program(object, name), target, NULL, &err);
	if (r != code || err.kind != kind)
		FAIL("%s to %s: %d %s: %s", name, target ? target : "-", r, ab_error_word(err.kind), err.msg);
	return err.msg;
}

#define ASSERT_HAS(text, part)                                                  \
	do {                                                                    \
		const char *_t = (text);                                        \
		if (!strstr(_t, part))                                          \
			FAIL("\"%s\" is not in \"%s\"", part, _t);              \
	} while (0)

/* ---- tracing ---- */

TEST(tracepoint_runs_until_detached)
{
	struct ab_object *object = load_only("on_tp", 0);
	struct ab_link *link = attach(object, "on_tp", NULL);
	uint64_t n;

	getpgid(0);
	n = count(object, TP);
	ASSERT(n > 0);
	ab_link_detach(link);
	ASSERT_INT(ab_program_state(ab_object_find_program(object, "on_tp")), AB_PROGRAM_LOADED);
	n = count(object, TP);
	getpgid(0);
	ASSERT_INT(count(object, TP), n);
	attach(object, "on_tp", "syscalls:sys_enter_getppid");
	getppid();
	ASSERT(count(object, TP) > n);
	ab_object_close(object);
}

TEST(tracefs_is_mounted_when_a_program_needs_it)
{
	struct ab_object *object;
	struct ab_error err = {};

	need_bpf();
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		SKIP("no mount namespace: %s", strerror(errno));
	umount2("/sys/kernel/debug", MNT_DETACH);
	while (!umount2("/sys/kernel/tracing", MNT_DETACH))
		;
	object = load_only("on_tp", 0);
	ASSERT(access("/sys/kernel/tracing/events", F_OK));
	ASSERT_OK(ab_object_attach(object, &err), err);
	ASSERT(!access("/sys/kernel/tracing/events", F_OK));
	ab_object_close(object);
}

TEST(raw_tracepoints_take_names)
{
	struct ab_object *object = load_only("on_bare_raw", 0);
	struct ab_error err = {};

	ASSERT_OK(ab_object_attach(object, &err), err); /* no place of its own: stays loaded */
	ASSERT_INT(ab_program_state(ab_object_find_program(object, "on_bare_raw")), AB_PROGRAM_LOADED);
	ASSERT_HAS(refusal(object, "on_bare_raw", NULL, -EINVAL, AB_ERROR_USAGE), "needs a target");
	ASSERT_HAS(ab_program_reason(ab_object_find_program(object, "on_bare_raw")), "needs a target");
	ASSERT_HAS(refusal(object, "on_bare_raw", "sched_swatch", -ENOENT, AB_ERROR_NOT_FOUND),
		   "no raw tracepoint 'sched_swatch': did you mean 'sched_switch'?");
	attach(object, "on_bare_raw", "sys_exit");
	getppid();
	ASSERT(count(object, BARE_RAW) > 0);
	ab_object_close(object);
}

TEST(tp_btf_runs)
{
	struct ab_object *object;

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	object = load_only("on_tp_btf", 0);
	attach(object, "on_tp_btf", NULL);
	getppid();
	ASSERT(count(object, TP_BTF) > 0);
	ab_object_close(object);
}

TEST(unknown_tracepoints_name_the_nearest)
{
	struct ab_object *object = load_only("on_wrong_tp", 0);
	struct ab_error err = {};

	ASSERT_INT(ab_object_attach(object, &err), -ENOENT);
	ASSERT_HAS(err.msg, "program 'on_wrong_tp' cannot attach: this kernel has no tracepoint "
			    "'syscalls/sys_enter_getpgip': did you mean 'syscalls/sys_enter_getpg");
	ab_error_clear(&err);
	ab_object_close(object);
	object = open_only("on_wrong_btf", 0);
	ASSERT_INT(ab_object_load(object, &err), -ENOENT);
	ASSERT_STR(err.msg, "program 'on_wrong_btf': this kernel has no tracepoint 'no_such_point'");
	ab_error_clear(&err);
	ab_object_close(object);
	object = open_only("on_wrong_btf", 0);
	ASSERT_OK(ab_program_set_target(ab_object_find_program(object, "on_wrong_btf"), "sched_swatch", &err), err);
	ASSERT_INT(ab_object_load(object, &err), -ENOENT);
	ASSERT_STR(err.msg, "this kernel has no tracepoint 'sched_swatch': did you mean 'sched_switch'?");
	ab_object_close(object);
}

TEST(kprobes_missing_is_said)
{
	struct ab_object *object = load_only("on_kprobe", 0);
	struct ab_error err = {};

	if (!access("/sys/bus/event_source/devices/kprobe", F_OK))
		SKIP("this kernel has kprobes");
	ASSERT_INT(ab_object_attach(object, &err), -EOPNOTSUPP);
	ASSERT_INT(err.kind, AB_ERROR_UNSUPPORTED);
	ASSERT_HAS(err.msg, "program 'on_kprobe' cannot attach: this kernel has no kprobes");
	ab_object_close(object);
}

TEST(optional_programs_are_skipped)
{
	struct ab_object *object = open_object("attach", 0);
	struct ab_program *optional = ab_object_find_program(object, "optional_kprobe");
	struct ab_error err = {};

	need_bpf();
	if (!access("/sys/bus/event_source/devices/kprobe", F_OK))
		SKIP("this kernel has kprobes");
	for (size_t i = 0; i < ab_object_program_count(object); i++) {
		struct ab_program *program = ab_object_program(object, i);

		ab_program_set_enabled(program, program == optional || !strcmp(ab_program_name(program), "on_tp"), NULL);
	}
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_OK(ab_object_attach(object, &err), err);
	ASSERT_INT(ab_program_state(optional), AB_PROGRAM_SKIPPED);
	ASSERT_HAS(ab_program_reason(optional), "this kernel has no kprobes");
	ASSERT_HAS(unit_warnings, "skipping optional program 'optional_kprobe'");
	ASSERT_INT(ab_program_state(ab_object_find_program(object, "on_tp")), AB_PROGRAM_ATTACHED);
	ab_object_close(object);
}

TEST(failing_attach_detaches_the_rest)
{
	struct ab_object *object = open_object("attach", 0);
	struct ab_error err = {};

	need_bpf();
	for (size_t i = 0; i < ab_object_program_count(object); i++) {
		struct ab_program *program = ab_object_program(object, i);
		const char *name = ab_program_name(program);

		ab_program_set_enabled(program, !strcmp(name, "on_tp") || !strcmp(name, "on_wrong_tp"), NULL);
	}
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_INT(ab_object_attach(object, &err), -ENOENT);
	ASSERT_INT(ab_program_state(ab_object_find_program(object, "on_tp")), AB_PROGRAM_LOADED);
	ab_object_close(object);
}

TEST(fentry_refused_says_why)
{
	struct ab_object *object = open_only("on_fentry", 0);
	struct ab_error err = {};
	int r = ab_object_load(object, &err);

	if (!r)
		SKIP("this kernel attaches fentry");
	ASSERT_INT(r, -EPERM);
	ASSERT_INT(err.kind, AB_ERROR_PERMISSION);
	ASSERT_HAS(err.msg, "program 'on_fentry' (fentry/do_exit)");
	ASSERT_HAS(err.msg, "this kernel does not permit it");
	ab_object_close(object);
}

TEST(fentry_without_target_or_function)
{
	struct ab_object *object = open_only("on_bare_fentry", 0);
	struct ab_program *program = ab_object_find_program(object, "on_bare_fentry");
	struct ab_error err = {};

	ASSERT_INT(ab_object_load(object, &err), -EINVAL);
	ASSERT_HAS(err.msg, "needs a target before it is loaded");
	ab_error_clear(&err);
	ASSERT_OK(ab_program_set_target(program, "do_exjt", &err), err);
	ASSERT_INT(ab_object_load(object, &err), -ENOENT);
	ASSERT_INT(err.kind, AB_ERROR_NOT_FOUND);
	ASSERT_HAS(err.msg, "this kernel has no function 'do_exjt'");
	ab_error_clear(&err);
	ASSERT_INT(ab_program_set_target(program, "do_exit", &err), -EINVAL); /* one only */
	ab_object_close(object);
}

/* ---- user space ---- */

__attribute__((noinline, used)) int probed_function(int n);
int probed_function(int n)
{
	__asm__ volatile("" : "+r"(n));
	return n + 1;
}

TEST(uprobes_by_library_path_and_offset)
{
	struct ab_object *object = load_only("on_uprobe", 0);
	char target[4096], self[4000] = {}, word[] = "abc";

	ASSERT(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	attach(object, "on_uprobe", "libc:strfry");
	strfry(word);
	ASSERT_INT(count(object, UPROBE), 1);
	snprintf(target, sizeof(target), "%s:probed_function", self);
	attach(object, "on_uprobe", target);
	probed_function(1);
	ASSERT_INT(count(object, UPROBE), 2);
	ab_object_detach(object);
	strfry(word);
	ASSERT_INT(count(object, UPROBE), 2);
	ASSERT_HAS(refusal(object, "on_uprobe", "libc:strfrx", -ENOENT, AB_ERROR_NOT_FOUND),
		   "has no function 'strfrx': did you mean '");
	ASSERT_HAS(refusal(object, "on_uprobe", "libnone:x", -ENOENT, AB_ERROR_NOT_FOUND), "no library or program 'libnone'");
	ASSERT_HAS(refusal(object, "on_uprobe", "/none/x:y", -ENOENT, AB_ERROR_NOT_FOUND), "/none/x: No such file");
	ASSERT_HAS(refusal(object, "on_uprobe", "/usr/lib:y", -EISDIR, AB_ERROR_USAGE), "/usr/lib: Is a directory");
	ASSERT_HAS(refusal(object, "on_uprobe", "sh:y", -ENOENT, AB_ERROR_NOT_FOUND), "has no function 'y'");
	ASSERT_HAS(refusal(object, "on_uprobe", "libc:0xffffffffff", -EINVAL, AB_ERROR_USAGE), "0xffffffffff is outside of /");
	ASSERT_HAS(refusal(object, "on_uprobe", "/etc/passwd:y", -EBADMSG, AB_ERROR_FORMAT), "not an ELF file");
	ASSERT_HAS(refusal(object, "on_uprobe", "strfry", -EINVAL, AB_ERROR_USAGE), "PATH:SYMBOL");
	ASSERT_HAS(refusal(object, "on_uprobe", "libc:strfry+x", -EINVAL, AB_ERROR_USAGE), "'x' is not an offset");
	ab_object_close(object);
}

TEST(uprobes_of_one_process)
{
	struct ab_object *object = load_only("on_uretprobe", getpid());
	char word[] = "abc";

	attach(object, "on_uretprobe", "libc:strfry");
	strfry(word);
	ASSERT_INT(count(object, URETPROBE), 1);
	ab_object_close(object);
	object = load_only("on_uretprobe", 1);
	attach(object, "on_uretprobe", "libc:strfry");
	strfry(word);
	ASSERT_INT(count(object, URETPROBE), 0);
	ab_object_close(object);
	object = load_only("on_uretprobe", 0x7ffffff0);
	ASSERT_HAS(refusal(object, "on_uretprobe", "libc:strfry", -ESRCH, AB_ERROR_NOT_FOUND), "no process 2147483632");
	ab_object_close(object);
}

TEST(section_targets_attach_by_themselves)
{
	struct ab_object *object = load_only("on_section_uprobe", 0);
	struct ab_error err = {};
	char word[] = "abc";

	ASSERT_OK(ab_object_attach(object, &err), err);
	strfry(word);
	ASSERT_INT(count(object, SECTION_UPROBE), 1);
	ab_object_close(object);
}

/* ---- perf events ---- */

static void spin(int ms)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
}

TEST(perf_events_sample)
{
	struct ab_object *object = load_only("on_perf_event", 0);
	struct ab_link *link = attach(object, "on_perf_event", "cpu-clock@1000");
	uint64_t n;
	char *pages;

	spin(60);
	ASSERT(count(object, PERF_EVENT) >= 10);
	ab_link_detach(link);
	n = count(object, PERF_EVENT);
	spin(10);
	ASSERT_INT(count(object, PERF_EVENT), n);
	ASSERT_HAS(refusal(object, "on_perf_event", "cpu-clok", -ENOENT, AB_ERROR_NOT_FOUND), "did you mean 'cpu-clock'?");
	ASSERT_HAS(refusal(object, "on_perf_event", "cpu-clock@x", -EINVAL, AB_ERROR_USAGE), "EVENT@FREQUENCY");
	ASSERT_HAS(refusal(object, "on_perf_event", "cpu-clock@99999999", -EINVAL, AB_ERROR_USAGE), "perf_event_max_sample_rate");
	ab_object_close(object);

	object = load_only("on_perf_event", getpid());
	attach(object, "on_perf_event", "page-faults");
	pages = malloc(1 << 20);
	for (size_t i = 0; i < 1 << 20; i += 4096)
		((volatile char *)pages)[i] = 1;
	ASSERT(count(object, PERF_EVENT) >= 200);
	free(pages);
	ab_object_close(object);
}

TEST(hardware_counters_or_a_reason)
{
	struct ab_object *object = load_only("on_perf_event", 0);
	struct ab_error err = {};
	int r = ab_program_attach(ab_object_find_program(object, "on_perf_event"), "cycles", NULL, &err);

	if (!r)
		SKIP("this machine has hardware counters");
	ASSERT_INT(err.kind, AB_ERROR_UNSUPPORTED);
	ASSERT_HAS(err.msg, "this machine has no such hardware counter");
	ab_object_close(object);
}

TEST(tags_say_where)
{
	struct ab_object *object = load_only("tagged", 0);
	struct ab_error err = {};

	ASSERT_OK(ab_object_attach(object, &err), err);
	spin(30);
	ASSERT(count(object, TAGGED) > 0);
	ab_object_close(object);
}

/* ---- networks; in a namespace of their own ---- */

static void enter_namespace(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	need_bpf();
	if (unshare(CLONE_NEWNET))
		SKIP("no network namespaces: %s", strerror(errno));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	ASSERT(!ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
}

static void send_packet(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ASSERT(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)) == 1 || errno == ECONNREFUSED);
	close(fd);
}

static void try_network(const char *name, int which, const char *target)
{
	struct ab_object *object;
	struct ab_link *link;
	uint64_t n;

	enter_namespace();
	object = load_only(name, 0);
	link = attach(object, name, target);
	send_packet();
	usleep(1000);
	ASSERT(count(object, which) > 0);
	ab_link_detach(link);
	usleep(50000); /* XDP and clsact go when a grace period is over */
	n = count(object, which);
	send_packet();
	usleep(1000);
	ASSERT_INT(count(object, which), n);
	ASSERT_HAS(refusal(object, name, "none0", -ENODEV, AB_ERROR_NOT_FOUND), "no network interface 'none0'");
	ab_object_close(object);
}

TEST(xdp_on_an_interface) { try_network("on_xdp", XDP, "lo"); }
TEST(tc_ingress) { try_network("on_tc", TC, "lo"); }
TEST(tc_egress) { try_network("on_tc", TC, "lo:egress"); }
TEST(socket_filter) { try_network("on_socket", SOCKET, "lo"); }

TEST(tc_side_must_be_known)
{
	struct ab_object *object = load_only("on_tc", 0);

	ASSERT_HAS(refusal(object, "on_tc", "lo:up", -EINVAL, AB_ERROR_USAGE), "not IFNAME, IFNAME:ingress or IFNAME:egress");
	ab_object_close(object);
}

TEST(lookup_in_a_namespace)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct ab_object *object;
	int fd;

	enter_namespace();
	object = load_only("on_lookup", 0);
	attach(object, "on_lookup", "/proc/self/ns/net");
	fd = socket(AF_INET, SOCK_STREAM, 0);
	ASSERT(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0);
	close(fd);
	ASSERT(count(object, LOOKUP) > 0);
	ASSERT_HAS(refusal(object, "on_lookup", "/none", -ENOENT, AB_ERROR_NOT_FOUND), "network namespace '/none'");
	ab_object_close(object);
}

TEST(sockmap_programs_name_a_map)
{
	struct ab_object *object = load_only("on_msg", 0);
	struct ab_link *link = attach(object, "on_msg", "sockets");

	ab_link_detach(link);
	ASSERT_HAS(refusal(object, "on_msg", "none", -ENOENT, AB_ERROR_NOT_FOUND), "no map 'none'");
	ab_object_close(object);
}

TEST(cgroup_by_path)
{
	char dir[] = "/tmp/anybpf-cgroup-XXXXXX", group[64], procs[96];
	struct ab_object *object;
	FILE *f;

	enter_namespace();
	ASSERT(mkdtemp(dir));
	if (mount("none", dir, "cgroup2", 0, NULL)) {
		rmdir(dir);
		SKIP("no cgroup2: %s", strerror(errno));
	}
	snprintf(group, sizeof(group), "%s/anybpf-%d", dir, getpid());
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", group);
	object = load_only("on_cgroup", 0);
	ASSERT(!mkdir(group, 0755));
	attach(object, "on_cgroup", group);
	f = fopen(procs, "w");
	ASSERT(f && fprintf(f, "%d", getpid()) > 0 && !fclose(f));
	send_packet();
	ASSERT(count(object, CGROUP) > 0);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);
	f = fopen(procs, "w");
	ASSERT(f && fprintf(f, "%d", getpid()) > 0 && !fclose(f));
	ab_object_detach(object);
	ASSERT(!rmdir(group));
	umount(dir);
	rmdir(dir);
	ASSERT_HAS(refusal(object, "on_cgroup", "/none", -ENOENT, AB_ERROR_NOT_FOUND), "cgroup '/none'");
	ASSERT_HAS(refusal(object, "on_cgroup", "/proc", -EINVAL, AB_ERROR_USAGE), "not a directory of cgroup2");
	ab_object_close(object);
}

/* ---- iterators, struct_ops ---- */

static int take_text(const char *text, size_t size, void *ctx)
{
	*(size_t *)ctx += size;
	return 0;
}

TEST(iterators_give_their_output)
{
	struct ab_error err = {};
	struct ab_object *object;
	struct ab_program *program;
	size_t size = 0;

	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	object = load_only("on_task", 0);
	program = ab_object_find_program(object, "on_task");
	ASSERT(ab_program_is_iterator(program));
	ASSERT_INT(ab_program_iterate(program, take_text, &size, &err), -EINVAL);
	ab_error_clear(&err);
	ASSERT_OK(ab_object_attach(object, &err), err);
	ASSERT_OK(ab_program_iterate(program, take_text, &size, &err), err);
	ASSERT(size >= 10 && size % 5 == 0);
	ab_object_close(object);
	object = load_only("on_task", getpid());
	ASSERT_OK(ab_object_attach(object, &err), err);
	size = 0;
	ASSERT_OK(ab_program_iterate(ab_object_find_program(object, "on_task"), take_text, &size, &err), err);
	if (!*unit_warnings)
		ASSERT_INT(size, 5); /* this process has one thread */
	ab_object_close(object);
}

TEST(struct_ops_register_while_attached)
{
	struct ab_object *object, *twin;
	struct ab_error err = {};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	need_bpf();
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	object = open_object("congestion", 0);
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT(setsockopt(fd, IPPROTO_TCP, 13 /* TCP_CONGESTION */, "anybpf_test", 11) < 0);
	ASSERT_OK(ab_object_attach(object, &err), err);
	ASSERT_INT(setsockopt(fd, IPPROTO_TCP, 13, "anybpf_test", 11), 0);
	ASSERT_INT(ab_program_state(ab_object_find_program(object, "ssthresh")), AB_PROGRAM_ATTACHED);
	twin = open_object("congestion", 0);
	ASSERT_OK(ab_object_load(twin, &err), err);
	ASSERT_INT(ab_object_attach(twin, &err), -EBUSY);
	ASSERT_INT(err.kind, AB_ERROR_BUSY);
	ab_object_close(twin);
	close(fd);
	ab_object_close(object);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	for (int i = 0; i < 100 && !setsockopt(fd, IPPROTO_TCP, 13, "anybpf_test", 11); i++) {
		close(fd); /* the kernel unregisters behind a grace period */
		fd = socket(AF_INET, SOCK_STREAM, 0);
		usleep(10000);
	}
	ASSERT(setsockopt(fd, IPPROTO_TCP, 13, "anybpf_test", 11) < 0);
}

/* ---- targets ---- */

TEST(targets_are_checked_when_set)
{
	static const struct { const char *program, *target; int r; } rows[] = {
		{ "on_tp", "a/b", 0 }, { "on_tp", "a:b", 0 }, { "on_tp", "ab", -EINVAL }, { "on_uprobe", "libc:x", 0 },
		{ "on_uprobe", "libc", -EINVAL }, { "on_uprobe", ":x", -EINVAL }, { "on_uprobe", "libc:", -EINVAL },
		{ "on_xdp", "lo", 0 }, { "on_xdp", "", -EINVAL },
	};
	struct ab_object *object = open_object("attach", 0);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct ab_error err = {};
		int r = ab_program_set_target(ab_object_find_program(object, rows[i].program), rows[i].target, &err);

		if (r != rows[i].r)
			FAIL("%s to '%s': %d %s", rows[i].program, rows[i].target, r, err.msg);
	}
	ab_object_close(object);
}

TEST(several_targets_make_several_links)
{
	struct ab_object *object = open_only("on_tp", 0);
	struct ab_program *program = ab_object_find_program(object, "on_tp");
	struct ab_error err = {};
	uint64_t n;

	ASSERT_OK(ab_program_set_target(program, "syscalls/sys_enter_getppid", &err), err);
	ASSERT_OK(ab_program_set_target(program, "syscalls/sys_enter_getpgid", &err), err);
	ASSERT_OK(ab_object_load(object, &err), err);
	ASSERT_OK(ab_object_attach(object, &err), err);
	getppid();
	n = count(object, TP);
	ASSERT(n > 0);
	getpgid(0);
	ASSERT(count(object, TP) > n);
	ab_object_close(object);
}
