/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * What the lab and the first process of its guests say to each other.
 *
 * Down: /lab/manifest in the initramfs. Records of NUL-terminated fields, the last field of a record is followed by one more
 * NUL; the first field is the verb:
 *
 *	token TEXT              what the last frame has to say
 *	module PATH             load this kernel module; failing is reported and not fatal
 *	port NAME               open this virtio port: everything below is reported through it
 *	share TAG PATH          mount the host's 9p share there, read-only
 *	copied PATH             that is a copy of the host's directory, to be sealed
 *	hide bpf|btf|ringbuf|tracefs  make the guest look like a kernel without it, or end it; after tracefs, nothing can be mounted
 *	start ID ARG...         start a program; its output is streamed
 *	await ID MS TEXT        until its output contained TEXT, it ended, or MS passed
 *	settle ID MS            until it ended or MS passed
 *	run ID MS ARG...        start a program and wait; after MS it is killed
 *	stop ID MS              SIGINT, and SIGKILL after MS; what it left in the background is killed. 64 programs may
 *	                        be there that were not stopped
 *	shell ARG...            an interactive program on the console
 *
 * Up: frames through the port. A guest that does not get as far as the 'S' frame with the token has failed, whatever it
 * said before.
 */
#ifndef AB_LAB_GUEST_PROTOCOL_H
#define AB_LAB_GUEST_PROTOCOL_H

#include <stdint.h>

#define GUEST_PORT "anybpf.lab"
#define GUEST_MANIFEST "/lab/manifest"
#define GUEST_MAGIC 0x4c464241u /* "ABFL" in memory on little-endian machines */
#define GUEST_CHUNK 16384       /* no frame is larger */

enum guest_frame_type {
	GUEST_BOOT = 'B',   /* the port is open; payload: ns since boot, decimal, and the kernel's release */
	GUEST_STDOUT = 'o', /* of program `id` */
	GUEST_STDERR = 'e',
	GUEST_EXIT = 'x',   /* payload: the wait status, decimal; then a space and "killed" if it ran out of time */
	GUEST_NOTE = 'n',   /* something went wrong that need not be fatal */
	GUEST_SUCCESS = 'S', /* payload: the token */
};

struct guest_frame {
	uint32_t magic;
	uint8_t type;
	uint8_t pad;
	uint16_t id;   /* of the program, or 0 */
	uint32_t size; /* of the payload that follows */
};

#endif
