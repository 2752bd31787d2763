/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Failed loads, explained. libbpf says what failed in its messages, with the verifier's log between BEGIN and END lines; this
 * file finds the program, the reason and the source line in them.
 */
#include <ctype.h>
#include <btf/ext.h>
#include "run.h"

#define BEGIN "-- BEGIN PROG LOAD LOG --\n"
#define END "-- END PROG LOAD LOG --"
#define SUMMARY_INSNS 5

/* ---- lines of a log ---- */

struct line {
	const char *p;
	size_t n;
};

static bool next_line(const char **at, struct line *ret)
{
	if (!**at)
		return false;
	ret->p = *at;
	ret->n = strcspn(*at, "\n");
	*at += ret->n + (ret->p[ret->n] == '\n');
	return true;
}

static bool line_starts(const struct line *l, const char *prefix)
{
	return l->n >= strlen(prefix) && !strncmp(l->p, prefix, strlen(prefix));
}

/* "; source text @ file.c:12", which kernels before 6.8 print without the place. */
static bool is_source(const struct line *l)
{
	return l->n > 2 && l->p[0] == ';' && l->p[1] == ' ';
}

/* "12: (85) call ..." or "12: R1=ctx" */
static bool is_numbered(const struct line *l)
{
	size_t i = 0;

	while (i < l->n && isdigit((unsigned char)l->p[i]))
		i++;
	return i && i < l->n && l->p[i] == ':';
}

static bool is_insn(const struct line *l)
{
	const char *colon = memchr(l->p, ':', l->n);

	return is_numbered(l) && colon && l->p + l->n - colon > 3 && colon[2] == '(';
}

