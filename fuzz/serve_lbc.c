/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* coolbpf's protocols: bodies, frames, commands and flags, over a backend of one small kernel that builds nothing. */
#include <bpf/btf.h>
#include <serve/lbc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *btf_data;
static uint32_t btf_size;

static void make_btf(void)
{
	struct btf *btf = btf__new_empty();
	int i_int = btf__add_int(btf, "int", 4, BTF_INT_SIGNED), sock, pointer, proto, inner;
	const void *data;

	inner = btf__add_struct(btf, NULL, 8);
	btf__add_field(btf, "head", i_int, 0, 0);
	btf__add_field(btf, "tail", i_int, 32, 5);
	sock = btf__add_struct(btf, "sock", 12);
	btf__add_field(btf, "sk_family", i_int, 0, 0);
	btf__add_field(btf, "sk_backlog", inner, 32, 0);
	pointer = btf__add_ptr(btf, sock);
	proto = btf__add_func_proto(btf, i_int);
	btf__add_func_param(btf, "sk", pointer);
	btf__add_func(btf, "tcp_sendmsg", BTF_FUNC_GLOBAL, proto);
	btf__add_typedef(btf, "pid_t", i_int);
	data = btf__raw_data(btf, &btf_size);
	btf_data = malloc(btf_size);
	if (!data || !btf_data)
		abort();
	memcpy(btf_data, data, btf_size);
	btf__free(btf);
}

static int build(void *ctx, const struct lbc_client *client, const struct lbc_build *b, struct lbc_built *ret, struct ab_error *err)
{
	for (const char *const *d = b->defines; *d; d++)
		if (!**d || strpbrk(*d, "\n") == *d)
			abort();
	if (b->size % 2)
		return ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "odd");
	ret->data = strndup(b->code, b->size);
	ret->size = b->size;
	ret->diagnostics = strdup("warning");
	return 0;
}

static int read_btf(void *ctx, const char *release, const char *arch, void **ret_data, size_t *ret_size,
		    struct ab_error *err)
{
	if (strchr(release, '/') || strchr(arch, '/') || *release != '5')
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "no such kernel");
	*ret_data = malloc(btf_size);
	if (!*ret_data)
		return ab_fail_memory(err);
	memcpy(*ret_data, btf_data, btf_size);
	*ret_size = btf_size;
	return 0;
}

/* The first byte says how it comes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct lbc_backend backend = { .build = build, .btf = read_btf };
	static const struct lbc_client client = { "192.0.2.1", "request" };
	static struct lbc *lbc;
	_text_ struct text out = {};
	_free_ char *text = NULL;
	char **defines = NULL;

	if (!lbc) {
		make_btf();
		if (ab_lbc_new(&backend, &lbc, NULL) < 0)
			abort();
	}
	if (!size)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	if (*data == 'h')
		ab_lbc_answer(lbc, &client, (const char *)data + 1, size - 1, &out);
	else if (*data == 'f')
		ab_lbc_answer_frame(lbc, &client, (const char *)data + 1, size - 1, &out);
	else if (*data == 'e' && text && !ab_lbc_defines(text, &defines, NULL))
		free(defines);
	else if (size > LBC_FRAME_HEAD && ab_lbc_frame_size((const char *)data) > LBC_FRAME_MAX)
		abort();
	if (*data == 'h' && (out.failed || !out.n || out.p[0] != '{' || out.p[out.n - 1] != '}'))
		abort();
	return 0;
}
