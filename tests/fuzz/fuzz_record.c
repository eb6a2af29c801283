/* Record decoder: what is accepted encodes to the same bytes, unless a name was not known. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/base/util.h>
#include <rolebridge/identity/record.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct schema *schema;

static void make_schema(void)
{
	struct identity_settings identity = { .username = { .text = "uid" },
					      .email = { .text = "mail" } };
	struct diagnostics *list = diagnostics_create();

	schema = schema_create(&identity, NULL, 0, list);
	diagnostics_destroy(list);
	if (!schema)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena) struct arena *arena = arena_create(64u * 1024 * 1024);
	AUTO(strbuf) struct strbuf again = STRBUF(RECORD_MAX);
	struct identity identity;
	struct err err;
	const char *key;
	size_t key_size;

	if (!schema)
		make_schema();
	if (record_decode(data, size, schema, 0, arena, &identity, &err) < 0)
		return 0;
	if (record_key(data, size, &key, &key_size, &err) < 0 || strlen(identity.key) != key_size ||
	    memcmp(identity.key, key, key_size) != 0)
		abort();
	record_encode(&identity, schema, &again);
	if (strbuf_failed(&again))
		abort();
	if (again.size == size && memcmp(again.data, data, size) != 0)
		abort();
	if (again.size > size)
		abort();
	strbuf_clear(&again);
	if (record_replace_groups(data, size, identity.groups, identity.group_count,
				  identity.groups_complete, &again, &err) < 0 ||
	    again.size != size || memcmp(again.data, data, size) != 0)
		abort();
	return 0;
}
