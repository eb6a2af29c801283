/* Small macros every folder needs. */
#ifndef ROLEBRIDGE_BASE_UTIL_H
#define ROLEBRIDGE_BASE_UTIL_H

#include <stddef.h>

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/*
 * AUTO(arena) struct arena *mem = …; calls arena_auto(&mem) at scope end.
 * Each type that allows it defines <name>_auto in its header.
 */
#define AUTO(name) __attribute__((cleanup(name##_auto)))

#define UNUSED __attribute__((unused))

#endif
