/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * A build, from source to artifact: scan the source's names, make the kernel header that they need, compile, and
 * compile once more against the whole header if that did not suffice.
 */
#include <btf/btf.h>
#include "arch.h"
#include "bundle.h"
#include "compiler.h"
#include "internal.h"
#include "protocol.h"
#include "scan.h"

enum { SOURCE_LIMIT = 16 << 20, DEFAULT_TIMEOUT_MS = 60000, SPELLING_LIMIT = 1024 /* characters of a name */ };

#define DEFAULT_ISA "v1"

/* Arguments of a compiler. */
struct arguments {
	struct text words; /* NUL after each */
	size_t n;
	const char **list; /* made of them */
};

struct ab_builder {
	struct ab_btf *btf;
	struct compiler *compiler;
	struct arguments usual_args;
	struct compile_request usual; /* what most sources have in common */
	struct bundle *bundle;
	struct text whole_header; /* made when it is first needed */
	bool sandbox;
	struct compile_result last; /* of the last build; its object and log are elsewhere */
};

/* One source on its way. */
struct build {
	struct ab_builder *builder;
	const struct arch *arch;
	const char *name;          /* of the source, as diagnostics show it */
	char *owned_text;
	size_t size;
	struct scan scan;
	struct text header;        /* vmlinux.h */
	struct text *bundled;      /* by index of ab_bundled_headers */
	size_t bundled_count;
	const char *isa;
	const char *const *defines, *const *include_dirs;
	const struct ab_build_file *given; /* files in memory */
	size_t given_count;
	bool color;
	uint32_t timeout_ms;
	int64_t deadline;          /* of all its compiles */
};

/* ---- arguments ---- */

static void add(struct arguments *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct arguments *a, const char *fmt, ...)
{
	va_list args;
	char *word;

	va_start(args, fmt);
	if (vasprintf(&word, fmt, args) < 0) {
		a->words.failed = true;
	} else {
		text_add(&a->words, word, strlen(word) + 1);
		free(word);
		a->n++;
	}
	va_end(args);
}

static int list_words(struct arguments *a)
{
	const char *word = a->words.p;

	a->list = a->words.failed ? NULL : array_new(a->n, sizeof(*a->list));
	for (size_t i = 0; a->list && i < a->n; i++, word += strlen(word) + 1)
		a->list[i] = word;
	return a->list ? 0 : -ENOMEM;
}

static void clear_arguments(struct arguments *a)
{
	text_clear(&a->words);
	free(a->list);
}

/*
 * Those that do not depend on the source. Sources are embedded in the debug information because the BTF of an object quotes
 * their lines and must not look for them on the disk.
 */
static void add_usual_arguments(struct arguments *a, const struct arch *arch)
{
	add(a, "-isystem");
	add(a, BUNDLE_DIR);
	add(a, "-idirafter");
	add(a, "/usr/include/%s", arch->multiarch);
	add(a, "-D%s", arch->define);
	add(a, "-Wall");
	add(a, "-Wno-unused-function");
	add(a, "-Wno-unknown-warning-option");
	add(a, "-Wno-address-of-packed-member");
	add(a, "-Wno-default-const-init-var-unsafe"); /* what BPF_CORE_READ() of a const member does */
	add(a, "-Wno-builtin-macro-redefined");
	add(a, "-D__DATE__=\"Jan  1 1970\""); /* the same source makes the same object at any time */
	add(a, "-D__TIME__=\"00:00:00\"");
	add(a, "-D__TIMESTAMP__=\"Thu Jan  1 00:00:00 1970\"");
	add(a, "-gembed-source");
	add(a, "-fdebug-compilation-dir=/anybpf");
	add(a, "-fdebug-prefix-map=/anybpf=");
	add(a, "-fdebug-prefix-map=%s/=", BUNDLE_DIR);
	add(a, "-fdebug-prefix-map=/usr/include/=");
	add(a, "-fdebug-prefix-map=/usr/lib/=");
}

/* ---- the builder ---- */

