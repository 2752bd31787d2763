/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Why a relocation has no answer in a kernel's types, and the way out: where the member went, what it is called there, how
 * to ask first.
 */
#include <ctype.h>
#include "check.h"

#define NESTING 4       /* how deep a member is looked for in what its struct contains */
#define STRUCTS_MAX 256 /* and in how many structs */

/* Where a member was looked for: its struct in the object's types, and what the kernel has by that name. */
struct place {
	const struct ab_btf *local, *types;
	uint32_t ours, theirs; /* struct or union; theirs 0: the kernel has none */
	const char *member;
	uint32_t index;        /* of the member in ours */
};

/* Accessors that bpf/core_fixes.bpf.h has for what moved. */
static const struct {
	const char *type, *member, *accessor;
} fixes[] = {
	{ "task_struct", "state", "ab_task_state()" },
	{ "task_struct", "__state", "ab_task_state()" },
	{ "task_struct", "start_boottime", "ab_task_start_boottime()" },
	{ "task_struct", "real_start_time", "ab_task_start_boottime()" },
	{ "task_struct", "cpu", "ab_task_cpu()" },
	{ "thread_info", "cpu", "ab_task_cpu()" },
	{ "task_struct", "thread_pid", "ab_task_ns_tid()" },
	{ "task_struct", "pids", "ab_task_ns_tid()" },
	{ "thread_struct", "fsbase", "ab_task_fsbase()" },
	{ "page", "flags", "ab_page_flags()" },
	{ "inode", "i_atime", "ab_inode_atime()" },
	{ "inode", "i_mtime", "ab_inode_mtime()" },
	{ "inode", "i_ctime", "ab_inode_ctime()" },
	{ "inode", "__i_ctime", "ab_inode_ctime()" },
	{ "kernfs_node", "id", "ab_kernfs_id()" },
	{ "kernfs_node", "ino", "ab_kernfs_id()" },
	{ "kernfs_node", "parent", "ab_kernfs_parent()" },
	{ "kernfs_node", "__parent", "ab_kernfs_parent()" },
	{ "request", "rq_disk", "ab_request_disk()" },
	{ "bio", "bi_disk", "ab_bio_disk()" },
	{ "bio", "bi_bdev", "ab_bio_disk()" },
	{ "sk_buff", "tstamp", "ab_skb_tstamp()" },
	{ "iov_iter", "iov", "ab_msghdr_base()" },
	{ "iov_iter", "__iov", "ab_msghdr_base()" },
	{ "net", "proc_inum", "ab_net_inum()" },
};

static bool is_composite(const struct btf_type *t)
{
	return ab_btf_kind(t) == BTF_KIND_STRUCT || ab_btf_kind(t) == BTF_KIND_UNION;
}

static const char *kind_word(const struct btf_type *t)
{
	switch (ab_btf_kind(t)) {
	case BTF_KIND_STRUCT: return "struct ";
	case BTF_KIND_UNION: return "union ";
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64: return "enum ";
	default: return "type ";
	}
}

uint32_t ab_check_find_type(const struct ab_btf *types, const struct ab_btf *local, uint32_t id)
{
	const struct btf_type *t = ab_btf_type(local, id);
	const char *full = ab_btf_name(local, t);
	_free_ char *name = strndup(full, ab_core_name_length(full));
	uint32_t found = name ? ab_btf_find(types, name, ab_btf_kind(t)) : 0;

	if (!found && name && ab_btf_kind(t) == BTF_KIND_ENUM)
		found = ab_btf_find(types, name, BTF_KIND_ENUM64);
	return found;
}

/* A member by name, also inside of unnamed members; its type, or 0. */
static uint32_t find_member(const struct ab_btf *btf, uint32_t id, const char *name, int depth)
{
	const struct btf_type *t = ab_btf_type(btf, ab_btf_resolve(btf, id));
	const struct btf_member *m = ab_btf_data(t);

	if (!is_composite(t) || depth > NESTING)
		return 0;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		const char *own = ab_btf_str(btf, m[i].name_off);
		uint32_t found = 0;

		if (*own && !strcmp(own, name))
			return m[i].type;
		if (!*own)
			found = find_member(btf, m[i].type, name, depth + 1);
		if (found)
			return found;
	}
	return 0;
}

/* ---- where it went ---- */

struct search {
	const struct place *place;
	unsigned visited;
	char *path;
};

/* Looks for the member inside of named members: "thread_info.cpu". */
static bool search_nested(struct search *s, uint32_t id, const char *prefix, int depth)
{
	const struct ab_btf *types = s->place->types;
	const struct btf_type *t = ab_btf_type(types, ab_btf_resolve(types, id));
	const struct btf_member *m = ab_btf_data(t);

	if (!is_composite(t) || depth > NESTING || ++s->visited > STRUCTS_MAX)
		return false;
	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		const char *name = ab_btf_str(types, m[i].name_off);
		_free_ char *path = NULL;

		if (asprintf(&path, "%s%s%s", prefix, *prefix && *name ? "." : "", name) < 0)
			return false;
		if (depth && *name && !strcmp(name, s->place->member) && *prefix) {
			s->path = TAKE(path);
			return true;
		}
		if (search_nested(s, m[i].type, path, depth + 1))
			return true;
	}
	return false;
}

