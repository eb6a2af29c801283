/* Schemas for tests, without a configuration file. */
#ifndef ROLEBRIDGE_TESTS_IDENTITY_SUPPORT_H
#define ROLEBRIDGE_TESTS_IDENTITY_SUPPORT_H

#include <rolebridge/identity/schema.h>

#define LOCATED(words) ((struct located){ .text = (words), .at = { 1, 1, 1, 1 } })

/* What the option table would have set. */
struct identity_settings support_identity_settings(void);
struct source_settings support_source(const char *name);
/* A schema of sources "one", "two", "three" that declare nothing; fails the test on findings. */
struct schema *support_schema(void);

#endif
