/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* The numbers of the compiler protocol (protocol.h), apart so that the C++ shim can have them too. */
#ifndef AB_TAGS_H
#define AB_TAGS_H

enum cc_tag {
	CC_VERSION = 1, /* hello: the clang release, "22.1.8"; a NUL; where its own headers are */

	CC_PROBLEM,     /* hello, in its place: why this worker cannot work */

	CC_CWD = 16,    /* request: the directory that relative paths start from */
	CC_ARG,         /* request: one argument of clang -cc1, without NUL */
	CC_FILE,        /* request: a virtual file: name, NUL, content, NUL */
	CC_TIMEOUT,     /* request: u32 milliseconds of wall time */

	CC_STATUS = 32, /* reply: u32 enum cc_status */
	CC_OBJECT,      /* reply: the ELF object */
	CC_TEXT,        /* reply: diagnostics as clang prints them */
	CC_DIAGNOSTIC,  /* reply: u32 severity, line, column; file, NUL, message */
	CC_INPUT,       /* reply: path of a file that was read */
};

enum cc_status {
	CC_OK = 0,
	CC_ERRORS,      /* diagnostics say which */
	CC_CRASHED,     /* the process that compiled died */
	CC_TIMED_OUT,
	CC_BAD_REQUEST,
	CC_TOO_LARGE,   /* it needs more memory than it may, or the answer has no room in a message */
};

enum cc_severity { CC_NOTE = 1, CC_REMARK, CC_WARNING, CC_ERROR, CC_FATAL };

#endif
