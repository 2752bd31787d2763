/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Certificates (tls.h). The HTTP library asks for them at each handshake; a connection that is in its handshake may
 * still use the ones that a reload replaced, so these are kept until the reload after.
 */
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include "tls.h"

enum { CHAIN_LIMIT = 16, FILE_LIMIT = 1 << 20, GENERATIONS = 2 };

struct identity {
	gnutls_pcert_st chain[CHAIN_LIMIT];
	unsigned n;
	gnutls_privkey_t key;
};

struct tls {
	pthread_mutex_t lock;
	struct identity *identities[GENERATIONS]; /* the current one first */
	char *client_ca;
};

/* The library's callback has no context, and there is one TLS identity in a server. */
static struct tls *current;

static void free_identity(struct identity *id)
{
	if (!id)
		return;
	for (unsigned i = 0; i < id->n; i++)
		gnutls_pcert_deinit(&id->chain[i]);
	if (id->key)
		gnutls_privkey_deinit(id->key);
	free(id);
}

static int read_pem(const char *path, gnutls_datum_t *ret, struct ab_error *err)
{
	char *data;
	size_t size;
	int r = file_read(path, FILE_LIMIT, &data, &size, err);

	if (!r)
		*ret = (gnutls_datum_t){ (unsigned char *)data, size };
	return r;
}

static int load(struct identity *id, const struct config *config, struct ab_error *err)
{
	gnutls_datum_t chain = {}, key = {};
	int r = read_pem(config->tls_certificate, &chain, err), t;

	if (!r)
		r = read_pem(config->tls_key, &key, err);
	if (!r) {
		id->n = CHAIN_LIMIT;
		t = gnutls_pcert_list_import_x509_raw(id->chain, &id->n, &chain, GNUTLS_X509_FMT_PEM, 0);
		if (t < 0) {
			id->n = 0;
			r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "tls.certificate: '%s': %s",
				    config->tls_certificate, gnutls_strerror(t));
		}
	}
	if (!r) {
		t = gnutls_privkey_init(&id->key);
		if (t >= 0)
			t = gnutls_privkey_import_x509_raw(id->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
		if (t < 0)
			r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "tls.key: '%s': %s", config->tls_key, gnutls_strerror(t));
	}
	if (key.data)
		gnutls_memset(key.data, 0, key.size);
	free(chain.data);
	free(key.data);
	return r;
}

/* A key that is not the certificate's would fail every handshake: better here. */
static int check_pair(const struct identity *id, const struct config *config, struct ab_error *err)
{
	unsigned char a[64], b[64];
	size_t n = sizeof(a), m = sizeof(b);
	gnutls_pubkey_t public;
	bool equal = false;

	if (gnutls_pubkey_init(&public) < 0)
		return ab_fail_memory(err);
	if (gnutls_pubkey_import_privkey(public, id->key, 0, 0) >= 0 && gnutls_pubkey_get_key_id(public, 0, a, &n) >= 0 &&
	    gnutls_pubkey_get_key_id(id->chain[0].pubkey, 0, b, &m) >= 0)
		equal = n == m && !memcmp(a, b, n);
	gnutls_pubkey_deinit(public);
	return equal ? 0
		     : ab_fail(err, AB_ERROR_USAGE, -EINVAL, "tls.key: '%s' is not the key of '%s'", config->tls_key,
			       config->tls_certificate);
}

static int read_identity(const struct config *config, struct identity **ret, struct ab_error *err)
{
	struct identity *id = array_new(1, sizeof(*id));
	int r = id ? load(id, config, err) : ab_fail_memory(err);

	if (!r)
		r = check_pair(id, config, err);
	if (r) {
		free_identity(id);
		return r;
	}
	*ret = id;
	return 0;
}

int ab_tls_new(const struct config *config, struct tls **ret_tls, struct ab_error *err)
{
	struct tls *tls = array_new(1, sizeof(*tls));
	size_t size;
	int r;

	if (!tls)
		return ab_fail_memory(err);
	pthread_mutex_init(&tls->lock, NULL);
	r = read_identity(config, &tls->identities[0], err);
	if (!r && config->tls_client_ca)
		r = file_read(config->tls_client_ca, FILE_LIMIT, &tls->client_ca, &size, err);
	if (r) {
		ab_tls_free(tls);
		return r;
	}
	*ret_tls = current = tls;
	return 0;
}

void ab_tls_free(struct tls *tls)
{
	if (!tls)
		return;
	current = NULL;
	for (int i = 0; i < GENERATIONS; i++)
		free_identity(tls->identities[i]);
	pthread_mutex_destroy(&tls->lock);
	free(tls->client_ca);
	free(tls);
}

int ab_tls_reload(struct tls *tls, const struct config *config, struct ab_error *err)
{
	struct identity *id;
	int r = read_identity(config, &id, err);

	if (r)
		return r;
	pthread_mutex_lock(&tls->lock);
	free_identity(tls->identities[1]);
	tls->identities[1] = tls->identities[0];
	tls->identities[0] = id;
	pthread_mutex_unlock(&tls->lock);
	return 0;
}

static int give_identity(gnutls_session_t session, const gnutls_datum_t *issuers, int n_issuers,
			 const gnutls_pk_algorithm_t *algorithms, int n_algorithms, gnutls_pcert_st **ret_chain,
			 unsigned *ret_n, gnutls_privkey_t *ret_key)
{
	struct identity *id;

	pthread_mutex_lock(&current->lock);
	id = current->identities[0];
	pthread_mutex_unlock(&current->lock);
	*ret_chain = id->chain;
	*ret_n = id->n;
	*ret_key = id->key;
	return 0;
}

void ab_tls_options(struct tls *tls, struct MHD_OptionItem options[4])
{
	size_t n = 0;

	options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)give_identity };
	options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0,
						(void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" };
	if (tls->client_ca)
		options[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_TRUST, 0, tls->client_ca };
	options[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
}

bool ab_tls_is_client_known(const struct config *config, struct MHD_Connection *c)
{
	const union MHD_ConnectionInfo *info;
	unsigned status = ~0u;

	if (!config->tls_client_ca)
		return true;
	info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	return info && info->tls_session && gnutls_certificate_verify_peers2(info->tls_session, &status) == 0 && status == 0;
}
