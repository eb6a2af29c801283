/* A copy of the store that waits to be fetched. */
#ifndef API_BACKUPS_H
#define API_BACKUPS_H

struct backups;

/* NULL: out of memory. */
struct backups *backups_create(void);
void backups_destroy(struct backups *backups); /* NULL is fine */

#endif
