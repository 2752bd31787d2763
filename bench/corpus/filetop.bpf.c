/* SPDX-License-Identifier: GPL-2.0-only */
/* Which files are read and written most, with their path up to eight names deep and their file system. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define PARTS 8
#define PART 32
#define S_IFMT 00170000
#define S_IFREG 0100000

struct id {
	u64 inode;
	u32 dev, pid, tid;
};

struct file_stat {
	u64 reads, read_bytes, writes, write_bytes, largest;
	u32 pid, tid, uid;
	char type;
	char comm[16];
	char fs[16];
	char cgroup[32];
	char parts[PARTS][PART];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, struct id);
	__type(value, struct file_stat);
} entries SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct file_stat);
} scratch SEC(".maps");

const volatile pid_t target_pid = 0;
const volatile bool regular_only = true;

enum direction { READ, WRITE };

static __always_inline void read_path(struct dentry *dentry, struct file_stat *s)
{
#pragma unroll
	for (int i = 0; i < PARTS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);

		bpf_probe_read_kernel_str(s->parts[i], PART, name);
		if (parent == dentry)
			break;
		dentry = parent;
	}
}

static __always_inline void fill(struct file_stat *s, struct file *file, umode_t mode, u64 id)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	const char *name;

	s->pid = id >> 32;
	s->tid = id;
	s->uid = bpf_get_current_uid_gid();
	s->type = (mode & S_IFMT) == S_IFREG ? 'R' : 'O';
	bpf_get_current_comm(&s->comm, sizeof(s->comm));
	name = BPF_CORE_READ(file, f_inode, i_sb, s_type, name);
	bpf_probe_read_kernel_str(s->fs, sizeof(s->fs), name);
	name = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, name);
	bpf_probe_read_kernel_str(s->cgroup, sizeof(s->cgroup), name);
	read_path(BPF_CORE_READ(file, f_path.dentry), s);
}

static __always_inline int count_io(struct file *file, size_t count, enum direction direction)
{
	u64 id = bpf_get_current_pid_tgid();
	struct id key = { .pid = id >> 32, .tid = id };
	u32 zero = 0;
	umode_t mode;
	struct file_stat *s;

	if (target_pid && target_pid != id >> 32)
		return 0;
	mode = BPF_CORE_READ(file, f_inode, i_mode);
	if (regular_only && (mode & S_IFMT) != S_IFREG)
		return 0;
	key.dev = BPF_CORE_READ(file, f_inode, i_sb, s_dev);
	key.inode = BPF_CORE_READ(file, f_inode, i_ino);
	s = bpf_map_lookup_elem(&entries, &key);
	if (!s) {
		struct file_stat *fresh = bpf_map_lookup_elem(&scratch, &zero);

		if (!fresh)
			return 0;
		__builtin_memset(fresh, 0, sizeof(*fresh));
		fill(fresh, file, mode, id);
		bpf_map_update_elem(&entries, &key, fresh, BPF_ANY);
		s = bpf_map_lookup_elem(&entries, &key);
		if (!s)
			return 0;
	}
	if (direction == READ) {
		s->reads++;
		s->read_bytes += count;
	} else {
		s->writes++;
		s->write_bytes += count;
	}
	if (count > s->largest)
		s->largest = count;
	return 0;
}

SEC("kprobe/vfs_read")
int BPF_KPROBE(vfs_read_entry, struct file *file, char *buf, size_t count)
{
	return count_io(file, count, READ);
}

SEC("kprobe/vfs_write")
int BPF_KPROBE(vfs_write_entry, struct file *file, const char *buf, size_t count)
{
	return count_io(file, count, WRITE);
}

SEC("fentry/vfs_readv")
int BPF_PROG(vfs_readv_entry, struct file *file, const struct iovec *vec, unsigned long vlen)
{
	return count_io(file, vlen, READ);
}

SEC("fexit/vfs_writev")
int BPF_PROG(vfs_writev_exit, struct file *file, const struct iovec *vec, unsigned long vlen)
{
	return count_io(file, vlen, WRITE);
}

char LICENSE[] SEC("license") = "GPL";
