/*
 * The group phase: every group entry goes into the closure, with the
 * fingerprints of its members and the wanted ids it answers to. Long member
 * lists that Active Directory cuts (member;range=) are fetched to their end.
 */
#ifndef SOURCE_LDAP_GROUPINGS_H
#define SOURCE_LDAP_GROUPINGS_H

#include <rolebridge/source/closure.h>

#include "canary.h"
#include "search.h"

struct groupings {
	struct closure *closure;
	/* Every group was seen: a user's absence from one means something. */
	bool complete;
};

/*
 * Run the search of groups, which job->wanted_count > 0 asks for; `then` starts when its last page
 * is in. 0 also when the search ended early (outcome says so); -1 when nothing more can be
 * asked of this connection or memory is out.
 */
int groupings_read(struct session *session, struct search *then, struct canaries *canaries,
		   struct groupings *groupings);
void groupings_finish(struct groupings *groupings);

#endif