/* So that the compiler is ready for sources that want this machine's objects and nothing special. */
static int list_usual(struct ab_builder *b, struct ab_error *err)
{
	const struct arch *arch = ab_arch_find(NULL);

	if (!arch)
		return 0;
	add_usual_arguments(&b->usual_args, arch);
	if (list_words(&b->usual_args))
		return ab_fail_memory(err);
	b->usual = (struct compile_request){ .triple = arch->triple, .isa = DEFAULT_ISA, .args = b->usual_args.list,
					     .arg_count = b->usual_args.n };
	return 0;
}

static int start_compiler(struct ab_builder *b, const struct ab_builder_opts *opts, struct ab_error *err)
{
	int r = list_usual(b, err);

	return r ? r : ab_compiler_new(OPT(opts, compiler), OPT(opts, one_shot), b->sandbox, OPT(opts, cgroup),
				       b->usual.triple ? &b->usual : NULL, &b->compiler, err);
}

int ab_builder_new(const struct ab_builder_opts *opts, struct ab_builder **ret_builder, struct ab_error *err)
{
	const char *btf_path = OPT(opts, btf_path);
	struct ab_builder *b = array_new(1, sizeof(*b));
	int r;

	if (!b)
		return ab_fail_memory(err);
	b->sandbox = OPT(opts, sandbox);
	if (b->sandbox && (OPT(opts, compiler) || OPT(opts, one_shot))) {
		free(b);
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "only the worker that stays compiles in a sandbox");
	}
	/* First, so that it gets warm while the types are read. */
	r = start_compiler(b, opts, err);
	if (!r)
		r = btf_path ? ab_btf_open_file(btf_path, &b->btf, err) : ab_btf_open_kernel(&b->btf, err);
	if (!r)
		r = ab_bundle_new(&b->bundle, err);
	if (!r && b->sandbox)
		r = ab_compiler_wait(b->compiler, err);
	if (r) {
		ab_builder_free(b);
		return r;
	}
	*ret_builder = b;
	return 0;
}

void ab_builder_free(struct ab_builder *b)
{
	if (!b)
		return;
	ab_compiler_free(b->compiler);
	clear_arguments(&b->usual_args);
	ab_bundle_free(b->bundle);
	ab_btf_close(b->btf);
	text_clear(&b->whole_header);
	ab_compile_result_clear(&b->last);
	free(b);
}

const char *ab_builder_compiler(const struct ab_builder *b)
{
	return ab_compiler_name(b->compiler);
}

size_t ab_builder_diagnostic_count(const struct ab_builder *b)
{
	return b->last.diagnostic_count;
}

const struct ab_diagnostic *ab_builder_diagnostic(const struct ab_builder *b, size_t i)
{
	return i < b->last.diagnostic_count ? &b->last.diagnostics[i] : NULL;
}

size_t ab_builder_input_count(const struct ab_builder *b)
{
	return b->last.input_count;
}

const char *ab_builder_input(const struct ab_builder *b, size_t i)
{
	return i < b->last.input_count ? b->last.inputs[i] : NULL;
}

/* ---- headers ---- */

/* Whether the kernel types that were given are those of this machine, by its register struct. */
static bool is_native_types(const struct ab_btf *btf, const struct arch *arch)
{
	for (uint32_t id = ab_btf_find(btf, "pt_regs", BTF_KIND_STRUCT); id;) {
		const struct btf_type *t = ab_btf_type(btf, id);
		const struct btf_member *m = ab_btf_data(t);

		for (uint32_t i = 0; i < ab_btf_vlen(t); i++)
			if (!strcmp(ab_btf_str(btf, m[i].name_off), arch->regs_mark))
				return true;
		/* arm64, s390x and ppc64le keep them in a union or struct that comes first. */
		id = ab_btf_vlen(t) ? ab_btf_resolve(btf, m[0].type) : 0;
		t = ab_btf_type(btf, id);
		if (ab_btf_kind(t) != BTF_KIND_STRUCT && ab_btf_kind(t) != BTF_KIND_UNION)
			break;
	}
	return false;
}

