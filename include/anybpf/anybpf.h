/* SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause */
/* All of libanybpf. Each header is the manual of its noun; error.h states what holds everywhere. */
#ifndef ANYBPF_H
#define ANYBPF_H

#include <anybpf/error.h>
#include <anybpf/build.h>
#include <anybpf/object.h>
#include <anybpf/map.h>
#include <anybpf/event.h>
#include <anybpf/format.h>
#include <anybpf/symbol.h>
#include <anybpf/feature.h>
#include <anybpf/pack.h>
#include <anybpf/kernels.h>
#include <anybpf/min.h>
#include <anybpf/check.h>
#include <anybpf/types.h>

#endif
