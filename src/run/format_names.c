/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/*
 * Names by number: errnos, signals, system calls, enumerators. The tables are our own because the C library that this
 * will run with may be older than strerrorname_np() and sigabbrev_np().
 */
#include <asm/unistd.h>
#include <signal.h>
#include "format_plan.h"

#define E(name) [E##name] = "E" #name
static const char *const errnos[] = {
	E(PERM), E(NOENT), E(SRCH), E(INTR), E(IO), E(NXIO), E(2BIG), E(NOEXEC), E(BADF), E(CHILD), E(AGAIN), E(NOMEM),
	E(ACCES), E(FAULT), E(NOTBLK), E(BUSY), E(EXIST), E(XDEV), E(NODEV), E(NOTDIR), E(ISDIR), E(INVAL), E(NFILE),
	E(MFILE), E(NOTTY), E(TXTBSY), E(FBIG), E(NOSPC), E(SPIPE), E(ROFS), E(MLINK), E(PIPE), E(DOM), E(RANGE),
	E(DEADLK), E(NAMETOOLONG), E(NOLCK), E(NOSYS), E(NOTEMPTY), E(LOOP), E(NOMSG), E(IDRM), E(CHRNG), E(L2NSYNC),
	E(L3HLT), E(L3RST), E(LNRNG), E(UNATCH), E(NOCSI), E(L2HLT), E(BADE), E(BADR), E(XFULL), E(NOANO), E(BADRQC),
	E(BADSLT), E(BFONT), E(NOSTR), E(NODATA), E(TIME), E(NOSR), E(NONET), E(NOPKG), E(REMOTE), E(NOLINK), E(ADV),
	E(SRMNT), E(COMM), E(PROTO), E(MULTIHOP), E(DOTDOT), E(BADMSG), E(OVERFLOW), E(NOTUNIQ), E(BADFD), E(REMCHG),
	E(LIBACC), E(LIBBAD), E(LIBSCN), E(LIBMAX), E(LIBEXEC), E(ILSEQ), E(RESTART), E(STRPIPE), E(USERS), E(NOTSOCK),
	E(DESTADDRREQ), E(MSGSIZE), E(PROTOTYPE), E(NOPROTOOPT), E(PROTONOSUPPORT), E(SOCKTNOSUPPORT), E(OPNOTSUPP),
	E(PFNOSUPPORT), E(AFNOSUPPORT), E(ADDRINUSE), E(ADDRNOTAVAIL), E(NETDOWN), E(NETUNREACH), E(NETRESET),
	E(CONNABORTED), E(CONNRESET), E(NOBUFS), E(ISCONN), E(NOTCONN), E(SHUTDOWN), E(TOOMANYREFS), E(TIMEDOUT),
	E(CONNREFUSED), E(HOSTDOWN), E(HOSTUNREACH), E(ALREADY), E(INPROGRESS), E(STALE), E(UCLEAN), E(NOTNAM), E(NAVAIL),
	E(ISNAM), E(REMOTEIO), E(DQUOT), E(NOMEDIUM), E(MEDIUMTYPE), E(CANCELED), E(NOKEY), E(KEYEXPIRED), E(KEYREVOKED),
	E(KEYREJECTED), E(OWNERDEAD), E(NOTRECOVERABLE), E(RFKILL), E(HWPOISON),
};
#undef E

/* What the kernel keeps from user space and tracers see (include/linux/errno.h), from 512 on. */
static const char *const kernel_errnos[] = {
	"ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", "ENOIOCTLCMD", "ERESTART_RESTARTBLOCK", "EPROBE_DEFER",
	"EOPENSTALE", "ENOPARAM", NULL, "EBADHANDLE", "ENOTSYNC", "EBADCOOKIE", "ENOTSUPP", "ETOOSMALL", "ESERVERFAULT",
	"EBADTYPE", "EJUKEBOX", "EIOCBQUEUED", "ERECALLCONFLICT", "ENOGRACE",
};

#define S(name) [SIG##name] = "SIG" #name
static const char *const signals[] = {
	S(HUP), S(INT), S(QUIT), S(ILL), S(TRAP), S(ABRT), S(BUS), S(FPE), S(KILL), S(USR1), S(SEGV), S(USR2), S(PIPE),
	S(ALRM), S(TERM), S(CHLD), S(CONT), S(STOP), S(TSTP), S(TTIN), S(TTOU), S(URG), S(XCPU), S(XFSZ), S(VTALRM), S(PROF),
	S(WINCH), S(IO), S(PWR), S(SYS),
#ifdef SIGSTKFLT
	S(STKFLT),
#endif
};
#undef S

/* Some architectures have two names for a number; either is right. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const char *const syscalls[] = {
#include "run/syscalls.inc"
};
#pragma GCC diagnostic pop

static const char *name_at(const char *const *names, size_t count, uint64_t i)
{
	return i < count ? names[i] : NULL;
}

const char *ab_errno_name(int64_t value)
{
	uint64_t n = value < 0 ? -(uint64_t)value : (uint64_t)value;

	if (n < 512)
		return name_at(errnos, ARRAY_SIZE(errnos), n);
	return value < 0 ? name_at(kernel_errnos, ARRAY_SIZE(kernel_errnos), n - 512) : NULL;
}

const char *ab_signal_name(uint64_t value, char buf[16])
{
	const int first = 34; /* SIGRTMIN of the C libraries, which keep 32 and 33 */

	if (value < (uint64_t)first || value > 64)
		return name_at(signals, ARRAY_SIZE(signals), value);
	if (value == (uint64_t)first)
		return "SIGRTMIN";
	snprintf(buf, 16, "SIGRTMIN+%d", (int)value - first);
	return buf;
}

const char *ab_syscall_name(uint64_t number)
{
	return name_at(syscalls, ARRAY_SIZE(syscalls), number);
}

const struct enum_name *ab_enum_find(const struct enum_names *names, uint64_t value)
{
	uint32_t low = 0, high = names->count;

	if (!names->wide) {
		if (value > UINT32_MAX && (int64_t)value != (int32_t)value)
			return NULL;
		value = (uint32_t)value;
	}
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (names->items[mid].value == value)
			return &names->items[mid];
		if (names->items[mid].value < value)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void ab_out_flags(struct out *o, const struct ab_format *f, const struct op *op, const uint8_t *base)
{
	uint64_t left = op_load_unsigned(op, base);
	const char *bar = "";
	char *start;

	for (uint32_t i = 0; i < op->names->count; i++) {
		const struct enum_name *item = &op->names->items[i];

		if (!(left & item->value) || item->value & (item->value - 1))
			continue;
		out_puts(o, bar);
		out_add(o, f->strings + item->name + 1, item->size - 2);
		left &= ~item->value;
		bar = "|";
	}
	if (!left && *bar)
		return;
	out_puts(o, bar);
	start = out_room(o, VALUE_MAX);
	out_done(o, start, left ? ab_put_hex(start, left) : put_u64(start, 0));
}
