/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The keys that artifacts are signed with: files in a directory, read once, replaced as a whole on reload (keyring.h). */
#include <dirent.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <crypto/crypto.h>
#include "keyring.h"
#include "owner.h"

enum { KEYS_LIMIT = 64, PUBLIC_SIZE = 32, SIGNATURE_SIZE = 64 };

struct key {
	char id[KEY_ID_SIZE];
	unsigned char public[PUBLIC_SIZE];
	gnutls_privkey_t private;
};

struct keyring {
	unsigned refs;
	pthread_mutex_t lock; /* GnuTLS does not promise that one private key may sign in two threads */
	struct key *keys;     /* oldest first; the last signs */
	size_t n;
	struct text json;
};

/* ---- one key ---- */

static int take_key(struct key *key, const char *path, gnutls_x509_privkey_t x509, struct ab_error *err)
{
	gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;
	gnutls_datum_t x = {}, y = {}, k = {};
	char hex[HEX_DIGEST_SIZE];
	int r = gnutls_x509_privkey_export_ecc_raw(x509, &curve, &x, &y, &k);

	if (r >= 0 && curve == GNUTLS_ECC_CURVE_ED25519 && x.size == PUBLIC_SIZE) {
		memcpy(key->public, x.data, PUBLIC_SIZE);
		ab_digest_of(key->public, PUBLIC_SIZE, hex);
		memcpy(key->id, hex, KEY_ID_SIZE - 1);
		key->id[KEY_ID_SIZE - 1] = '\0';
		r = gnutls_privkey_init(&key->private);
		if (r >= 0)
			r = gnutls_privkey_import_x509(key->private, x509, GNUTLS_PRIVKEY_IMPORT_COPY);
	} else if (r >= 0 || r == GNUTLS_E_INVALID_REQUEST) {
		r = GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM;
	}
	gnutls_free(x.data);
	gnutls_free(y.data);
	if (k.data)
		gnutls_memset(k.data, 0, k.size);
	gnutls_free(k.data);
	return r >= 0 ? 0
		      : ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is not an Ed25519 private key in PEM: %s", path,
				gnutls_strerror(r));
}

static int read_key(struct key *key, const char *path, struct ab_error *err)
{
	gnutls_x509_privkey_t x509;
	_free_ char *pem = NULL;
	size_t size;
	int r = file_read(path, 1 << 16, &pem, &size, err);

	if (r)
		return r;
	if (gnutls_x509_privkey_init(&x509) < 0)
		return ab_fail_memory(err);
	r = gnutls_x509_privkey_import2(x509, &(gnutls_datum_t){ (unsigned char *)pem, size }, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (r < 0)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "'%s' is not an Ed25519 private key in PEM: %s", path,
			    gnutls_strerror(r));
	else
		r = take_key(key, path, x509, err);
	gnutls_x509_privkey_deinit(x509);
	gnutls_memset(pem, 0, size);
	return r;
}

static int sign(const struct key *key, const char *message, struct text *out)
{
	gnutls_datum_t data = { (unsigned char *)message, strlen(message) }, signature = {};
	int r = gnutls_privkey_sign_data2(key->private, GNUTLS_SIGN_EDDSA_ED25519, 0, &data, &signature);

	if (r < 0 || signature.size != SIGNATURE_SIZE)
		return -EIO;
	text_printf(out, "ed25519:%s:", key->id);
	r = ab_base64_add(out, signature.data, signature.size);
	gnutls_free(signature.data);
	return r;
}

/* ---- the directory ---- */

static int is_key_name(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && str_ends(entry->d_name, ".pem");
}

