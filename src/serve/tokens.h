/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Who may do what: bearer tokens in SQLite, of which only digests are kept, and rate limits by token or address. */
#ifndef AB_SERVE_TOKENS_H
#define AB_SERVE_TOKENS_H

#include "config.h"

enum { TOKEN_NAME_SIZE = 65 };

struct token {
	int64_t id;               /* 0: no token */
	char name[TOKEN_NAME_SIZE];
	unsigned scopes;          /* enum scope */
	int64_t rate;             /* requests a minute; 0: unlimited */
	int64_t quota;            /* compiles a day; 0: unlimited */
};

struct tokens;
int ab_tokens_open(const char *dir, struct tokens **ret_tokens, struct ab_error *err);
void ab_tokens_close(struct tokens *tokens);

/* -EACCES/PERMISSION no such token, expired or revoked. */
int ab_tokens_find(struct tokens *tokens, const char *secret, struct token *ret_token, struct ab_error *err);
/* Takes one request out of the bucket of a token or an address: 0, or the seconds until there is one again. */
unsigned ab_tokens_take(struct tokens *tokens, const struct token *token, const char *address, int64_t rate);
/* Takes one compile from the day's quota: -EDQUOT when there is none left. */
int ab_tokens_spend(struct tokens *tokens, const struct token *token);
/* Writes down what was spent; forgets addresses that were not seen for long. */
void ab_tokens_flush(struct tokens *tokens);
bool ab_tokens_healthy(struct tokens *tokens);

/* The commands `anybpfd token add|list|revoke`. `ret_secret` is the caller's. */
int ab_token_add(struct tokens *tokens, const struct token *token, int64_t expires, char **ret_secret, struct ab_error *err);
int ab_token_revoke(struct tokens *tokens, const char *name, struct ab_error *err);
int ab_token_list(struct tokens *tokens, bool json, struct text *out, struct ab_error *err);

#endif
