#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <rolebridge/base/util.h>

struct identity_settings support_identity_settings(void)
{
	return (struct identity_settings){ .username = LOCATED("uid"), .email = LOCATED("mail") };
}

struct source_settings support_source(const char *name)
{
	return (struct source_settings){
		.name = LOCATED(name),
		.type = LOCATED("ldif"),
		.organization = LOCATED("default"),
		.enabled = true,
	};
}

struct schema *support_schema(void)
{
	struct identity_settings identity = support_identity_settings();
	struct source_settings one = support_source("one"), two = support_source("two"),
			       three = support_source("three");
	const struct source_settings *sources[] = { &one, &two, &three };
	AUTO(diagnostics) struct diagnostics *list = diagnostics_create();
	struct schema *schema = schema_create(&identity, sources, 3, list);

	assert_non_null(schema);
	assert_int_equal(diagnostics_count(list), 0);
	return schema;
}