/* What says nothing of the reason: statistics, state dumps, tracking. */
static bool is_noise(const struct line *l)
{
	static const char *const prefixes[] = {
		"processed ", "verification time ", "stack depth ", "from ", "mark_precise:", "regs=", "last_idx ",
		"parent ", "first_idx ", "Func#", "Validating ", "func#", "last ", "caller", "returning from callee", "to caller",
		" R", " frame", "arg#", "-- ",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (line_starts(l, prefixes[i]))
			return true;
	if (l->n > 2 && l->p[0] == 'R' && isdigit((unsigned char)l->p[1]) && memchr(l->p, '=', l->n) &&
	    !memchr(l->p, ' ', MIN(l->n, 8u)))
		return true;
	return !l->n || is_numbered(l);
}

/* The last line that is words. */
static struct line find_reason(const char *log)
{
	struct line l, found = {};

	while (next_line(&log, &l))
		if (!is_source(&l) && !is_noise(&l))
			found = l;
	return found;
}

/* The last source line before the reason. */
static struct line find_source(const char *log, const struct line *reason)
{
	struct line l, found = {};

	while (next_line(&log, &l) && (!reason->p || l.p < reason->p))
		if (is_source(&l))
			found = (struct line){ l.p + 2, l.n - 2 };
	return found;
}

char *ab_verifier_summary(const char *log)
{
	struct line ring[SUMMARY_INSNS], l, reason = find_reason(log), source = find_source(log, &reason);
	const char *at = log;
	struct text out = {};
	size_t n = 0;

	while (next_line(&at, &l) && (!reason.p || l.p < reason.p))
		if (is_insn(&l))
			ring[n++ % SUMMARY_INSNS] = l;
	if (source.p)
		text_printf(&out, "; %.*s\n", (int)source.n, source.p);
	for (size_t i = n > SUMMARY_INSNS ? n - SUMMARY_INSNS : 0; i < n; i++) {
		const struct line *insn = &ring[i % SUMMARY_INSNS];

		if (!source.p || insn->p > source.p)
			text_printf(&out, "%.*s\n", (int)insn->n, insn->p);
	}
	if (reason.p)
		text_printf(&out, "%.*s\n", (int)reason.n, reason.p);
	return text_take(&out) ?: strdup("");
}

/* ---- source places ---- */

/* The "file:line" of a source text, from the object's line records; older kernels print the text alone. */
static bool find_place(const struct ab_object *object, const struct line *source, char *ret, size_t cap)
{
	struct ab_elf_info info;
	struct ab_ext *ext;
	bool found = false;

	if (!object->data || ab_elf_check(object->data, object->size, &info, NULL) < 0 ||
	    ab_ext_open(info.btf_ext, info.btf_ext_size, object->btf, &ext, NULL) < 0)
		return false;
	for (size_t i = 0; !found && i < ext->n_lines; i++) {
		const char *text = ext->lines[i].text;

		while (isspace((unsigned char)*text))
			text++;
		found = !strncmp(text, source->p, source->n) && !text[source->n];
		if (found)
			snprintf(ret, cap, "%s:%u", path_base(ext->lines[i].file), ext->lines[i].line);
	}
	ab_ext_close(ext);
	return found;
}

/* Appends " at FILE:LINE: text". */
static void say_source(const struct ab_object *object, const struct line *source, struct text *out)
{
	const char *end = source->p + source->n, *at = end;
	struct line text = *source;
	char place[256] = "";

	if (!source->p)
		return;
	for (const char *p = source->p; p + 3 < end; p++)
		if (!strncmp(p, " @ ", 3))
			at = p;
	if (at < end) {
		snprintf(place, sizeof(place), "%.*s", (int)(end - at - 3), at + 3);
		text.n = at - source->p;
	} else {
		find_place(object, source, place, sizeof(place));
	}
	text_printf(out, " at %s%s%.*s", *place ? path_base(place) : "", *place ? ": " : "", (int)MIN(text.n, 160u), text.p);
}

/* ---- reasons ---- */

/* "prog 'NAME': " in the last of libbpf's messages is the program it gave up on. */
static struct ab_program *find_program(struct ab_object *object)
{
	struct ab_program *found = NULL;
	const char *p = object->said.p, *end;
	char name[256];

	for (; p && (p = strstr(p, "prog '")); p = end) {
		p += strlen("prog '");
		end = p + strcspn(p, "'\n");
		snprintf(name, sizeof(name), "%.*s", (int)MIN((size_t)(end - p), sizeof(name) - 1), p);
		found = ab_object_find_program(object, name) ?: found;
	}
	return found;
}

/* The verifier's log out of libbpf's messages; the caller frees it. */
static char *cut_log(const struct ab_object *object)
{
	const char *begin = object->said.p ? strstr(object->said.p, BEGIN) : NULL, *end;

	if (!begin)
		return NULL;
	begin += strlen(BEGIN);
	end = strstr(begin, END);
	while (end && end > begin && end[-1] != '\n')
		end--;
	return end ? strndup(begin, end - begin) : strdup(begin);
}

/* The length of a type's name without its flavour: the kernel's type is meant by 'task_struct___old' too. */
static int essential_length(const char *name, const char *end)
{
	const char *flavour = memmem(name, end - name, "___", 3);

	return (flavour ? flavour : end) - name;
}

/*
 * "<byte_off> [7] struct task_struct.nosuch.x (0:1 @ offset 4)" and what else libbpf calls the subject of a relocation, for
 * people: kind, type, member.
 */
static void say_relocation(const char *spec, struct text *out)
{
	const char *name = strchr(spec, ']'), *end, *dot, *colons;

	name = name ? name + 1 + strspn(name + 1, " ") : spec;
	end = strstr(name, " (");
	if (!end)
		end = name + strcspn(name, "\n");
	dot = memchr(name, '.', end - name);
	colons = memmem(name, end - name, "::", 2);
	if (colons)
		text_printf(out, "this kernel's %.*s has no '%.*s'", essential_length(name, colons), name,
			    (int)(strcspn(colons + 2, " (\n")), colons + 2);
	else if (dot)
		text_printf(out, "this kernel's %.*s has no member '%.*s' like the program's", essential_length(name, dot), name,
			    (int)(end - dot - 1), dot + 1);
	else
		text_printf(out, "this kernel has no type '%.*s' like the program's", essential_length(name, end), name);
}

static int explain_relocation(struct ab_object *object, const char *program, const char *log, const char *failed,
			      struct ab_error *err)
{
	struct line here = { .p = failed }, source = find_source(log, &here);
	_text_ struct text out = {};

	text_printf(&out, "program '%s': ", program);
	say_relocation(failed + strlen("failed to resolve CO-RE relocation "), &out);
	say_source(object, &source, &out);
	return ab_fail(err, AB_ERROR_RELOCATION, -EINVAL, "%s", out.p ? out.p : "relocation failed");
}

static int explain_refusal(struct ab_object *object, const char *program, const char *log, int code,
			   struct ab_error *err)
{
	const char *failed = strstr(log, "failed to resolve CO-RE relocation ");
	struct line reason = find_reason(log), source = find_source(log, &reason);
	_text_ struct text out = {};

	ab_error_set_log(err, log);
	if (failed)
		return explain_relocation(object, program, log, failed, err);
	text_printf(&out, "program '%s' refused: ", program);
	if (reason.p)
		text_add(&out, reason.p, MIN(reason.n, 200u));
	else
		text_puts(&out, strerror(-code));
	say_source(object, &source, &out);
	return ab_fail(err, AB_ERROR_VERIFIER, code, "%s", out.p ? out.p : "refused");
}

/* "map 'NAME': failed to create: Invalid argument(-22)". */
static int explain_map(struct ab_object *object, int code, struct ab_error *err)
{
	const char *p = object->said.p ? strstr(object->said.p, "': failed to create") : NULL, *name = p;

	while (name && name > object->said.p && name[-1] != '\'')
		name--;
	if (!p || !str_starts(name - MIN(name - object->said.p, 5), "map '"))
		return 0;
	if (code == -EPERM || code == -EACCES)
		return 0;
	if (code == -ENOMEM || code == -E2BIG)
		return ab_fail(err, AB_ERROR_LIMIT, code, "map '%.*s' is too large for this kernel", (int)(p - name), name);
	if (code == -EINVAL)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "map '%.*s' cannot be made: this kernel does not know its "
			       "type, a flag or a size of it", (int)(p - name), name);
	return ab_fail_errno(err, code, "map '%.*s' cannot be made", (int)(p - name), name);
}

