/* Identifiers: random UUIDs (RFC 9562), text form lower case. */
#ifndef ROLEBRIDGE_BASE_IDS_H
#define ROLEBRIDGE_BASE_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT_SIZE 37

struct uuid {
	unsigned char byte[16];
};

/* Version 7: time-ordered, so that rows created together lie together. */
struct uuid uuid_create(int64_t now_ms);
void uuid_format(const struct uuid *uuid, char ret_text[static UUID_TEXT_SIZE]);
/* Strict 8-4-4-4-12 form, any case. */
bool uuid_parse(const char *text, struct uuid *ret_uuid);

#endif
