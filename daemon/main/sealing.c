/*
 * Where the sealing key is, and what is sealed without one that is there. A store that was copied here without its key
 * must not come to nothing in silence: who has a factor that cannot be opened is asked for another one, and
 * an alarm says why.
 */
#include "sealing.h"

#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/store/factor.h>

#define CREDENTIAL "sealing-key"
#define ALARM_KIND "sealing-key-missing"
#define KEYS_ARENA (1u << 20)

/* Was one passed to the service? */
static bool has_credential(void)
{
	AUTO(strbuf) struct strbuf path = STRBUF(PATH_MAX);

	return secret_resolve(CREDENTIAL, &path, NULL) == 0 &&
	       access(strbuf_text(&path), F_OK) == 0;
}

static int find_path(struct changer *changer, struct configuration *config, struct strbuf *path,
		     bool *ret_own, struct err *err)
{
	const char *configured = config->settings.web.sealing_key.text;
	char *copy;

	*ret_own = false;
	if (configured || has_credential()) {
		strbuf_puts(path, configured ? configured : CREDENTIAL);
	} else {
		copy = strdup(changer_store_path(changer));
		if (!copy)
			return err_set(err, ERR_MEMORY, "out of memory");
		strbuf_printf(path, "%s/seal.key", dirname(copy));
		free(copy);
		*ret_own = true;
	}
	return strbuf_failed(path)
		       ? err_set(err, ERR_INVALID, "path of the sealing key is too long")
		       : 0;
}

/* --- is one missing? --- */

static bool is_there(struct seal *seal, int64_t id)
{
	struct seal_key keys[SEAL_KEYS_MAX];
	size_t count = seal_keys(seal, keys);

	for (size_t i = 0; i < count; i++)
		if (keys[i].id == id)
			return true;
	return false;
}

static int look(struct seal *seal, struct changer *changer, struct strbuf *text, struct err *err)
{
	AUTO(store)
	struct store *store = store_open(changer_store_path(changer), STORE_READ, err);
	AUTO(arena) struct arena *arena = arena_create(KEYS_ARENA);
	struct sealed_count *keys;
	size_t count;

	if (!store)
		return -1;
	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (store_factor_keys(store, arena, &keys, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		char name[SEAL_KEY_NAME];

		if (is_there(seal, keys[i].key_id))
			continue;
		seal_key_name(keys[i].key_id, name);
		strbuf_printf(text, "%s%lld factors are sealed under key %s, which is not there",
			      text->size ? "; " : "", (long long)keys[i].rows, name);
	}
	return 0;
}

static void check(struct seal *seal, struct changer *changer)
{
	AUTO(strbuf) struct strbuf text = STRBUF(4096);
	struct err err = { 0 };
	int result = look(seal, changer, &text, &err);

	if (result == 0 && text.size > 0) {
		log_error(ALARM_KIND, F_STR("text", strbuf_text(&text)));
		result = change_alarm_raise(changer, ALARM_KIND, "factors", strbuf_text(&text),
					    &err);
	} else if (result == 0) {
		result = change_alarm_end(changer, ALARM_KIND, "factors", "keys", &err);
	}
	if (result < 0)
		log_error("sealing-key.check", F_ERR(&err));
}

/* --- begin, reload --- */

struct seal *sealing_open(struct changer *changer, struct configuration *config, struct err *err)
{
	AUTO(strbuf) struct strbuf path = STRBUF(PATH_MAX);
	struct seal *seal;
	bool own;

	if (find_path(changer, config, &path, &own, err) < 0)
		return NULL;
	seal = seal_create(strbuf_text(&path), own, err);
	if (seal)
		check(seal, changer);
	return seal;
}

void sealing_configure(struct seal *seal, struct changer *changer, struct configuration *config)
{
	AUTO(strbuf) struct strbuf path = STRBUF(PATH_MAX);
	struct err err = { 0 };
	bool own;

	if (find_path(changer, config, &path, &own, &err) < 0 ||
	    seal_reload(seal, strbuf_text(&path), own, &err) < 0)
		log_error("reload.sealing-key", F_ERR(&err));
	else
		check(seal, changer);
}