static int make_header(struct ab_builder *b, const struct arch *arch, const struct strmap *names, struct text *out,
		       struct ab_error *err)
{
	bool is_native = is_native_types(b->btf, arch);
	int r;

	if (!is_native)
		text_puts(out, "#define pt_regs pt_regs___other_machine\n#define user_pt_regs user_pt_regs___other_machine\n"
			       "#define user_regs_struct user_regs_struct___other_machine\n");
	r = ab_btf_header(b->btf, names, out, err);
	if (r)
		return r;
	if (!is_native)
		text_printf(out, "#undef pt_regs\n#undef user_pt_regs\n#undef user_regs_struct\n%s", arch->regs);
	return out->failed ? ab_fail_memory(err) : 0;
}

static int make_whole_header(struct build *q, struct ab_error *err)
{
	struct ab_builder *b = q->builder;
	int r = b->whole_header.n ? 0 : ab_btf_header(b->btf, NULL, &b->whole_header, err);

	if (r)
		return r;
	text_clear(&q->header);
	if (is_native_types(b->btf, q->arch))
		text_add(&q->header, b->whole_header.p, b->whole_header.n);
	else
		r = make_header(b, q->arch, NULL, &q->header, err);
	return r ? r : q->header.failed ? ab_fail_memory(err) : 0;
}

/* Fills q->header and q->bundled: for what the source reaches, or with everything. */
static int make_headers(struct build *q, bool everything, struct ab_error *err)
{
	const struct strmap *names = everything ? NULL : &q->scan.names;
	int r = everything ? make_whole_header(q, err) :
			     ab_bundle_reach(q->builder->bundle, &q->scan.includes, &q->scan.names, err);

	if (!r && !everything)
		r = make_header(q->builder, q->arch, names, &q->header, err);
	for (size_t i = 0; i < q->bundled_count && !r; i++) {
		text_clear(&q->bundled[i]);
		r = ab_bundle_write(q->builder->bundle, i, names, &q->bundled[i], err);
	}
	return r;
}

/* ---- one build ---- */

static int take_options(struct build *q, const struct ab_build_opts *opts, struct ab_error *err)
{
	_text_ struct text known = {};
	const char *isa = OPT(opts, isa);

	q->isa = isa ? isa : DEFAULT_ISA;
	if (strlen(q->isa) != 2 || q->isa[0] != 'v' || q->isa[1] < '1' || q->isa[1] > '4')
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not a BPF instruction set: v1, v2, v3, v4", q->isa);
	q->arch = ab_arch_find(OPT(opts, arch));
	if (!q->arch) {
		ab_arch_list(&known);
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not a known machine: %s",
			       OPT(opts, arch) ? OPT(opts, arch) : "this", known.p ? known.p : "");
	}
	q->defines = OPT(opts, defines);
	q->include_dirs = OPT(opts, include_dirs);
	q->scan.include_dirs = q->include_dirs;
	q->given = OPT(opts, files);
	q->given_count = q->given ? OPT(opts, file_count) : 0;
	q->scan.given_only = q->builder->sandbox;
	q->color = OPT(opts, color);
	q->timeout_ms = OPT(opts, timeout_ms) ? OPT(opts, timeout_ms) : DEFAULT_TIMEOUT_MS;
	q->deadline = cc_now() + q->timeout_ms;
	for (const char *const *d = q->defines; d && *d; d++)
		if (!**d || **d == '=' || **d == '-')
			return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "'%s' is not NAME or NAME=VALUE", *d);
	return 0;
}

/* The text in memory, as it was given or copied so that it ends in a NUL. */
static int take_text(struct build *q, const char *path, const char *text, size_t size, struct ab_error *err)
{
	const struct ab_build_file *given = text || !path ? NULL : ab_scan_given(&q->scan, path);

	if (given) {
		text = given->text;
		size = given->size;
	}
	if (!text && q->builder->sandbox)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT, "'%s' is not among the files that were given", path);
	if (!text)
		return file_read(path, SOURCE_LIMIT, &q->owned_text, &q->size, err);
	q->owned_text = malloc(size + 1);
	if (!q->owned_text)
		return ab_fail_memory(err);
	memcpy(q->owned_text, text, size);
	q->owned_text[size] = '\0';
	q->size = size;
	return 0;
}