/* A name without the underscores in front. */
static const char *bare(const char *name)
{
	return name + strspn(name, "_");
}

/*
 * How likely `name` is what the member is called there: 0 not at all. The same words count most, then the same type
 * between the same neighbours, then a similar spelling.
 */
static int likeness(const struct place *p, const char *name, const char *before, uint32_t type)
{
	const struct btf_member *ours = ab_btf_data(ab_btf_type(p->local, p->ours));
	_text_ struct text a = {}, b = {};
	bool same_type, neighbour;

	if (!strcmp(bare(name), bare(p->member)))
		return 100;
	ab_btf_type_name(p->local, ab_btf_resolve(p->local, ours[p->index].type), &a);
	ab_btf_type_name(p->types, ab_btf_resolve(p->types, type), &b);
	same_type = a.p && b.p && !strcmp(a.p, b.p);
	neighbour = *before && p->index && !strcmp(before, ab_btf_str(p->local, ours[p->index - 1].name_off));
	if (MIN(strlen(bare(p->member)), strlen(bare(name))) > 3 &&
	    (strstr(name, bare(p->member)) || strstr(p->member, bare(name))))
		return same_type ? 60 : 30;
	if (same_type && neighbour)
		return 50;
	if (strlen(p->member) > 4 && str_distance(name, p->member, 1) <= 1)
		return 20;
	return 0;
}

/* The kernel's member that is most likely it, and that the object's own struct does not have beside it. */
static const char *find_renamed(const struct place *p)
{
	const struct btf_type *t = ab_btf_type(p->types, p->theirs);
	const struct btf_member *m = ab_btf_data(t);
	const char *best = NULL, *before = "";
	int most = 0;

	for (uint32_t i = 0; i < ab_btf_vlen(t); i++) {
		const char *name = ab_btf_str(p->types, m[i].name_off);
		int like = *name && !find_member(p->local, p->ours, name, 0) ? likeness(p, name, before, m[i].type) : 0;

		if (like > most) {
			most = like;
			best = name;
		}
		before = name;
	}
	return best;
}

/* ---- words ---- */

#define OTHER_ARCH "the object was built for another architecture: 'anybpf build --arch' builds it for this one"

static void say_fix(const char *type, const char *member, struct text *hint)
{
	size_t n = ab_core_name_length(type);

	for (size_t i = 0; i < ARRAY_SIZE(fixes); i++)
		if (strlen(fixes[i].type) == n && !memcmp(fixes[i].type, type, n) && !strcmp(fixes[i].member, member))
			text_printf(hint, "%s%s of core_fixes.bpf.h reads it on all kernels", hint->n ? "; " : "",
				    fixes[i].accessor);
}

/* Structs that bpf_tracing.h reads registers from: each architecture has others. */
static bool is_registers(const char *type, size_t n)
{
	static const char *const names[] = { "pt_regs", "user_pt_regs", "user_regs_struct" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && !memcmp(names[i], type, n))
			return true;
	return false;
}

static void say_member(const struct place *p, struct text *message, struct text *hint)
{
	const struct btf_type *ours = ab_btf_type(p->local, p->ours);
	const char *type = ab_btf_name(p->local, ours);
	int n = (int)ab_core_name_length(type);
	struct search search = { .place = p };
	const char *renamed;

	text_printf(message, "%s%.*s has no member '%s'", kind_word(ours), n, type, p->member);
	renamed = find_renamed(p);
	if (renamed && !strcmp(bare(renamed), bare(p->member)))
		text_printf(hint, "it is called '%s' there", renamed);
	else if (search_nested(&search, p->theirs, "", 0))
		text_printf(hint, "it is '%s' there", search.path);
	else if (renamed)
		text_printf(hint, "it may be called '%s' there", renamed);
	free(search.path);
	say_fix(type, p->member, hint);
	if (is_registers(type, n))
		text_printf(hint, "%s" OTHER_ARCH, hint->n ? "; " : "");
	else if (!hint->n)
		text_puts(hint, "guard it with bpf_core_field_exists()");
}

static void add_type(const struct ab_btf *btf, uint32_t id, struct text *out)
{
	text_puts(out, "'");
	ab_btf_type_name(btf, id, out);
	text_puts(out, "'");
}

/* Every name is there, but what one of them names is of another type. */
static void say_type(const struct ab_core_spec *spec, const struct ab_btf *types, uint32_t id, uint32_t accessor,
		     struct text *message, struct text *hint)
{
	const struct ab_core_accessor *a = &spec->accessors[accessor];
	const struct btf_type *t = ab_btf_type(spec->btf, a->type);
	const struct btf_member *m = ab_btf_data(t);
	const char *type = ab_btf_name(spec->btf, t);

