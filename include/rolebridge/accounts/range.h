/*
 * Which uids are the accounts helper's to give, as root has it in the helper's own configuration: for whoever must not
 * take the daemon's word for whose account one is.
 */
#ifndef ROLEBRIDGE_ACCOUNTS_RANGE_H
#define ROLEBRIDGE_ACCOUNTS_RANGE_H

#include <stdint.h>

#include <rolebridge/base/err.h>

#define ACCOUNTS_CONFIG "/etc/rolebridge/accounts.conf"

/* 0, or -1 when the file is not there, not root's (or the caller's) alone to write, or wrong: nobody is ours then. */
int accounts_range_read(const char *path, uint32_t *ret_min, uint32_t *ret_max, struct err *err);

#endif
