/*
 * Privileges. Enters: root, with whatever it was started with. Leaves: three or four capabilities, also as
 * the bound of every program it starts. Fails when something cannot be given up: then it does not start.
 */
#include "privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <rolebridge/base/util.h>

static int drop_from_bound(uint64_t kept, struct err *err)
{
	for (int capability = 0; capability < 64; capability++) {
		int there = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);

		/* Past the last one the kernel knows. */
		if (there < 0)
			return 0;
		if (there && !(kept & (UINT64_C(1) << capability)) &&
		    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return err_set_errno(err, ERR_DENIED, errno,
					     "cannot give up capability %d for good", capability);
	}
	return 0;
}

static int set_capabilities(uint64_t kept, struct err *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(data); i++) {
		data[i].effective = data[i].permitted = (uint32_t)(kept >> (32 * i));
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return err_set_errno(err, ERR_DENIED, errno,
				     "the capabilities CHOWN, DAC_OVERRIDE, FOWNER and KILL "
				     "(for end_sessions) are needed");
	return 0;
}

int privilege_reduce(bool may_kill, struct err *err)
{
	uint64_t may_kill_bit = UINT64_C(1) << CAP_KILL;
	uint64_t kept = UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE |
			UINT64_C(1) << CAP_FOWNER | (may_kill ? may_kill_bit : 0);

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set_errno(err, ERR_DENIED, errno, "cannot renounce new privileges");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return err_set_errno(err, ERR_DENIED, errno, "cannot clear ambient capabilities");
	/*
	 * While SETPCAP is still there. A unit's bound holds KILL whatever the configuration says, and nobody there could take
	 * it out.
	 */
	if (drop_from_bound(kept | may_kill_bit, err) < 0)
		return -1;
	return set_capabilities(kept, err);
}