static int take_source(struct build *q, const char *path, const char *text, size_t size, struct ab_error *err)
{
	int r = ab_scan_give(&q->scan, q->given, q->given_count, err);

	q->name = path && *path && strcmp(path, "-") ? path : "<stdin>";
	if (!r)
		r = take_text(q, path, text, size, err);
	if (!r && q->size >= 4 && !memcmp(q->owned_text, "\177ELF", 4))
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is an object already, not C source", q->name);
	if (!r)
		r = ab_scan_text(&q->scan, q->name, q->owned_text, q->size, err);
	for (const char *const *d = q->defines; d && *d && !r; d++)
		r = ab_scan_names(&q->scan.names, *d, strlen(*d)) ? ab_fail_memory(err) : 0;
	return r;
}

static int start_build(struct build *q, struct ab_builder *b, const char *path, const char *text, size_t size,
		       const struct ab_build_opts *opts, struct ab_error *err)
{
	int r;

	q->builder = b;
	if (!path && !text)
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "no source was given");
	while (ab_bundled_headers[q->bundled_count].name)
		q->bundled_count++;
	q->bundled = array_new(q->bundled_count, sizeof(*q->bundled));
	if (!q->bundled)
		return ab_fail_memory(err);
	r = take_options(q, opts, err);
	return r ? r : take_source(q, path, text, size, err);
}

static void end_build(struct build *q)
{
	for (size_t i = 0; i < q->bundled_count && q->bundled; i++)
		text_clear(&q->bundled[i]);
	free(q->bundled);
	free(q->owned_text);
	text_clear(&q->header);
	ab_scan_clear(&q->scan);
}

/* ---- compiling ---- */

/*
 * Paths in an object are relative to where the file was found, so that neither the machine nor the working directory shows: the
 * source's own directory, each -I, and the system's.
 */
/* Clang compares a name that it does not know with every name that it knows: 40,000 characters take it seconds. */
static bool has_long_name(const struct build *q)
{
	const struct strmap *names = &q->scan.names;

	for (size_t i = 0; i < names->n; i++)
		if (names->entries[i].len > SPELLING_LIMIT)
			return true;
	return false;
}

static void add_arguments(struct arguments *a, const struct build *q)
{
	size_t dir = path_base(q->name) - q->name;

	add_usual_arguments(a, q->arch);
	for (const char *const *d = q->include_dirs; d && *d; d++) {
		add(a, "-I");
		add(a, "%s", *d);
		add(a, "-fdebug-prefix-map=%s%s=", *d, str_ends(*d, "/") ? "" : "/");
	}
	for (const char *const *d = q->defines; d && *d; d++)
		add(a, "-D%s", *d);
	if (q->color)
		add(a, "-fcolor-diagnostics");
	if (has_long_name(q))
		add(a, "-fno-spell-checking");
	if (dir)
		add(a, "-fdebug-prefix-map=%.*s=", (int)dir, q->name);
}

/* The source, the kernel's types, the bundled headers, and what else was given. */
static size_t fill_files(const struct build *q, struct ab_build_file *files, char (*names)[64])
{
	const struct ab_build_file *source = ab_scan_given(&q->scan, q->name);
	size_t n = 0;

	files[n++] = (struct ab_build_file){ q->name, q->owned_text, q->size };
	files[n++] = (struct ab_build_file){ BUNDLE_DIR "/vmlinux.h", q->header.p ? q->header.p : "", q->header.n };
	for (size_t i = 0; i < q->bundled_count; i++) {
		snprintf(names[i], sizeof(names[i]), "%s/%s", BUNDLE_DIR, ab_bundled_headers[i].name);
		files[n++] = (struct ab_build_file){ names[i], q->bundled[i].p ? q->bundled[i].p : "", q->bundled[i].n };
	}
	for (size_t i = 0; i < q->given_count; i++)
		if (&q->given[i] != source)
			files[n++] = q->given[i];
	return n;
}

