/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* Signatures, by gpgv, against the keyring of the source alone. */
#include <fcntl.h>
#include <nettle/base64.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crawl.h"

#define KEYRING_LIMIT (16u << 20)
#define HEADERS_LIMIT (64u << 20)

/* ---- keyrings: gpgv reads binary ones only ---- */

static int dearmour(const char *text, struct text *out)
{
	const char *p = text;

	while ((p = strstr(p, "-----BEGIN PGP PUBLIC KEY BLOCK-----"))) {
		const char *end = strstr(p, "-----END PGP"), *body = strstr(p, "\n\n");
		struct base64_decode_ctx ctx;

		if (!body)
			body = strstr(p, "\r\n\r\n");
		if (!end || !body || body > end)
			return -EBADMSG;
		base64_decode_init(&ctx);
		for (body++; body < end;) {
			size_t n = strcspn(body, "\n"), size;
			uint8_t bytes[512];

			/* The line that begins with '=' is a checksum. */
			if (*body == '=' || n > 400)
				break;
			size = sizeof(bytes);
			if (!base64_decode_update(&ctx, &size, bytes, n, body))
				return -EBADMSG;
			text_add(out, (char *)bytes, size);
			body += n + (body[n] == '\n');
		}
		p = end;
	}
	return out->failed ? -ENOMEM : out->n ? 0 : -EBADMSG;
}

static int open_keyring(const char *keyring, char **ret_path, bool *ret_temporary, const char *dir,
			struct ab_error *err)
{
	_free_ char *data = NULL;
	_text_ struct text keys = {};
	size_t size;
	int r = file_read(keyring, KEYRING_LIMIT, &data, &size, err), fd;

	if (r < 0) {
		ab_error_prefix(err, "keyring");
		return r;
	}
	*ret_temporary = false;
	if (!strstr(data, "-----BEGIN PGP")) {
		/* A name without '/' would mean something else to gpgv. */
		*ret_path = realpath(keyring, NULL);
		return *ret_path ? 0 : ab_fail_errno(err, -errno, "'%s'", keyring);
	}
	if (dearmour(data, &keys) < 0)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "keyring '%s' is damaged", keyring);
	r = ab_temporary(dir, ret_path, &fd, err);
	if (r < 0)
		return r;
	*ret_temporary = true;
	r = fd_write_all(fd, keys.p, keys.n);
	close(fd);
	if (r < 0) {
		unlink(*ret_path);
		free(*ret_path);
		return ab_fail_errno(err, r, "cannot write the keyring");
	}
	return 0;
}

/* ---- gpgv ---- */

/* A file with several signatures counts when one is good and none is bad: the others may be by keys that are not in the
 * keyring. */
static int judge(const char *status, const char *keyring, struct ab_error *err)
{
	const char *missing = strstr(status, "NO_PUBKEY ");

	if (strstr(status, "] BADSIG "))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "the signature is wrong: it was changed after it was signed");
	if (strstr(status, "] GOODSIG "))
		return 0;
	if (strstr(status, "] EXPKEYSIG ") || strstr(status, "] EXPSIG ") || strstr(status, "] REVKEYSIG "))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG,
			       "it is signed by a key of '%s' that has expired or was revoked", keyring);
	if (missing)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "it is signed by key %.*s, which is not in '%s'",
			       (int)strcspn(missing + 10, " \n"), missing + 10, keyring);
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "it is not signed");
}

static int verify(struct fetcher *fetcher, const char *keyring, const char *out, const char *first, const char *second,
		  struct ab_error *err)
{
	const char *argv[12] = { "gpgv", "--quiet", "--status-fd", "1", "--keyring" };
	_free_ char *path = NULL, *status = NULL;
	bool temporary;
	size_t n = 5;
	int r;

	if (!keyring)
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "no keyring says whose signature would count");
	r = open_keyring(keyring, &path, &temporary, fetcher->cache, err);
	if (r < 0)
		return r;
	argv[n++] = path;
	if (out) {
		argv[n++] = "--output";
		argv[n++] = out;
		unlink(out);
	}
	argv[n++] = first;
	if (second)
		argv[n++] = second;
	r = ab_command_run(argv, NULL, &status, NULL, err);
	if (r == -ENOENT)
		ab_error_prefix(err, "signatures need gpgv");
	if (r >= 0)
		r = judge(status ? status : "", keyring, err);
	if (temporary)
		unlink(path);
	return r;
}

int ab_verify_inline(struct fetcher *fetcher, const char *keyring, const char *path, const char *out,
		     struct ab_error *err)
{
	int r = verify(fetcher, keyring, out, path, NULL, err);

	if (r == 0 && access(out, R_OK) < 0)
		r = ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "it has a signature and nothing that is signed");
	return r;
}

int ab_verify_detached(struct fetcher *fetcher, const char *keyring, const char *signature, const char *path,
		       struct ab_error *err)
{
	return verify(fetcher, keyring, NULL, signature, path, err);
}

