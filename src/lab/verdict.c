/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Verdicts by content: the same object, kernel, expectations and anybpf give the same verdict. */
#include <fcntl.h>
#include <sys/stat.h>
#include "test.h"

static char *verdict_path(struct test *t, size_t image, size_t object)
{
	const struct test_object *o = &t->objects[object];
	const struct ab_image *i = t->opts->images[image];
	_text_ struct text key = {};
	char hash[HASH_TEXT], *path;

	if (i->broken)
		return NULL;
	text_printf(&key, "1 %s %s %s %s %u\n", o->hash, i->hash, t->anybpf_hash, o->name, OPT(t->opts, memory_mb));
	for (const char *const *hide = OPT(t->opts, hide); hide && *hide; hide++)
		text_printf(&key, "hide %s\n", *hide);
	for (size_t f = 0; f < o->files.gl_pathc; f++) {
		if (ab_hash_file(o->files.gl_pathv[f], hash, NULL) < 0)
			return NULL;
		text_printf(&key, "file %s %s\n", o->files.gl_pathv[f], hash);
	}
	text_puts(&key, o->expect.text);
	if (key.failed)
		return NULL;
	ab_hash_text(key.p, key.n, hash);
	return ab_lab_path(t->lab, &path, NULL, "verdict/%.2s/%s", hash, hash) < 0 ? NULL : path;
}

static bool is_complete(json_t *doc)
{
	return json_is_string(json_object_get(doc, "verdict")) && json_is_string(json_object_get(doc, "reason")) &&
	       json_is_string(json_object_get(doc, "detail")) && json_is_array(json_object_get(doc, "programs"));
}

json_t *ab_verdict_recall(struct test *t, size_t image, size_t object)
{
	_free_ char *path = verdict_path(t, image, object);
	json_t *doc = path ? json_load_file(path, 0, NULL) : NULL;

	if (doc && is_complete(doc)) {
		/* For the cache's order of use. */
		utimensat(AT_FDCWD, path, NULL, 0);
		return doc;
	}
	json_decref(doc);
	return NULL;
}

void ab_verdict_keep(struct test *t, size_t image, size_t object, json_t *doc)
{
	const char *verdict = json_string_value(json_object_get(doc, "verdict"));
	_free_ char *path = NULL, *text = NULL;

	if (!verdict || !strcmp(verdict, "fail"))
		return;
	path = verdict_path(t, image, object);
	text = json_dumps(doc, JSON_COMPACT);
	if (path && text)
		file_write(path, text, strlen(text), 0644, NULL);
}
