/*
 * What is read before anything runs: the store's lock, the store in this version, what it defines, the files.
 *
 * Enters: the configuration's path. Leaves: the configuration to begin with, and the lock. Fails, with nothing running, when
 * another daemon has the store, the store cannot be had, or the files are wrong (what is wrong with them goes to standard
 * error).
 */
#include "service_parts.h"

#include <limits.h>
#include <string.h>

#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>

#include "definitions.h"
#include "upgrade.h"

#define REGISTRY_MAX_BYTES (64u * 1024 * 1024)
#define DEFINITIONS_MAX_BYTES (512u * 1024 * 1024)

static int load_known_groups(struct store *store, struct group_registry *registry, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(REGISTRY_MAX_BYTES);
	struct group_registry_row *rows;
	uint32_t next_id;
	size_t count;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (store_groups_load(store, arena, &rows, &count, &next_id, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		struct group group = {
			.id = rows[i].id,
			.name = rows[i].name,
			.found = rows[i].found,
			.vanished = rows[i].vanished,
			.released = rows[i].released,
		};

		if (group_registry_load(registry, &group, err) < 0)
			return -1;
	}
	group_registry_set_next_id(registry, next_id);
	return 0;
}

/* Files may drop what rules of the store name. A reload is refused then; a start has nothing to go on with. */
static struct configuration *load_leniently(const char *path, struct definition_list *definitions)
{
	AUTO(diagnostics) struct diagnostics *unheard = diagnostics_create();

	definitions->lenient = true;
	return unheard ? configuration_load(path, NULL, 0, NULL, definitions, unheard, NULL) : NULL;
}

/* Only the store's path is needed before group numbers can be read: two passes over the files. */
static struct configuration *load_first(const char *path, struct err *err)
{
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	struct definition_list *definitions;
	struct configuration *config;

	if (!list || !arena) {
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	if (configuration_definitions(path, arena, &definitions, err) < 0)
		return NULL;
	config = configuration_load(path, NULL, 0, NULL, definitions, list, &document);
	if (!config && definitions)
		config = load_leniently(path, definitions);
	if (config)
		return config;
	configuration_report(list, document);
	err_refuse(err, ERR_INVALID, "invalid-config", "configuration '%s' has %zu error(s)", path,
		   diagnostics_errors(list));
	return NULL;
}

/*
 * What is known of identities is kept in memory: a second daemon on the same store would lie to both. And what an
 * older version defined in it must be there before the files are read, which may name it.
 */
static int prepare_store(const char *config_path, struct arena *arena, const char **ret_store,
			 int *ret_lock_fd, struct err *err)
{
	AUTO(strbuf) struct strbuf copy = STRBUF(PATH_MAX);
	int result = upgrade_configured(config_path, arena, ret_store, ret_lock_fd, &copy, err);

	if (copy.size > 0)
		log_info("start.store-copied", F_STR("copy", strbuf_text(&copy)));
	return result < 0 ? -1 : 0;
}

/* What the store defines; the first time, what we ship is put there. */
static int load_definitions(struct store *store, const struct definition_list *seeds,
			    struct arena *arena, struct definition_list *ret_list, struct err *err)
{
	struct definition *rows;
	bool seeded;
	size_t count;

	if (store_begin(store, err) < 0)
		return -1;
	if (definitions_seeded(store, arena, &seeded, err) < 0 ||
	    (!seeded && definitions_seed(store, seeds, clock_now_s(), err) < 0) ||
	    store_definitions_load(store, arena, &rows, &count, err) < 0 ||
	    store_commit(store, err) < 0) {
		store_rollback(store);
		return -1;
	}
	return definitions_of_rows(rows, count, arena, ret_list, err);
}

struct configuration *startup_load(const char *path, int *ret_lock_fd, struct err *err)
{
	struct group_registry *registry = group_registry_create();
	struct configuration *first = NULL, *config = NULL;
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	AUTO(document) struct document *document = NULL;
	AUTO(arena) struct arena *arena = arena_create(DEFINITIONS_MAX_BYTES);
	struct definition_list definitions;
	struct store *store = NULL;
	const char *locked = NULL;

	if (!registry || !list || !arena) {
		err_set(err, ERR_MEMORY, "out of memory");
		goto out;
	}
	if (prepare_store(path, arena, &locked, ret_lock_fd, err) < 0 ||
	    !(first = load_first(path, err)))
		goto out;
	if (!locked && upgrade_lock(first->settings.store.text, ret_lock_fd, err) < 0)
		goto out;
	if (locked && strcmp(locked, first->settings.store.text) != 0) {
		err_refuse(err, ERR_INVALID, "invalid-config",
			   "configuration '%s' changed while it was read", path);
		goto out;
	}
	store = store_open(first->settings.store.text, STORE_WRITE, err);
	if (!store || load_known_groups(store, registry, err) < 0 ||
	    load_definitions(store, &first->definitions, arena, &definitions, err) < 0)
		goto out;
	definitions.lenient = first->definitions.lenient;
	config = configuration_load(path, NULL, 0, registry, &definitions, list, &document);
	if (config && strcmp(config->settings.store.text, first->settings.store.text) != 0) {
		/* The lock is on the other store. */
		setup_release(&config->setup);
		config = NULL;
	}
	configuration_report(list, config ? config->document : document);
	if (!config)
		err_refuse(err, ERR_INVALID, "invalid-config",
			   "configuration '%s' changed while it was read", path);
out:
	store_close(store);
	group_registry_destroy(registry);
	if (first)
		setup_release(&first->setup);
	return config;
}
