/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Pinned keys (docs/format-trust.md) and the signatures that they verify (docs/format-signature.md), Ed25519 by GnuTLS.
 */
#include <ctype.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "remote.h"

enum { TRUST_LIMIT = 1 << 20, KEY_BYTES = 32, SIGNATURE_BYTES = 64, KEY_TEXT = 44, SIGNATURE_TEXT = 88,
       PEM_LIMIT = 64 << 10 };

#define FIRST_LINE "# anybpf trust, version 1\n"
#define ALGORITHM "ed25519:"

/* ---- keys ---- */

/* Base64 of exactly that many bytes, and no other spelling of them. */
static bool decode_exactly(const char *text, size_t n, size_t want, unsigned char *out)
{
	_free_ char *data = NULL;
	_text_ struct text again = {};
	size_t size;

	if (ab_base64_decode(text, n, &data, &size) < 0 || size != want || ab_base64_add(&again, data, size) < 0 ||
	    again.n != n || memcmp(again.p, text, n))
		return false;
	memcpy(out, data, want);
	return true;
}

bool ab_key_id(const char *key, char ret_id[KEY_ID_SIZE])
{
	unsigned char bytes[KEY_BYTES];
	char hex[HEX_DIGEST_SIZE];

	if (strlen(key) != KEY_TEXT || !decode_exactly(key, KEY_TEXT, KEY_BYTES, bytes))
		return false;
	ab_digest_of(bytes, sizeof(bytes), hex);
	memcpy(ret_id, hex, KEY_ID_SIZE - 1);
	ret_id[KEY_ID_SIZE - 1] = '\0';
	return true;
}

static int read_pem(const char *path, char ret_key[45], struct ab_error *err)
{
	_free_ char *data = NULL;
	_text_ struct text text = {};
	gnutls_datum_t pem, x = {};
	gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
	gnutls_pubkey_t key = NULL;
	size_t size;
	int r = file_read(path, PEM_LIMIT, &data, &size, err);

	if (r < 0)
		return r;
	pem = (gnutls_datum_t){ (unsigned char *)data, size };
	if (gnutls_pubkey_init(&key) < 0)
		return ab_fail_memory(err);
	if (gnutls_pubkey_import(key, &pem, GNUTLS_X509_FMT_PEM) < 0 ||
	    gnutls_pubkey_export_ecc_raw(key, &curve, &x, NULL) < 0 ||
	    curve != GNUTLS_ECC_CURVE_ED25519 || x.size != KEY_BYTES || ab_base64_add(&text, x.data, x.size) < 0)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is not a public Ed25519 key in PEM", path);
	else
		snprintf(ret_key, 45, "%s", text.p);
	gnutls_free(x.data);
	gnutls_pubkey_deinit(key);
	return r;
}

int ab_key_read(const char *text, char ret_key[45], struct ab_error *err)
{
	const char *bare = str_starts(text, ALGORITHM) ? text + strlen(ALGORITHM) : text;
	char id[KEY_ID_SIZE];

	if (ab_key_id(bare, id)) {
		snprintf(ret_key, 45, "%s", bare);
		return 0;
	}
	if (access(text, F_OK) == 0)
		return read_pem(text, ret_key, err);
	return ab_fail(err, AB_ERROR_USAGE, -EINVAL,
		       "'%s' is neither a key (ed25519:…, 44 characters of base64), nor a file, nor a server's URL",
		       text);
}

static bool verify(const char *key, const char *message, size_t size, const char *signature)
{
	unsigned char key_bytes[KEY_BYTES], signature_bytes[SIGNATURE_BYTES];
	gnutls_datum_t x = { key_bytes, KEY_BYTES }, s = { signature_bytes, SIGNATURE_BYTES };
	gnutls_datum_t data = { (unsigned char *)message, size };
	gnutls_pubkey_t public = NULL;
	bool good;

	if (strlen(key) != KEY_TEXT || !decode_exactly(key, KEY_TEXT, KEY_BYTES, key_bytes) ||
	    !decode_exactly(signature, SIGNATURE_TEXT, SIGNATURE_BYTES, signature_bytes) ||
	    gnutls_pubkey_init(&public) < 0)
		return false;
	good = gnutls_pubkey_import_ecc_raw(public, GNUTLS_ECC_CURVE_ED25519, &x, NULL) >= 0 &&
	       gnutls_pubkey_verify_data2(public, GNUTLS_SIGN_EDDSA_ED25519, 0, &data, &s) >= 0;
	gnutls_pubkey_deinit(public);
	return good;
}