static void free_names(struct dirent **names, int n)
{
	for (int i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int read_keys(struct keyring *k, const char *dir, struct ab_error *err)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_key_name, alphasort), r = 0;

	if (n < 0)
		return ab_fail_errno(err, -errno, "unable to read the keys in '%s'", dir);
	if (n > KEYS_LIMIT)
		r = ab_fail(err, AB_ERROR_LIMIT, -E2BIG, "'%s' has more than %d keys: remove old ones", dir, KEYS_LIMIT);
	k->keys = array_new(n, sizeof(*k->keys));
	if (!r && !k->keys)
		r = ab_fail_memory(err);
	for (int i = 0; i < n && !r; i++) {
		_free_ char *path = NULL;

		if (asprintf(&path, "%s/%s", dir, names[i]->d_name) < 0) {
			path = NULL;
			r = ab_fail_memory(err);
			break;
		}
		k->n++;
		r = read_key(&k->keys[i], path, err);
	}
	free_names(names, n);
	return r;
}

static void write_key(const struct keyring *k, size_t index, struct json *j)
{
	const struct key *key = &k->keys[index];
	_text_ struct text public = {}, message = {}, signature = {};

	(void)ab_base64_add(&public, key->public, PUBLIC_SIZE);
	text_printf(&message, "anybpf-key-v1\n%s\n", public.p ? public.p : "");
	json_open(j, '{');
	json_member_str(j, "id", key->id);
	json_member_str(j, "algorithm", "ed25519");
	json_member_str(j, "public", public.p);
	json_member_bool(j, "active", index + 1 == k->n);
	json_key(j, "endorsements");
	json_open(j, '[');
	for (size_t older = index; older-- > 0 && message.p;) {
		text_clear(&signature);
		if (!sign(&k->keys[older], message.p, &signature))
			json_str(j, signature.p);
	}
	json_close(j, ']');
	json_close(j, '}');
}

static int write_json(struct keyring *k)
{
	struct json j = { .out = &k->json };

	json_open(&j, '{');
	json_key(&j, "keys");
	json_open(&j, '[');
	for (size_t i = k->n; i-- > 0;)
		write_key(k, i, &j);
	json_close(&j, ']');
	json_close(&j, '}');
	return k->json.failed ? -ENOMEM : 0;
}

int ab_keyring_open(const char *dir, struct keyring **ret_keyring, struct ab_error *err)
{
	struct keyring *k = array_new(1, sizeof(*k));
	_text_ struct text made = {};
	int r;

	if (!k)
		return ab_fail_memory(err);
	k->refs = 1;
	pthread_mutex_init(&k->lock, NULL);
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		r = ab_fail_errno(err, -errno, "unable to make '%s'", dir);
	else
		r = read_keys(k, dir, err);
	if (!r && !k->n) {
		free(k->keys);
		k->keys = NULL;
		r = ab_key_new(dir, &made, err);
		if (!r)
			r = read_keys(k, dir, err);
	}
	if (!r && write_json(k))
		r = ab_fail_memory(err);
	if (r) {
		ab_keyring_unref(k);
		return r;
	}
	*ret_keyring = k;
	return 0;
}

struct keyring *ab_keyring_ref(struct keyring *k)
{
	__atomic_add_fetch(&k->refs, 1, __ATOMIC_RELAXED);
	return k;
}

