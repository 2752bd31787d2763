/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Attaching to what the network and cgroups have: interfaces, cgroups, network namespaces, socket maps, packet sockets. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>
#include "run.h"

/* Attach types of 6.6, which headers of older distributions lack. */
#define TCX_INGRESS ((enum bpf_attach_type)46)
#define TCX_EGRESS ((enum bpf_attach_type)47)

static int find_interface(const char *name, size_t n, int *ret_index, struct ab_error *err)
{
	char copy[IF_NAMESIZE];
	unsigned index;

	if (n && n < sizeof(copy)) {
		memcpy(copy, name, n);
		copy[n] = '\0';
		index = if_nametoindex(copy);
		if (index) {
			*ret_index = (int)index;
			return 0;
		}
	}
	return ab_fail(err, AB_ERROR_NOT_FOUND, -ENODEV, "no network interface '%.*s'", (int)MIN(n, 64u), name);
}

static int explain(struct ab_error *err, int code, const char *target)
{
	if (code == -EPERM || code == -EACCES)
		return ab_explain_permission(err, code, target);
	if (code == -EBUSY || code == -EEXIST)
		return ab_fail(err, AB_ERROR_BUSY, -EBUSY, "%s: another program is attached there", target);
	return ab_fail_errno(err, code, "%s", target);
}

/* ---- interfaces ---- */

/* A driver that refuses (frame size, queues) leaves the generic mode, which works for every interface. */
int ab_attach_xdp(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	LIBBPF_OPTS(bpf_link_create_opts, generic, .flags = XDP_FLAGS_SKB_MODE);
	int prog = bpf_program__fd(program->bpf), ifindex, fd, r;

	r = find_interface(target, strlen(target), &ifindex, err);
	if (r < 0)
		return r;
	fd = bpf_link_create(prog, ifindex, BPF_XDP, NULL);
	if (fd < 0 && errno != EPERM && errno != EBUSY) {
		fd = bpf_link_create(prog, ifindex, BPF_XDP, &generic);
		if (fd >= 0)
			ab_object_warn(program->object, "program '%s' runs in generic XDP mode: the driver of '%s' refused it",
				       ab_program_name(program), target);
	}
	return fd < 0 ? explain(err, -errno, target) : ab_link_add_fd(link, fd, err);
}

/* The qdisc that we made goes with our filter; one that was there stays. */
static void detach_tc(struct ab_link *link)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = link->tc.ifindex, .attach_point = link->tc.point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = link->tc.handle, .priority = link->tc.priority);

	bpf_tc_detach(&hook, &opts);
	if (link->tc.made_qdisc) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&hook);
	}
}

/* Kernels before 6.6: a classifier in direct-action mode under a clsact qdisc. */
static int attach_classifier(struct ab_program *program, int ifindex, bool egress, const char *target,
			     struct ab_link *link, struct ab_error *err)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = bpf_program__fd(program->bpf));
	int made = bpf_tc_hook_create(&hook), r;

	if (made < 0 && made != -EEXIST)
		return explain(err, made, target);
	link->tc.made_qdisc = !made;
	r = bpf_tc_attach(&hook, &opts);
	if (r < 0) {
		if (!made) {
			hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
			bpf_tc_hook_destroy(&hook);
		}
		return explain(err, r, target);
	}
	link->tc.ifindex = ifindex;
	link->tc.point = hook.attach_point;
	link->tc.handle = opts.handle;
	link->tc.priority = opts.priority;
	link->detach = detach_tc;
	return 0;
}

int ab_attach_tc(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	const char *colon = strchr(target, ':'), *side = colon ? colon + 1 : "ingress";
	bool egress = !strcmp(side, "egress");
	int ifindex, fd, r;

	if (!egress && strcmp(side, "ingress"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s': not IFNAME, IFNAME:ingress or IFNAME:egress", target);
	r = find_interface(target, colon ? (size_t)(colon - target) : strlen(target), &ifindex, err);
	if (r < 0)
		return r;
	if (bpf_program__type(program->bpf) == BPF_PROG_TYPE_SCHED_CLS) {
		fd = bpf_link_create(bpf_program__fd(program->bpf), ifindex, egress ? TCX_EGRESS : TCX_INGRESS, NULL);
		if (fd >= 0)
			return ab_link_add_fd(link, fd, err);
	}
	return attach_classifier(program, ifindex, egress, target, link, err);
}

/* A packet socket whose filter is the program: it sees each frame of the interface, and what it lets through nobody reads. */
int ab_attach_socket(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int prog = bpf_program__fd(program->bpf), ifindex, fd, small = 0, r;

	r = find_interface(target, strlen(target), &ifindex, err);
	if (r < 0)
		return r;
	/* Protocol 0 until bind(): no frame may come before the filter is there. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return explain(err, -errno, target);
	address.sll_ifindex = ifindex;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &prog, sizeof(prog)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		r = explain(err, -errno, target);
		close(fd);
		return r;
	}
	return ab_link_add_fd(link, fd, err);
}

/* ---- cgroups, namespaces, maps ---- */

static void detach_old(struct ab_link *link)
{
	bpf_prog_detach2(link->old.prog_fd, link->old.target_fd, (enum bpf_attach_type)link->old.type);
}

/* Attaching without a link, as kernels before 5.7 do it; `target_fd` stays open as long as the link. */
static int attach_old(struct ab_program *program, int target_fd, unsigned flags, const char *target,
		      struct ab_link *link, struct ab_error *err)
{
	enum bpf_attach_type type = bpf_program__expected_attach_type(program->bpf);
	int prog = bpf_program__fd(program->bpf);

	if (bpf_prog_attach(prog, target_fd, type, flags) < 0)
		return explain(err, -errno, target);
	link->old.prog_fd = prog;
	link->old.target_fd = target_fd;
	link->old.type = (int)type;
	link->detach = detach_old;
	return 0;
}

int ab_attach_cgroup(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	int fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC), made, r;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "cgroup '%s'", target);
	r = ab_link_add_fd(link, fd, err);
	if (r < 0)
		return r;
	made = bpf_link_create(bpf_program__fd(program->bpf), fd, bpf_program__expected_attach_type(program->bpf), NULL);
	if (made >= 0)
		return ab_link_add_fd(link, made, err);
	if (errno == EBADF)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not a directory of cgroup2 (mounted at %s as a rule)",
			       target, "/sys/fs/cgroup");
	if (errno != EINVAL)
		return explain(err, -errno, target);
	return attach_old(program, fd, BPF_F_ALLOW_MULTI, target, link, err);
}

int ab_attach_netns(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	_close_ int fd = open(target, O_RDONLY | O_CLOEXEC);
	struct bpf_link *bpf;

	if (fd < 0)
		return ab_fail_errno(err, -errno, "network namespace '%s'", target);
	bpf = bpf_program__attach_netns(program->bpf, fd);
	return bpf ? ab_link_add(link, bpf, err) : explain(err, -errno, target);
}

int ab_attach_sockmap(struct ab_program *program, const char *target, struct ab_link *link, struct ab_error *err)
{
	struct ab_map *map = ab_object_find_map(program->object, target);

	if (!map)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "the object has no map '%s'", target);
	return attach_old(program, ab_map_fd(map), 0, target, link, err);
}