/* ---- the file ---- */

static char *trust_path(void)
{
	const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path;
	int n;

	if (xdg && *xdg == '/')
		n = asprintf(&path, "%s/anybpf/trust", xdg);
	else
		n = asprintf(&path, "%s/.config/anybpf/trust", home && *home == '/' ? home : "");
	return n < 0 ? NULL : path;
}

static int push_pin(struct trust *trust, const char *origin, size_t origin_size, const char *key, const char *remark,
		    size_t remark_size, struct ab_error *err)
{
	struct pin *more = reallocarray(trust->pins, trust->n + 1, sizeof(*more)), *pin;

	if (!more)
		return ab_fail_memory(err);
	trust->pins = more;
	pin = &more[trust->n++];
	*pin = (struct pin){ .origin = strndup(origin, origin_size), .remark = strndup(remark, remark_size) };
	snprintf(pin->key, sizeof(pin->key), "%s", key);
	ab_key_id(pin->key, pin->id);
	return pin->origin && pin->remark ? 0 : ab_fail_memory(err);
}

static bool is_origin(const char *p, size_t n)
{
	if (n == 1 && *p == '*')
		return true;
	return (n > 7 && !memcmp(p, "http://", 7) && !memchr(p + 7, '/', n - 7)) ||
	       (n > 8 && !memcmp(p, "https://", 8) && !memchr(p + 8, '/', n - 8));
}

static int parse_line(struct trust *trust, const char *p, size_t n, unsigned line, struct ab_error *err)
{
	const char *end = p + n, *origin, *key, *remark;
	size_t origin_size, key_size;
	char text[45] = "", id[KEY_ID_SIZE];

	p += strspn(p, " \t");
	if (p >= end || *p == '#')
		return 0;
	origin = p;
	origin_size = strcspn(p, " \t\n");
	p += origin_size;
	p += strspn(p, " \t");
	key = p;
	key_size = strcspn(p, " \t\n");
	remark = MIN(key + key_size + strspn(key + key_size, " \t"), end);
	if (key_size == strlen(ALGORITHM) + KEY_TEXT && str_starts(key, ALGORITHM))
		memcpy(text, key + strlen(ALGORITHM), KEY_TEXT);
	if (!is_origin(origin, origin_size) || !ab_key_id(text, id))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "%s:%u: not a server and a key; correct the line or remove it", trust->path, line);
	return push_pin(trust, origin, origin_size, text, remark, end - remark, err);
}

/* A file that others may write says nothing. */
static int check_owner(const char *path, struct ab_error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -ENOENT;
	if ((st.st_uid && st.st_uid != geteuid()) || (st.st_mode & 022))
		return ab_fail(err, AB_ERROR_PERMISSION, -EPERM,
			       "'%s' may be written by others: make it yours, mode 0600", path);
	return 0;
}

int ab_trust_parse(struct trust *trust, const char *text, size_t size, struct ab_error *err)
{
	unsigned line = 1;
	int r = 0;

	for (const char *p = text; !r && *p; line++) {
		size_t n = strcspn(p, "\n");

		r = parse_line(trust, p, n, line, err);
		p += n + (p[n] == '\n');
	}
	if (!r && strlen(text) != size)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "%s:%u: a NUL is in the file", trust->path, line);
	return r;
}

int ab_trust_open(struct trust *trust, struct ab_error *err)
{
	_free_ char *data = NULL;
	size_t size;
	int r;

	*trust = (struct trust){ .path = trust_path() };
	if (!trust->path)
		return ab_fail_memory(err);
	r = check_owner(trust->path, err);
	if (r == -ENOENT)
		return 0;
	if (!r)
		r = file_read(trust->path, TRUST_LIMIT, &data, &size, err);
	if (!r)
		r = ab_trust_parse(trust, data, size, err);
	if (r < 0)
		ab_trust_close(trust);
	return r;
}

