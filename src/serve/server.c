/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* What of a server a reload replaces, for whoever holds on to it (server.h). */
#include "keyring.h"
#include "server.h"

struct config *ab_server_config(struct server *s)
{
	struct config *config;

	pthread_rwlock_rdlock(&s->lock);
	config = ab_config_ref(s->config);
	pthread_rwlock_unlock(&s->lock);
	return config;
}

struct keyring *ab_server_keyring(struct server *s)
{
	struct keyring *keyring;

	pthread_rwlock_rdlock(&s->lock);
	keyring = ab_keyring_ref(s->keyring);
	pthread_rwlock_unlock(&s->lock);
	return keyring;
}
