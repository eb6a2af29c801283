/* Is a text one JSON value (RFC 8259), on one line, at most 64 levels deep? */
#ifndef AUDIT_SYNTAX_H
#define AUDIT_SYNTAX_H

#include <stdbool.h>

bool json_line_is_valid(const char *text);

#endif