static int compile(const struct build *q, struct compile_result *result, struct ab_error *err)
{
	struct arguments a = {};
	struct ab_build_file *files = array_new(q->bundled_count + 2 + q->given_count, sizeof(*files));
	char (*names)[64] = array_new(q->bundled_count, sizeof(*names));
	struct compile_request request = { .main_name = q->name, .triple = q->arch->triple, .isa = q->isa,
					   .timeout_ms = q->timeout_ms, .deadline = q->deadline, .files = files };
	int r = -ENOMEM;

	add_arguments(&a, q);
	if (files && names && list_words(&a) == 0) {
		request.args = a.list;
		request.arg_count = a.n;
		request.file_count = fill_files(q, files, names);
		r = ab_compiler_run(q->builder->compiler, &request, result, err);
	} else {
		ab_fail_memory(err);
	}
	free(files);
	free(names);
	clear_arguments(&a);
	return r;
}

/* ---- what the compiler said ---- */

static const struct ab_diagnostic *first_error(const struct compile_result *result)
{
	for (size_t i = 0; i < result->diagnostic_count; i++)
		if (result->diagnostics[i].severity >= AB_SEVERITY_ERROR)
			return &result->diagnostics[i];
	return NULL;
}

/* A file that is missing is missing with the whole header too. */
static bool is_hopeless(const struct compile_result *result)
{
	const struct ab_diagnostic *d = first_error(result);

	return d && d->severity == AB_SEVERITY_FATAL && str_ends(d->message, "file not found");
}

/* The name that a diagnostic complains not to know, which the caller frees, or NULL. */
static char *unknown_name(const struct ab_diagnostic *d)
{
	static const char *const about[] = { "unknown type name", "use of undeclared identifier", "incomplete" };

	for (size_t i = 0; i < ARRAY_SIZE(about); i++) {
		const char *at = strstr(d->message, about[i]);
		const char *from = at ? strchr(at, '\'') : NULL, *to = from ? strchr(from + 1, '\'') : NULL;

		for (const char *p = from; to && p < to; p++)
			if (*p == ' ')
				from = p;
		if (to)
			return strndup(from + 1, to - from - 1);
	}
	return NULL;
}

/* Adds a note in the words of the compiler, to the log and after diagnostic `index`. */
static int add_note(struct compile_result *result, size_t index, char *message)
{
	const struct ab_diagnostic *about = &result->diagnostics[index];
	struct ab_diagnostic note = { AB_SEVERITY_NOTE, about->line, about->column, strdup(about->file), message };

	if (message)
		text_printf(&result->log, "%s:%u:%u: note: %s\n", about->file, about->line, about->column, message);
	return ab_compile_result_add(result, index + 1, note);
}

static int suggest_names(const struct build *q, struct compile_result *result)
{
	_strmap_ struct strmap said = {};
	int r = 0;

	for (size_t i = 0; i < result->diagnostic_count && !r; i++) {
		const struct ab_diagnostic *d = &result->diagnostics[i];
		_free_ char *name = d->severity >= AB_SEVERITY_ERROR ? unknown_name(d) : NULL;
		_free_ char *nearest = NULL;
		bool is_new = false;
		char *message;

		if (!name || !strmap_put(&said, name, strlen(name), &is_new) || !is_new)
			continue;
		nearest = ab_btf_nearest(q->builder->btf, name);
		if (!nearest)
			continue;
		if (asprintf(&message, "this kernel's types have no '%s'; the nearest name is '%s'", name, nearest) < 0)
			message = NULL;
		r = add_note(result, i, message);
	}
	return r;
}

