/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What a build gives, and its forms by file name. */
#include "internal.h"

const void *ab_artifact_object(const struct ab_artifact *a, size_t *ret_size)
{
	if (ret_size)
		*ret_size = a->size;
	return a->object;
}

const char *ab_artifact_diagnostics(const struct ab_artifact *a)
{
	return a->diagnostics ? a->diagnostics : "";
}

bool ab_artifact_used_full_header(const struct ab_artifact *a)
{
	return a->used_full_header;
}

void ab_artifact_free(struct ab_artifact *a)
{
	if (!a)
		return;
	free(a->object);
	free(a->diagnostics);
	free(a);
}

static int encode_skeleton(const struct ab_artifact *a, const char *name, void **ret_data, size_t *ret_size,
			   struct ab_error *err)
{
	_text_ struct text out = {};
	int r = ab_skeleton_write(a->object, a->size, path_base(name), &out, err);

	if (r)
		return r;
	if (out.failed)
		return ab_fail_memory(err);
	*ret_size = out.n;
	*ret_data = TAKE(out.p);
	return 0;
}

int ab_artifact_encode(const struct ab_artifact *a, const char *name, void **ret_data, size_t *ret_size,
		       struct ab_error *err)
{
	void *copy;

	if (str_ends(name, ".so"))
		return ab_library_write(a->object, a->size, ret_data, ret_size, err);
	if (str_ends(name, ".skel.h"))
		return encode_skeleton(a, name, ret_data, ret_size, err);
	if (!str_ends(name, ".o"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s': the name has to end in .o, .so or .skel.h", name);
	copy = malloc(a->size);
	if (!copy)
		return ab_fail_memory(err);
	memcpy(copy, a->object, a->size);
	*ret_data = copy;
	*ret_size = a->size;
	return 0;
}

int ab_artifact_write(const struct ab_artifact *a, const char *path, struct ab_error *err)
{
	_free_ void *data = NULL;
	size_t size;
	int r = ab_artifact_encode(a, path, &data, &size, err);

	return r ? r : file_write(path, data, size, str_ends(path, ".so") ? 0755 : 0644, err);
}
