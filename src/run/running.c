/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Which kernel this is: uname(2), and the build id, which is a note in /sys/kernel/notes. */
#include <elf.h>
#include <pthread.h>
#include <sys/utsname.h>
#include <anybpf/min.h>
#include <base/base.h>

#define NOTES "/sys/kernel/notes"
#define NOTES_LIMIT (64u << 10)

static struct utsname names;
static struct ab_kernel running;

static size_t align(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* A note is three words, a name and its content, both padded to words. */
static void read_build_id(const char *data, size_t size)
{
	Elf64_Nhdr note;

	for (size_t at = 0; size - at >= sizeof(note);) {
		const char *name = data + at + sizeof(note);

		memcpy(&note, data + at, sizeof(note));
		at += sizeof(note);
		if (note.n_namesz > size - at || align(note.n_namesz) > size - at ||
		    note.n_descsz > size - at - align(note.n_namesz))
			return;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(name, "GNU", 4) && note.n_descsz &&
		    note.n_descsz <= sizeof(running.build_id)) {
			memcpy(running.build_id, name + 4, note.n_descsz);
			running.build_id_size = note.n_descsz;
			return;
		}
		at += align(note.n_namesz);
		at += MIN(align(note.n_descsz), size - at);
	}
}

static void find_running(void)
{
	_free_ char *data = NULL;
	size_t size;

	uname(&names);
	running = (struct ab_kernel){ .release = names.release, .arch = names.machine, .distribution = "", .flavour = "",
				      .module = "" };
	if (file_read(NOTES, NOTES_LIMIT, &data, &size, NULL) == 0)
		read_build_id(data, size);
}

const struct ab_kernel *ab_min_running(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_running);
	return &running;
}