static int report_errors(const struct build *q, struct compile_result *result, struct ab_error *err)
{
	const struct ab_diagnostic *d;
	int r;

	if (suggest_names(q, result))
		return ab_fail_memory(err);
	d = first_error(result);
	if (d && *d->file)
		r = ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s:%u:%u: %s", d->file, d->line, d->column, d->message);
	else
		r = ab_fail(err, AB_ERROR_COMPILE, -EINVAL, "%s: %s", q->name,
			    d ? d->message : "the compiler made no object");
	if (result->log.p)
		ab_error_set_log(err, result->log.p);
	return r;
}

/* What compiles and is not what was meant. */
static int warn_of_object(const struct build *q, const struct object_facts *facts, struct compile_result *result)
{
	const char *message = "no license: many helpers refuse a program without char LICENSE[] SEC(\"license\") = \"GPL\";";

	if (facts->has_program && facts->has_license)
		return 0;
	if (!facts->has_program)
		message = "no BPF program: SEC(\"tracepoint/...\") or the like makes a function one";
	text_printf(&result->log, "%s: warning: %s\n", q->name, message);
	return ab_compile_result_add(result, result->diagnostic_count,
				     (struct ab_diagnostic){ .severity = AB_SEVERITY_WARNING, .file = strdup(q->name),
							     .message = strdup(message) });
}

static int make_artifact(const struct build *q, struct compile_result *result, bool full,
			 struct ab_artifact **ret_artifact, struct ab_error *err)
{
	struct ab_artifact *a = array_new(1, sizeof(*a));
	struct object_facts facts;
	int r;

	if (!a)
		return ab_fail_memory(err);
	r = ab_strip(result->object, result->object_size, &a->object, &a->size, &facts, err);
	if (!r && warn_of_object(q, &facts, result))
		r = ab_fail_memory(err);
	if (!r && result->log.failed)
		r = ab_fail_memory(err);
	if (r) {
		ab_error_prefix(err, "%s", q->name);
		ab_artifact_free(a);
		return r;
	}
	a->diagnostics = TAKE(result->log.p);
	a->used_full_header = full;
	*ret_artifact = a;
	return 0;
}

static int build(struct build *q, bool full, struct ab_artifact **ret_artifact, struct ab_error *err)
{
	struct compile_result *result = &q->builder->last;
	int r = make_headers(q, full, err);

	if (!r)
		r = compile(q, result, err);
	if (!r && !result->ok && !full && !is_hopeless(result)) {
		full = true;
		ab_compile_result_clear(result);
		r = make_headers(q, true, err);
		if (!r)
			r = compile(q, result, err);
	}
	if (!r)
		r = result->ok ? make_artifact(q, result, full, ret_artifact, err) : report_errors(q, result, err);
	free(result->object);
	result->object = NULL;
	text_clear(&result->log);
	return r;
}

int ab_builder_build(struct ab_builder *b, const char *path, const char *text, size_t size,
		     const struct ab_build_opts *opts, struct ab_artifact **ret_artifact, struct ab_error *err)
{
	struct build q = {};
	int r;

	ab_compile_result_clear(&b->last);
	r = start_build(&q, b, path, text, size, opts, err);
	if (!r)
		r = build(&q, OPT(opts, full_header), ret_artifact, err);
	end_build(&q);
	return r;
}

/* What libbpf's own bpf_helper_defs.h names; ours is cut to what a source reaches, but this header may meet theirs. */
static const char helper_types[] = "__u8 __u16 __u32 __u64 __s8 __s16 __s32 __s64 __be16 __be32 __wsum";

int ab_builder_header(struct ab_builder *b, const char *path, const char *text, size_t size,
		      const struct ab_build_opts *opts, char **ret_text, size_t *ret_size, struct ab_error *err)
{
	bool whole = !path && !text;
	struct build q = {};
	int r = start_build(&q, b, path, whole ? "" : text, size, opts, err);

	if (!r && ab_scan_names(&q.scan.names, helper_types, strlen(helper_types)))
		r = ab_fail_memory(err);
	if (!r)
		r = make_headers(&q, whole || OPT(opts, full_header), err);
	if (!r) {
		*ret_size = q.header.n;
		*ret_text = TAKE(q.header.p);
	}
	end_build(&q);
	return r;
}