/* Failures that libbpf words for developers; what matters to users is in the right column. */
static int explain_known(struct ab_object *object, const struct ab_program *program, int code, struct ab_error *err)
{
	const char *said = object->said.p ? object->said.p : "", *section = program ? ab_program_section(program) : "";
	const char *name = program ? ab_program_name(program) : "", *target;
	char needs[128];
	int r;

	if (strstr(said, "failed to find valid kernel BTF") || strstr(said, "kernel BTF is missing") ||
	    strstr(said, "Error loading vmlinux BTF") || strstr(said, "failed to get target BTF")) {
		snprintf(needs, sizeof(needs), "'%s' needs it", object->name);
		return ab_btf_fail_none(err, needs);
	}
	if (strstr(said, "no BTF-based attach target is specified"))
		return ab_fail(err, AB_ERROR_USAGE, -EINVAL, "program '%s' (%s) needs a target before it is loaded: "
			       "--attach %s=NAME", name, section, name);
	if (program && strstr(said, "failed to find kernel BTF type ID of")) {
		target = program->target_count ? program->targets[0] : ab_program_default_target(program);
		r = ab_explain_target(err, -ENOENT, section, target ? target : section);
		ab_error_prefix(err, "program '%s'", name);
		return r;
	}
	if (program && !strcmp(section, ".text"))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is a function, but no BPF program: "
			       "SEC(\"tracepoint/...\") or the like makes it one", name);
	if (program && strstr(said, "missing BPF prog type"))
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "program '%s': section '%s' is of no kind that libbpf %s "
			       "knows", name, section, libbpf_version_string());
	if (code == -ENOSYS)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "this kernel has no bpf(2)");
	return explain_map(object, code, err);
}

int ab_explain_load(struct ab_object *object, int code, struct ab_program **ret_program, struct ab_error *err)
{
	struct ab_program *program = find_program(object);
	_free_ char *log = cut_log(object);
	char what[300], essence[300];
	int r;

	*ret_program = program;
	r = explain_known(object, program, code, err);
	if (r)
		return r;
	if (program && log && *log && find_reason(log).p)
		return explain_refusal(object, ab_program_name(program), log, code, err);
	ab_log_essence(object, essence, sizeof(essence));
	if (program)
		snprintf(what, sizeof(what), "program '%s' (%s)", ab_program_name(program), ab_program_section(program));
	else
		snprintf(what, sizeof(what), "loading '%s'", object->name);
	if (code == -EPERM || code == -EACCES)
		return ab_explain_permission(err, code, what);
	if (code == -ENOMEM)
		return ab_fail(err, AB_ERROR_NO_MEMORY, code, "%s: the kernel has no memory for it", what);
	if (program && code == -EINVAL)
		return ab_fail(err, AB_ERROR_UNSUPPORTED, -EOPNOTSUPP, "%s: this kernel does not know such programs", what);
	return ab_fail_errno(err, code, "%s: %s", what, *essence ? essence : "refused");
}
