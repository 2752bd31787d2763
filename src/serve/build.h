/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Builds and their records. A record is what is kept of a build under the digest of its question: JSON like the answer
 * (docs/service.md), with "problem" (a kind) and "detail" when the source was refused, and without what follows from it: key,
 * signatures and the artifacts' bytes.
 */
#ifndef AB_SERVE_BUILD_H
#define AB_SERVE_BUILD_H

#include <anybpf/build.h>
#include "jobs.h"

/* The digest of a question: all that decides about the result. */
void ab_build_key(const struct server *server, const struct build_request *build, const struct types *types,
		  char key[HEX_DIGEST_SIZE]);

/*
 * Compiles with a builder: keeps the artifacts and the record, under `key`, in the server's store. Never NULL unless
 * memory ran out.
 */
struct outcome *ab_build_run(struct server *server, struct ab_builder *builder, const struct build_request *build,
			     const struct types *types, const char *key);

/*
 * The answer's body from a record. Errors: -ENOENT an artifact is not there any more; -EBADMSG not a record; -ENOMEM.
 * `*ret_problem`: NULL, or the kind of problem that the body is.
 */
int ab_build_answer(struct server *server, const char *key, const char *request_id, const struct blob *record, bool is_inline,
		    struct text *out, const char **ret_problem);

/* The bytes of an artifact, from memory or disk; NULL: not there. */
struct blob *ab_artifact_get(struct server *server, const char *hex);

#endif
