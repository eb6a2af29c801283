/*
 * What the files looked like that a worker read before it locked itself up: password, CA, certificate and
 * key, keytab. When another one took a file's place, another worker has to read it.
 */
#ifndef SOURCE_LDAP_PRINTS_H
#define SOURCE_LDAP_PRINTS_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct job;

#define PRINTS_FILES 6

struct prints {
	struct print {
		dev_t device;
		ino_t node;
		off_t size;
		struct timespec changed;
	} files[PRINTS_FILES];
};

void prints_take(const struct job *job, struct prints *ret_prints);
/* Is a file another one than it was? */
bool prints_differ(const struct job *job, const struct prints *before);

#endif
