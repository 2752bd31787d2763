/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Whether KVM runs guests here. A /dev/kvm that opens, makes virtual machines and even runs a few instructions proves nothing
 * (nested or restricted hosts), so a guest is booted by it, once for each boot of this machine. A kernel that boots by nothing
 * says nothing about KVM: that it does not work is kept when the kernel has booted without.
 */
#include <unistd.h>
#include "lab.h"

#define PROBE_MS 4000 /* a guest takes less than a second where KVM works */

static char *boot_id(void)
{
	char *text = NULL;
	size_t size;

	if (file_read("/proc/sys/kernel/random/boot_id", 128, &text, &size, NULL) < 0)
		return strdup("unknown");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* The cache remembers "BOOT-ID kvm" or "BOOT-ID tcg". */
static const char *recall(const char *path, const char *id)
{
	_free_ char *text = NULL;
	size_t size, n = strlen(id);

	if (file_read(path, 256, &text, &size, NULL) < 0 || strncmp(text, id, n) || text[n] != ' ')
		return NULL;
	return !strcmp(text + n + 1, "kvm\n") ? "kvm" : !strcmp(text + n + 1, "tcg\n") ? "tcg" : NULL;
}

static const char *probe(struct ab_lab *lab, const struct ab_image *image, const char *qemu)
{
	AB_OPTS(ab_guest_opts, opts, .timeout_ms = PROBE_MS, .qemu = qemu);
	struct ab_guest_result result;
	const char *found = "tcg";

	if (ab_guest_run_with(lab, image, &opts, "kvm", &result, NULL) < 0)
		return "tcg";
	if (result.state == AB_GUEST_DONE)
		found = "kvm";
	ab_guest_result_clear(&result);
	return found;
}

static bool may_work(const struct ab_lab *lab)
{
	return ab_lab_is_native(lab) && access("/dev/kvm", R_OK | W_OK) == 0;
}

/* What this machine has in this boot; NULL: not known. */
static const char *recall_accelerator(struct ab_lab *lab)
{
	_free_ char *path = NULL, *id = boot_id();

	return id && ab_lab_path(lab, &path, NULL, "accelerator-%s", lab->arch) == 0 ? recall(path, id) : NULL;
}

static void remember_accelerator(struct ab_lab *lab)
{
	_free_ char *path = NULL, *id = boot_id();
	_text_ struct text t = {};

	text_printf(&t, "%s %s\n", id ? id : "unknown", lab->accelerator);
	if (t.p && ab_lab_path(lab, &path, NULL, "accelerator-%s", lab->arch) == 0)
		file_write(path, t.p, t.n, 0644, NULL);
}

static void find_accelerator(struct ab_lab *lab, const struct ab_image *image, const char *qemu)
{
	const char *found = may_work(lab) ? recall_accelerator(lab) : "tcg";
	bool probed = !found;

	lab->accelerator = found ? found : probe(lab, image, qemu);
	lab->doubtful = NULL;
	if (probed && !strcmp(lab->accelerator, "kvm"))
		remember_accelerator(lab);
	else if (probed)
		lab->doubtful = image;
}

/* Guests that start together wait for one probe. */
static pthread_mutex_t probing = PTHREAD_MUTEX_INITIALIZER;

const char *ab_guest_accelerator(struct ab_lab *lab, const struct ab_image *image, const char *qemu)
{
	const char *accelerator;

	pthread_mutex_lock(&probing);
	if (!lab->accelerator || lab->probe_again)
		find_accelerator(lab, image, qemu);
	lab->probe_again = false;
	accelerator = lab->accelerator;
	pthread_mutex_unlock(&probing);
	return accelerator;
}

void ab_guest_learn(struct ab_lab *lab, const struct ab_image *image, bool booted)
{
	pthread_mutex_lock(&probing);
	if (lab->doubtful == image) {
		lab->doubtful = NULL;
		lab->probe_again = !booted;
		if (booted)
			remember_accelerator(lab);
	}
	pthread_mutex_unlock(&probing);
}

const char *ab_lab_accelerator(struct ab_lab *lab)
{
	return lab->accelerator ? lab->accelerator : "";
}
