/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Which packets are for us. */
#ifndef OURS_H
#define OURS_H

#include "kernel.h"

struct address {
    u32 words[4];
};

/* Addresses of ours, IPv4 mapped into IPv6. */
struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_HASH);
    MAP_NUMBER(max_entries, 4096);
    MAP_TYPE(key, struct address);
    MAP_TYPE(value, u32);
} addresses SECTION(".maps");

#endif
