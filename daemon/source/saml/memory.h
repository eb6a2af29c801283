/*
 * What libxml2 and xmlsec1 allocate in a worker: small pieces out of one region, kept by size. A verification takes and
 * gives back some thousands of them, and the C library's allocator is a tenth of what it costs.
 *
 * For processes of one thread, in which nothing that comes from libxml2 goes to free(): not for Lasso.
 */
#ifndef ROLEBRIDGE_SOURCE_SAML_MEMORY_H
#define ROLEBRIDGE_SOURCE_SAML_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

#include <rolebridge/base/err.h>

/* Once, before there is a second thread. Pieces from before are given back to where they are from. */
int memory_prepare(struct err *err);

/* As malloc, realloc and free; what is large, or finds no room in the region, is the C library's. */
void *memory_take(size_t size);
void *memory_resize(void *piece, size_t size);
void memory_give(void *piece);
/* Is it of the region? */
bool memory_owns(const void *piece);

#endif