	text_printf(message, "%s%.*s's member '%s' is ", kind_word(t), (int)ab_core_name_length(type), type, a->name);
	add_type(types, id, message);
	text_puts(message, " there, not ");
	add_type(spec->btf, m[a->index].type, message);
	say_fix(type, a->name, hint);
	if (!hint->n)
		text_puts(hint, "read it by a flavour of the struct that has this type, where bpf_core_field_exists() "
				"says so");
}

/* Follows the access through the kernel's types up to what is missing. */
static void say_field(const struct ab_core_spec *spec, const struct ab_btf *types, uint32_t root, struct text *message,
		      struct text *hint)
{
	uint32_t at = root, last = NONE, last_type = 0;

	for (uint32_t i = 0; i < spec->n_accessors; i++) {
		const struct ab_core_accessor *a = &spec->accessors[i];
		uint32_t next, array = 0;

		if (!a->name) {
			array = ab_btf_resolve(types, at);
			if (i && ab_btf_kind(ab_btf_type(types, array)) == BTF_KIND_ARRAY)
				at = ((const struct btf_array *)ab_btf_data(ab_btf_type(types, array)))->type;
			continue;
		}
		next = find_member(types, at, a->name, 0);
		if (!next) {
			struct place p = { spec->btf, types, a->type, ab_btf_resolve(types, at), a->name, a->index };

			return say_member(&p, message, hint);
		}
		at = last_type = next;
		last = i;
	}
	if (last != NONE)
		say_type(spec, types, last_type, last, message, hint);
}

static void say_enumerator(const struct ab_core_spec *spec, const struct ab_btf *types, uint32_t root, struct text *message,
			   struct text *hint)
{
	const struct btf_type *t = ab_btf_type(types, root);
	const struct btf_enum *e = ab_btf_data(t);
	const char *name = spec->n_accessors ? spec->accessors[0].name : "", *type = ab_btf_name(types, t);
	struct nearest nearest = { .wanted = name, .limit = 2 };

	text_printf(message, "enum %s has no '%.*s'", type, (int)ab_core_name_length(name), name);
	for (uint32_t i = 0; ab_btf_kind(t) == BTF_KIND_ENUM && i < ab_btf_vlen(t); i++)
		nearest_try(&nearest, ab_btf_str(types, e[i].name_off));
	if (nearest.name)
		text_printf(hint, "it may be called '%s' there; ", nearest.name);
	text_puts(hint, "guard it with bpf_core_enum_value_exists()");
}

int ab_check_explain(const struct ab_core_spec *spec, const struct ab_core_value *value, const struct ab_btf *types,
		     const char *why, char **ret_message, char **ret_hint)
{
	const struct btf_type *t = ab_btf_type(spec->btf, spec->root);
	const char *name = ab_btf_name(spec->btf, t);
	uint32_t root = ab_check_find_type(types, spec->btf, spec->root);
	_text_ struct text message = {}, hint = {};

	if (value->status == AB_CORE_MISSING && !root) {
		text_printf(&message, "there is no %s%.*s", kind_word(t), (int)ab_core_name_length(name), name);
		text_puts(&hint, is_registers(name, ab_core_name_length(name)) ? OTHER_ARCH :
				 "guard it with bpf_core_type_exists()");
	} else if (value->status == AB_CORE_MISSING && ab_core_is_field(spec->kind)) {
		say_field(spec, types, root, &message, &hint);
	} else if (value->status == AB_CORE_MISSING && ab_core_is_enumerator(spec->kind)) {
		say_enumerator(spec, types, root, &message, &hint);
	} else if (value->status == AB_CORE_AMBIGUOUS) {
		text_printf(&message, "the kernel has different types called '%.*s': %s",
			    (int)ab_core_name_length(name), name, why ? why : "");
	}
	if (!message.n)
		text_printf(&message, "%s%.*s is not as the program has it%s%s", kind_word(t),
			    (int)ab_core_name_length(name), name, why && *why ? ": " : "", why ? why : "");
	if (message.failed || hint.failed)
		return -ENOMEM;
	*ret_message = text_take(&message);
	*ret_hint = hint.n ? text_take(&hint) : NULL;
	return *ret_message ? 0 : -ENOMEM;
}

/* ---- the access as written ---- */

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Where the expression begins that ends before `p`: names, dots, arrows, and what is in brackets. */
static const char *expression_start(const char *text, const char *p)
{
	int depth = 0;

	while (p > text) {
		char c = p[-1];

		if (c == ')' || c == ']')
			depth++;
		else if ((c == '(' || c == '[') && !depth--)
			break;
		else if (!depth && !is_name(c) && c != '.' && c != '(' && c != '[' &&
			 !(c == '>' && p - 1 > text && p[-2] == '-') && !(c == '-' && *p == '>'))
			break;
		p--;
	}
	return p;
}

char *ab_check_access(const char *text, const char *member)
{
	size_t n = strlen(member);
	const char *p = text, *start;

	for (; n && (p = strstr(p, member)); p += n) {
		if (is_name(p[n]) || (p > text && is_name(p[-1])))
			continue;
		start = expression_start(text, p);
		if (p - start > 1 && (p[-1] == '.' || p[-1] == '>'))
			return strndup(start, (size_t)(p + n - start));
	}
	return NULL;
}
