/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Who owns what is in the service's directories (owner.h). */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <base/base.h>
#include "owner.h"

void ab_give_to_owner(const char *path)
{
	size_t n = path_base(path) - path;
	_free_ char *dir = n ? strndup(path, n) : strdup(".");
	/*
	 * The directory's owner may have put something else at this place meanwhile: a link is not followed. And O_PATH: to
	 * close a file that was opened would end SQLite's locks on it (fcntl(2)).
	 */
	_close_ int fd = geteuid() ? -1 : open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat of_dir, st;

	if (fd < 0 || !dir || stat(dir, &of_dir) < 0 || fstat(fd, &st) < 0 || st.st_uid || !of_dir.st_uid)
		return;
	if (S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1))
		(void)!fchownat(fd, "", of_dir.st_uid, of_dir.st_gid, AT_EMPTY_PATH);
}
