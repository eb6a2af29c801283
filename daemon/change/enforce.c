/* Who must prove a second factor, per organization. */
#include <rolebridge/change/enforce.h>

#include <rolebridge/base/util.h>

static int not_yet(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "second factors are not at hand");
}

int change_enforce_get(const struct setup *setup UNUSED, struct store *store UNUSED,
		       const char *organization UNUSED, struct arena *arena UNUSED,
		       struct enforce_state *ret_state UNUSED, struct err *err)
{
	return not_yet(err);
}

int change_enforce_preview(const struct setup *setup UNUSED, struct store *store UNUSED,
			   const char *organization UNUSED,
			   const struct factor_policy *policy UNUSED, int64_t after UNUSED,
			   size_t limit UNUSED, struct arena *arena UNUSED,
			   struct enforce_preview *ret_preview UNUSED, struct err *err)
{
	return not_yet(err);
}

int change_enforce_set(struct changer *changer UNUSED, const struct actor *actor UNUSED,
		       const struct enforce_change *change UNUSED, struct arena *arena UNUSED,
		       struct enforce_state *ret_state UNUSED, struct err *err)
{
	return not_yet(err);
}

bool change_step_up_max_age(const struct setup *setup UNUSED, const char *permission UNUSED,
			    int64_t *ret_max_age_s UNUSED)
{
	return false;
}
