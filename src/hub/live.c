/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The running kernel and its modules. */
#include <dirent.h>
#include <sys/utsname.h>
#include "hub.h"

/* NAME=VALUE or NAME="VALUE" of os-release(5). */
static size_t find_variable(const char *text, const char *name, const char **ret)
{
	size_t n = strlen(name);

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (strncmp(p, name, n) || p[n] != '=')
			continue;
		*ret = p + n + 1 + (p[n + 1] == '"');
		return strcspn(*ret, "\"\n");
	}
	return 0;
}

static void identify_distribution(struct identity *id)
{
	const char *name, *version = "";
	_free_ char *text = NULL;
	char both[64];
	size_t size, n, version_size;

	if (file_read("/etc/os-release", 65536, &text, &size, NULL) < 0 || !(n = find_variable(text, "ID", &name)))
		return;
	version_size = find_variable(text, "VERSION_ID", &version);
	if (n == 6 && !strncmp(name, "debian", n))
		version_size = 0;
	snprintf(both, sizeof(both), "%.*s%s%.*s", (int)n, name, version_size ? "-" : "", (int)version_size, version);
	identity_set(id->distribution, both);
}

static void read_build_id(struct identity *id, const char *path)
{
	_free_ char *notes = NULL;
	size_t size, at = 0;
	uint32_t head[3];

	if (file_read(path, 65536, &notes, &size, NULL) < 0)
		return;
	while (at + sizeof(head) <= size) {
		memcpy(head, notes + at, sizeof(head));
		at += sizeof(head);
		if (head[0] > size - at || head[1] > size)
			return;
		if (head[2] == 3 && head[0] == 4 && !memcmp(notes + at, "GNU", 4) && head[1] <= sizeof(id->build_id) &&
		    head[1] <= size - at - 4) {
			memcpy(id->build_id, notes + at + 4, head[1]);
			id->build_id_size = head[1];
			return;
		}
		at += ((head[0] + 3ull) & ~3ull) + ((head[1] + 3ull) & ~3ull);
	}
}

static int import_one(struct importing *at, struct identity id, const char *name, struct ab_error *err)
{
	_free_ char *btf = NULL;
	char path[300];
	size_t size;
	int r;

	snprintf(path, sizeof(path), LIVE_DIR "/%s", name);
	r = file_read(path, BTF_LIMIT, &btf, &size, err);
	if (r < 0)
		return r;
	if (strcmp(name, "vmlinux")) {
		identity_set(id.module, name);
		id.build_id_size = 0;
		snprintf(path, sizeof(path), "/sys/module/%s/notes/.note.gnu.build-id", name);
		read_build_id(&id, path);
	}
	return ab_import_found(at, &id, btf, size, NULL, false, err);
}

int ab_import_live(struct importing *at, struct ab_error *err)
{
	struct identity id = {};
	struct dirent *entry;
	struct utsname uts;
	DIR *dir;
	int r;

	if (uname(&uts) < 0)
		return ab_fail_errno(err, -errno, "uname");
	identity_set(id.release, uts.release);
	identity_set(id.arch, uts.machine);
	identify_distribution(&id);
	read_build_id(&id, "/sys/kernel/notes");
	ab_identity_finish(&id);
	r = import_one(at, id, "vmlinux", err);
	if (r < 0 || !ab_import_opts(at)->modules)
		return r;
	dir = opendir(LIVE_DIR);
	if (!dir)
		return ab_fail_errno(err, -errno, "'%s'", LIVE_DIR);
	while (r >= 0 && (entry = readdir(dir)))
		if (*entry->d_name != '.' && strcmp(entry->d_name, "vmlinux"))
			r = import_one(at, id, entry->d_name, err);
	closedir(dir);
	return r;
}