void ab_trust_close(struct trust *trust)
{
	for (size_t i = 0; i < trust->n; i++) {
		free(trust->pins[i].origin);
		free(trust->pins[i].remark);
	}
	free(trust->pins);
	free(trust->path);
	*trust = (struct trust){};
}

static int write_file(const struct trust *trust, struct ab_error *err)
{
	_free_ char *parent = strdup(trust->path);
	_text_ struct text out = {};

	text_puts(&out, FIRST_LINE);
	for (size_t i = 0; i < trust->n; i++)
		text_printf(&out, "%s " ALGORITHM "%s %s\n", trust->pins[i].origin, trust->pins[i].key,
			    trust->pins[i].remark);
	if (out.failed || !parent)
		return ab_fail_memory(err);
	for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(parent, 0700);
		*slash = '/';
	}
	return file_write(trust->path, out.p, out.n, 0600, err);
}

int ab_trust_add(struct trust *trust, const char *origin, const char *key, const char *remark, struct ab_error *err)
{
	_text_ struct text dated = {};
	time_t now = time(NULL);
	char date[16] = "";
	struct tm tm;
	int r;

	for (size_t i = 0; i < trust->n; i++)
		if (!strcmp(trust->pins[i].origin, origin) && !strcmp(trust->pins[i].key, key))
			return 0;
	if (gmtime_r(&now, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	text_printf(&dated, "%s %s", date, remark);
	if (dated.failed)
		return ab_fail_memory(err);
	r = push_pin(trust, origin, strlen(origin), key, dated.p, dated.n, err);
	return r < 0 ? r : write_file(trust, err);
}

int ab_trust_remove(struct trust *trust, const char *what, struct ab_error *err)
{
	const char *bare = str_starts(what, ALGORITHM) ? what + strlen(ALGORITHM) : what;
	size_t kept = 0, n = trust->n;

	for (size_t i = 0; i < n; i++) {
		struct pin pin = trust->pins[i];
		bool goes = !strcmp(pin.key, bare) || !strcmp(pin.id, bare);

		if (goes) {
			free(pin.origin);
			free(pin.remark);
		} else {
			trust->pins[kept++] = pin;
		}
	}
	trust->n = kept;
	if (kept == n)
		return ab_fail(err, AB_ERROR_NOT_FOUND, -ENOENT,
			       "no key '%s' is pinned; 'anybpf trust list' shows those that are", what);
	return write_file(trust, err);
}

/* ---- verifying ---- */

static const struct pin *find_pin(const struct trust *trust, const char *origin, const char *id)
{
	for (size_t i = 0; i < trust->n; i++) {
		const struct pin *pin = &trust->pins[i];

		if ((!origin || !strcmp(pin->origin, "*") || !strcmp(pin->origin, origin)) && !strcmp(pin->id, id))
			return pin;
	}
	return NULL;
}

static bool has_pins(const struct trust *trust, const char *origin)
{
	for (size_t i = 0; i < trust->n; i++)
		if (!origin || !strcmp(trust->pins[i].origin, "*") || !strcmp(trust->pins[i].origin, origin))
			return true;
	return false;
}

/* "ed25519:KEYID:SIGNATURE" in its parts. */
static bool split_signature(const char *line, char ret_id[KEY_ID_SIZE], const char **ret_signature)
{
	const char *id = line + strlen(ALGORITHM);

	if (!str_starts(line, ALGORITHM) || strlen(id) != KEY_ID_SIZE + SIGNATURE_TEXT || id[KEY_ID_SIZE - 1] != ':')
		return false;
	memcpy(ret_id, id, KEY_ID_SIZE - 1);
	ret_id[KEY_ID_SIZE - 1] = '\0';
	*ret_signature = id + KEY_ID_SIZE;
	return true;
}

/* Whether a pinned key of exactly this server endorses a new one; tells which. */
static bool is_endorsed(const struct trust *trust, const char *origin, const char *key, json_t *endorsements,
			char ret_id[KEY_ID_SIZE])
{
	char message[64];
	int n = snprintf(message, sizeof(message), "anybpf-key-v1\n%s\n", key);
	json_t *endorsement;
	size_t i;

	json_array_foreach(endorsements, i, endorsement) {
		const char *line = json_string_value(endorsement), *signature;
		const struct pin *pin;

		if (!line || !split_signature(line, ret_id, &signature))
			continue;
		pin = find_pin(trust, origin, ret_id);
		if (pin && strcmp(pin->origin, "*") && verify(pin->key, message, n, signature))
			return true;
	}
	return false;
}

/* Asks the server for a key that is not pinned, and pins it if one that is pinned endorses it. */
static const struct pin *follow_rotation(struct trust *trust, const char *origin, struct http *http, const char *id)
{
	struct http_answer answer = {};
	const struct pin *found = NULL;
	json_t *json, *key;
	size_t i;

	if (ab_http_ask(http, "/v1/keys", NULL, 0, &answer, NULL) < 0)
		return NULL;
	json = answer.status == 200 ? json_loadb(answer.body.p ? answer.body.p : "", answer.body.n, 0, NULL) : NULL;
	json_array_foreach(json_object_get(json, "keys"), i, key) {
		const char *public = json_string_value(json_object_get(key, "public"));
		char own_id[KEY_ID_SIZE], by[KEY_ID_SIZE], remark[64];

		if (found || !public || !ab_key_id(public, own_id) || strcmp(own_id, id) ||
		    !is_endorsed(trust, origin, public, json_object_get(key, "endorsements"), by))
			continue;
		snprintf(remark, sizeof(remark), "follows %s", by);
		if (ab_trust_add(trust, origin, public, remark, NULL) < 0)
			continue;
		ab_frame_text("say", "server '%s' signs with a new key, %s, which the pinned key %s endorses: it is "
			      "pinned now", origin, id, by);
		found = find_pin(trust, origin, id);
	}
	json_decref(json);
	ab_http_answer_clear(&answer);
	return found;
}

static int reject(struct ab_error *err, const char *origin, const char *why)
{
	return ab_fail(err, AB_ERROR_UNTRUSTED, -EKEYREJECTED, "%s%s%s%s", origin ? "server '" : "",
		       origin ? origin : "", origin ? "': " : "", why);
}

int ab_trust_expect(const struct trust *trust, const char *origin, struct ab_error *err)
{
	_text_ struct text why = {};

	if (has_pins(trust, origin))
		return 0;
	if (!origin)
		return reject(err, origin, "no key is pinned; 'anybpf trust add' pins one");
	text_printf(&why, "no key of it is pinned, so what it gives cannot be trusted; 'anybpf trust add %s' pins one", origin);
	return reject(err, origin, why.p ? why.p : "no key of it is pinned");
}

int ab_trust_verify(struct trust *trust, const char *origin, struct http *http, const char *hex, const char *signature,
		    struct ab_error *err)
{
	char message[128];
	int n = snprintf(message, sizeof(message), "anybpf-artifact-v1\nsha256:%s\n", hex);

	return ab_trust_verify_message(trust, origin, http, message, n, signature, err);
}

int ab_trust_verify_message(struct trust *trust, const char *origin, struct http *http, const char *message, size_t size,
			    const char *signature, struct ab_error *err)
{
	char id[KEY_ID_SIZE], why[160];
	const struct pin *pin;
	const char *bytes;

	if (ab_trust_expect(trust, origin, err) < 0)
		return -EKEYREJECTED;
	if (!signature || !*signature)
		return reject(err, origin, "it is not signed");
	if (!split_signature(signature, id, &bytes))
		return reject(err, origin, "the signature is not one (ed25519:KEYID:SIGNATURE)");
	pin = find_pin(trust, origin, id);
	if (!pin && http && origin)
		pin = follow_rotation(trust, origin, http, id);
	if (!pin) {
		snprintf(why, sizeof(why),
			 "it is signed by key %s, which is not pinned and which no pinned key endorses", id);
		return reject(err, origin, why);
	}
	if (!verify(pin->key, message, size, bytes)) {
		snprintf(why, sizeof(why), "the signature by key %s does not belong to these bytes", id);
		return reject(err, origin, why);
	}
	return 0;
}
