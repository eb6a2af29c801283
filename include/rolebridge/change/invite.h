/*
 * Invites: somebody may come, with a profile and other grants of origin "invite". An invite stands on the
 * authority of whoever sent it last: what it gives must lie within theirs when it is made, when it is sent
 * anew, and when it is accepted.
 *
 * What is mailed is noted in the outbox in the same transaction (store/invite.h); the link is made from uuid
 * and generation by those who have the key.
 */
#ifndef ROLEBRIDGE_CHANGE_INVITE_H
#define ROLEBRIDGE_CHANGE_INVITE_H

#include <rolebridge/change/changer.h>
#include <rolebridge/store/invite.h>

struct new_invite {
	const char *email;
	const char *username;		   /* NULL or "": the e-mail address */
	const char *display_name;	   /* NULL or "": none */
	const char *organization;	   /* NULL or "": the actor's, or "default" */
	const char *profile;		   /* NULL or "": refused, "profile-required" */
	const struct invite_grant *grants; /* roles, personas, groups */
	size_t grant_count;
	int64_t lifetime_s;
};
/*
 * ERR_CONFLICT: "email-taken", "email-in-other-organization", "username-taken", "name-reserved",
 * "invite-pending" (one is there already). ERR_DENIED "not-allowed": beyond the actor's own permissions.
 * *ret_field, also on failure: the field a refusal is about, or NULL.
 */
int change_invite_create(struct changer *changer, const struct actor *actor,
			 const struct new_invite *invite, struct uuid *ret_uuid,
			 const char **ret_field, struct err *err);
/* A new link, whose time begins now; those before are void. ERR_CONFLICT "invite-used", "invite-revoked". */
int change_invite_resend(struct changer *changer, const struct actor *actor,
			 const struct uuid *uuid, int64_t lifetime_s, struct err *err);
/* ERR_CONFLICT "invite-used". Again: nothing happens. */
int change_invite_revoke(struct changer *changer, const struct actor *actor,
			 const struct uuid *uuid, struct err *err);

/*
 * Is a link of this generation still good? ERR_CONFLICT "invite-used", "invite-revoked",
 * "invite-superseded", "invite-expired".
 */
int change_invite_check(const struct invite_row *invite, int64_t generation, int64_t now_s,
			struct err *err);
/*
 * Whoever holds the link comes: the user is made and the invite is used up. Errors as above, and as in making a
 * user; ERR_DENIED "invite-not-allowed": whoever sent it may not give this any more. request: for the audit rows.
 * password_hash: of the password that they sign in with from now on (auth/hasher.h); NULL: none.
 */
int change_invite_accept(struct changer *changer, const char *request, const struct uuid *uuid,
			 int64_t generation, const char *password_hash, struct uuid *ret_user,
			 struct err *err);

/* --- delivery --- */
/*
 * It is out, or shall not be sent any more: the row goes. Who did so before, since what it was about ended while it was
 * being sent, is told all the same that it went out.
 */
int change_outbox_done(struct changer *changer, const struct outbox_row *row, bool sent,
		       struct err *err);
/* Not this time. permanent: never; the row goes, and whoever looks at the invite sees why. */
int change_outbox_failed(struct changer *changer, const struct outbox_row *row, const char *problem,
			 int64_t next_s, bool permanent, struct err *err);

#endif
