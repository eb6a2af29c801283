/* Giving up what the helper and its programs never need. */
#ifndef ROLEBRIDGE_ACCOUNTS_PRIVILEGE_H
#define ROLEBRIDGE_ACCOUNTS_PRIVILEGE_H

#include <stdbool.h>

#include <rolebridge/base/err.h>

/*
 * For this process and all it starts: no new privileges, and of root's capabilities CHOWN, DAC_OVERRIDE and
 * FOWNER alone (and KILL, when processes are to be ended; its programs are bounded by all four). ERR_DENIED when one of these is not there.
 */
int privilege_reduce(bool may_kill, struct err *err);

#endif
