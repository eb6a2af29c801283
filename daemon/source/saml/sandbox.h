/* What a saml worker may still ask the kernel once it is locked up; a test holds it to that. */
#ifndef SOURCE_SAML_SANDBOX_H
#define SOURCE_SAML_SANDBOX_H

#include <stddef.h>

#include <rolebridge/base/err.h>

/* worker_lock with the list of this worker. */
int sandbox_enter(size_t max_memory, struct err *err);

#endif
