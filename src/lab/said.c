/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What a guest said: the frames that came through its port (guest_protocol.h), and the last words on its console. A guest runs
 * whatever is tested in it, so nothing of this is believed further than it can be checked.
 */
#include <sys/wait.h>
#include "guest_protocol.h"
#include "lab.h"

#define OUTPUT_LIMIT (64u << 20) /* of one program */
#define MAX_PROGRAMS 65536       /* ids have 16 bits */

static size_t program_index(struct guest_said *said, int id)
{
	struct ab_guest_result *result = said->result;
	struct ab_guest_program *programs;
	struct text *outputs;

	for (size_t i = 0; i < result->program_count; i++)
		if (result->programs[i].id == id)
			return i;
	if (result->program_count == MAX_PROGRAMS)
		return SIZE_MAX;
	programs = realloc(result->programs, (result->program_count + 1) * sizeof(*programs));
	if (programs)
		result->programs = programs;
	outputs = realloc(said->outputs, (result->program_count + 1) * 2 * sizeof(*outputs));
	if (outputs)
		said->outputs = outputs;
	if (!programs || !outputs)
		return SIZE_MAX;
	programs[result->program_count] = (struct ab_guest_program){ .id = id };
	outputs[2 * result->program_count] = outputs[2 * result->program_count + 1] = (struct text){};
	return result->program_count++;
}

static void take_exit(struct ab_guest_program *p, const char *text)
{
	int status = (int)strtol(text, NULL, 10);

	p->ended = true;
	p->killed = strstr(text, "killed");
	p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void take_frame(struct guest_said *said, const struct guest_frame *f, const char *data)
{
	struct text *output;
	char text[128];
	size_t i;

	snprintf(text, sizeof(text), "%.*s", (int)MIN(f->size, sizeof(text) - 1), data);
	switch (f->type) {
	case GUEST_BOOT:
		said->result->boot_ns = strtoull(text, NULL, 10);
		ab_said_copy_line(said->result->release, sizeof(said->result->release),
				  text + strcspn(text, " ") + (strchr(text, ' ') != NULL));
		break;
	case GUEST_SUCCESS:
		said->token_seen = !strcmp(text, said->token);
		break;
	case GUEST_NOTE:
		if (said->notes.n < OUTPUT_LIMIT)
			text_printf(&said->notes, "%.*s\n", (int)f->size, data);
		break;
	case GUEST_STDOUT:
	case GUEST_STDERR:
	case GUEST_EXIT:
		i = program_index(said, f->id);
		if (i == SIZE_MAX) {
			said->garbage = true;
			break;
		}
		output = &said->outputs[2 * i + (f->type == GUEST_STDERR)];
		if (f->type == GUEST_EXIT)
			take_exit(&said->result->programs[i], text);
		else if (output->n < OUTPUT_LIMIT)
			text_add(output, data, f->size);
		break;
	default:
		said->garbage = true;
	}
}

void ab_said_take(struct guest_said *said, const void *data, size_t size)
{
	struct guest_frame f;
	size_t at = 0;

	text_add(&said->frames, data, size);
	said->failed |= said->frames.failed;
	while (!said->garbage && !said->failed && said->frames.n - at >= sizeof(f)) {
		memcpy(&f, said->frames.p + at, sizeof(f));
		if (f.magic != GUEST_MAGIC || f.size > GUEST_CHUNK) {
			said->garbage = true;
			break;
		}
		if (said->frames.n - at - sizeof(f) < f.size)
			break;
		take_frame(said, &f, said->frames.p + at + sizeof(f));
		at += sizeof(f) + f.size;
	}
	if (at) {
		memmove(said->frames.p, said->frames.p + at, said->frames.n - at);
		said->frames.n -= at;
	}
}

int ab_said_finish(struct guest_said *said, struct ab_error *err)
{
	struct ab_guest_result *result = said->result;
	bool failed = said->failed || said->notes.failed;

	for (size_t i = 0; i < result->program_count; i++) {
		struct ab_guest_program *p = &result->programs[i];

		failed |= said->outputs[2 * i].failed || said->outputs[2 * i + 1].failed;
		p->out_size = said->outputs[2 * i].n;
		p->err_size = said->outputs[2 * i + 1].n;
		p->out = text_take(&said->outputs[2 * i]);
		p->err = text_take(&said->outputs[2 * i + 1]);
		failed |= !p->out || !p->err;
	}
	result->notes = text_take(&said->notes);
	return failed || !result->notes ? ab_fail_memory(err) : 0;
}

void ab_said_clear(struct guest_said *said)
{
	for (size_t i = 0; said->outputs && i < 2 * said->result->program_count; i++)
		text_clear(&said->outputs[i]);
	free(said->outputs);
	text_clear(&said->frames);
	text_clear(&said->notes);
}

void ab_said_copy_line(char *to, size_t cap, const char *from)
{
	size_t n = MIN(strcspn(from, "\r\n"), cap - 1);

	for (size_t i = 0; i < n; i++)
		to[i] = (unsigned char)from[i] < ' ' ? '?' : from[i];
	to[n] = '\0';
}

void ab_said_last(const char *console, char *line, size_t cap)
{
	static const char *const marks[] = {
		"BUG: ", "Oops: ", "Kernel panic", "Internal error: ", "general protection fault", "anybpf-lab: "
	};
	const char *last = console;

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		const char *found = strstr(console, marks[i]);

		if (found) {
			ab_said_copy_line(line, cap, found);
			return;
		}
	}
	for (const char *p = console; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strcspn(p, "\r\n"))
			last = p;
	ab_said_copy_line(line, cap, last);
}
