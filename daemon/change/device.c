/* Remembered browsers, and the way past enrolling while grace lasts. */
#include <rolebridge/change/device.h>

#include <rolebridge/base/util.h>

static int not_yet(struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "second factors are not at hand");
}

int change_device_remember(struct changer *changer UNUSED, const struct actor *actor UNUSED,
			   int64_t session_id UNUSED, int64_t now_s UNUSED,
			   struct arena *arena UNUSED, struct device_row *ret_row UNUSED,
			   struct err *err)
{
	return not_yet(err);
}

int change_device_forget(struct changer *changer UNUSED, const struct actor *actor UNUSED,
			 int64_t user_id UNUSED, const struct uuid *device UNUSED,
			 size_t *ret_count UNUSED, struct err *err)
{
	return not_yet(err);
}

int change_enrol_later(struct changer *changer UNUSED, const struct actor *actor UNUSED,
		       int64_t session_id UNUSED, const struct hash256 *token UNUSED,
		       int64_t now_s UNUSED, struct arena *arena UNUSED,
		       struct session *ret_session UNUSED, struct err *err)
{
	return not_yet(err);
}

int change_stage_read(struct changer *changer UNUSED, struct store *store UNUSED,
		      int64_t user_id UNUSED, int64_t now_s UNUSED, struct arena *arena UNUSED,
		      struct factor_answer *ret_answer UNUSED, unsigned *ret_enrolled UNUSED,
		      struct err *err)
{
	return not_yet(err);
}