void ab_keyring_unref(struct keyring *k)
{
	if (!k || __atomic_sub_fetch(&k->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (size_t i = 0; i < k->n; i++)
		if (k->keys[i].private)
			gnutls_privkey_deinit(k->keys[i].private);
	free(k->keys);
	text_clear(&k->json);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

const char *ab_keyring_active(const struct keyring *k)
{
	return k->keys[k->n - 1].id;
}

const struct text *ab_keyring_json(const struct keyring *k)
{
	return &k->json;
}

static void make_message(char out[128], const char *what, const char *hex)
{
	snprintf(out, 128, "anybpf-%s-v1\nsha256:%s\n", what, hex);
}

int ab_keyring_sign_types(struct keyring *k, const char *message, struct text *out)
{
	int r;

	pthread_mutex_lock(&k->lock);
	r = sign(&k->keys[k->n - 1], message, out);
	pthread_mutex_unlock(&k->lock);
	return r;
}

static int sign_digest(struct keyring *k, const char *what, const char *hex, struct text *out)
{
	char message[128];

	make_message(message, what, hex);
	return ab_keyring_sign_types(k, message, out);
}

int ab_keyring_sign(struct keyring *k, const char *hex, struct text *out)
{
	return sign_digest(k, "artifact", hex, out);
}

int ab_keyring_seal(struct keyring *k, const char *hex, struct text *out)
{
	return sign_digest(k, "record", hex, out);
}

static bool verify(const struct key *key, const char *message, const char *signature, size_t size)
{
	gnutls_datum_t data = { (unsigned char *)message, strlen(message) }, signed_by = { (unsigned char *)signature, size };
	gnutls_pubkey_t public;
	int r;

	if (gnutls_pubkey_init(&public) < 0)
		return false;
	r = gnutls_pubkey_import_privkey(public, key->private, 0, 0);
	if (r >= 0)
		r = gnutls_pubkey_verify_data2(public, GNUTLS_SIGN_EDDSA_ED25519, 0, &data, &signed_by);
	gnutls_pubkey_deinit(public);
	return r >= 0;
}

bool ab_keyring_is_sealed(struct keyring *k, const char *line, size_t n, const char *hex)
{
	static const char algorithm[] = "ed25519:";
	const size_t head = sizeof(algorithm) - 1 + KEY_ID_SIZE;
	_free_ char *signature = NULL;
	char message[128];
	bool ok = false;
	size_t size;

	if (n <= head || memcmp(line, algorithm, sizeof(algorithm) - 1) || line[head - 1] != ':' ||
	    ab_base64_decode(line + head, n - head, &signature, &size))
		return false;
	make_message(message, "record", hex);
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->n && !ok; i++)
		if (!memcmp(k->keys[i].id, line + sizeof(algorithm) - 1, KEY_ID_SIZE - 1))
			ok = verify(&k->keys[i], message, signature, size);
	pthread_mutex_unlock(&k->lock);
	return ok;
}

/* ---- new keys ---- */

/* Names are the time of making, so that the newest is the last; a second key within one second gets a number. */
static int find_name(const char *dir, char **ret_path)
{
	time_t now = time(NULL);
	struct tm tm;

	gmtime_r(&now, &tm);
	for (int i = 0; i < KEYS_LIMIT; i++) {
		char *path;

		if (asprintf(&path, "%s/%04d%02d%02dT%02d%02d%02d-%02d.pem", dir, tm.tm_year + 1900, tm.tm_mon + 1,
			     tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, i) < 0)
			return -ENOMEM;
		if (access(path, F_OK) < 0) {
			*ret_path = path;
			return 0;
		}
		free(path);
	}
	return -EEXIST;
}

int ab_key_new(const char *dir, struct text *out, struct ab_error *err)
{
	_free_ char *path = NULL;
	gnutls_x509_privkey_t x509;
	gnutls_datum_t pem = {};
	struct key key = {};
	int r = find_name(dir, &path);

	if (r)
		return ab_fail_errno(err, r, "unable to name a key in '%s'", dir);
	if (gnutls_x509_privkey_init(&x509) < 0)
		return ab_fail_memory(err);
	if (gnutls_x509_privkey_generate(x509, GNUTLS_PK_EDDSA_ED25519, 256, 0) < 0 ||
	    gnutls_x509_privkey_export2_pkcs8(x509, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &pem) < 0)
		r = ab_fail(err, AB_ERROR_INTERNAL, -EIO, "unable to make an Ed25519 key");
	else
		r = take_key(&key, path, x509, err);
	if (!r)
		r = file_write(path, pem.data, pem.size, 0600, err);
	if (!r)
		ab_give_to_owner(path);
	if (!r)
		text_printf(out, "%s %s", key.id, path);
	if (key.private)
		gnutls_privkey_deinit(key.private);
	if (pem.data)
		gnutls_memset(pem.data, 0, pem.size);
	gnutls_free(pem.data);
	gnutls_x509_privkey_deinit(x509);
	return r;
}