/* ---- RPM ---- */

struct rpm_file {
	const char *path;
	int fd;
	char *head; /* the start of the file */
	size_t size;
	struct rpm rpm;
};

static int write_temporary(const char *dir, const void *data, size_t size, char **ret_path, int *ret_fd,
			   struct ab_error *err)
{
	int r = ab_temporary(dir, ret_path, ret_fd, err);

	if (r == 0 && (r = fd_write_all(*ret_fd, data, size)) < 0)
		r = ab_fail_errno(err, r, "'%s'", *ret_path);
	return r;
}

/* Newer packages sign the header, which has the payload's digest. */
static int check_payload(const struct rpm_file *f, const char *dir, struct ab_error *err)
{
	const char *header = f->head + f->rpm.header_start, *digest;
	size_t at = f->rpm.header_start + f->rpm.header_size, size;
	_free_ char *path = NULL;
	uint32_t type, count;
	_close_ int fd = -1;
	int r;

	if (!ab_rpm_tag(header, f->rpm.header_size, 5092, &type, &count, &digest, &size) || !memchr(digest, '\0', size))
		return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "its signature covers its header only");
	r = ab_temporary(dir, &path, &fd, err);
	if (r < 0)
		return r;
	r = ab_copy_file(f->fd, at, fd);
	r = r < 0 ? ab_fail_errno(err, r, "'%s'", path) : ab_hash_check(path, "sha256", digest, err);
	unlink(path);
	return r;
}

/* Older ones sign header and payload together. */
static int verify_whole(struct fetcher *fetcher, const char *keyring, const struct rpm_file *f, const char *signature,
			size_t size, struct ab_error *err)
{
	_free_ char *sig = NULL, *signed_ = NULL;
	_close_ int sig_fd = -1, fd = -1;
	int r = write_temporary(fetcher->cache, signature, size, &sig, &sig_fd, err);

	if (r == 0)
		r = ab_temporary(fetcher->cache, &signed_, &fd, err);
	if (r == 0 && (r = ab_copy_file(f->fd, f->rpm.header_start, fd)) < 0)
		r = ab_fail_errno(err, r, "'%s'", signed_);
	if (r == 0)
		r = verify(fetcher, keyring, NULL, sig, signed_, err);
	if (sig)
		unlink(sig);
	if (signed_)
		unlink(signed_);
	return r;
}

static int verify_header(struct fetcher *fetcher, const char *keyring, const struct rpm_file *f, const char *signature,
			 size_t size, struct ab_error *err)
{
	_free_ char *sig = NULL, *header = NULL;
	_close_ int sig_fd = -1, fd = -1;
	int r = write_temporary(fetcher->cache, signature, size, &sig, &sig_fd, err);

	if (r == 0)
		r = write_temporary(fetcher->cache, f->head + f->rpm.header_start, f->rpm.header_size, &header, &fd,
				    err);
	if (r == 0)
		r = verify(fetcher, keyring, NULL, sig, header, err);
	if (r == 0)
		r = check_payload(f, fetcher->cache, err);
	if (sig)
		unlink(sig);
	if (header)
		unlink(header);
	return r;
}

static int verify_rpm(struct fetcher *fetcher, const char *keyring, const struct rpm_file *f, struct ab_error *err)
{
	static const struct {
		uint32_t tag;
		bool header;
	} tags[] = { { 1002, false }, { 1005, false }, { 268, true }, { 267, true } };
	const char *signatures = f->head + f->rpm.signature_start, *p;
	uint32_t type, count;
	size_t size;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
		if (!ab_rpm_tag(signatures, f->rpm.signature_size, tags[i].tag, &type, &count, &p, &size) ||
		    type != 7 || count > size)
			continue;
		return tags[i].header ? verify_header(fetcher, keyring, f, p, count, err)
				      : verify_whole(fetcher, keyring, f, p, count, err);
	}
	return ab_fail(err, AB_ERROR_FORMAT, -EBADMSG, "the package is not signed");
}

int ab_verify_rpm(struct fetcher *fetcher, const char *keyring, const char *path, struct ab_error *err)
{
	struct rpm_file f = { .path = path, .fd = open(path, O_RDONLY | O_CLOEXEC) };
	struct stat st;
	ssize_t n;
	int r;

	if (f.fd < 0 || fstat(f.fd, &st) < 0)
		return ab_fail_errno(err, -errno, "'%s'", path);
	f.head = malloc(MIN(st.st_size, HEADERS_LIMIT) + 1);
	n = f.head ? pread(f.fd, f.head, MIN(st.st_size, HEADERS_LIMIT), 0) : -1;
	f.size = MAX(n, 0);
	r = f.head ? ab_rpm_read(f.head, f.size, &f.rpm, err) : ab_fail_memory(err);
	if (r == 0)
		r = verify_rpm(fetcher, keyring, &f, err);
	free(f.head);
	close(f.fd);
	return r;
}
