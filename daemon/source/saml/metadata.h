/* What the metadata of an identity provider says. Runs in a worker of its own, without any key. */
#ifndef SOURCE_SAML_METADATA_H
#define SOURCE_SAML_METADATA_H

#include <rolebridge/source/saml.h>

#include "protocol.h"

/* The errors of saml_metadata_read. verify_prepare was called. The result lives in the arena. */
int metadata_parse(const struct saml_metadata_job *job, struct arena *arena,
		   struct saml_idp *ret_idp, struct err *err);

#endif
