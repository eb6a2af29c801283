/*
 * The second verifier: Lasso, asked whether it finds the same element signed by the same
 * provider. The only module that knows Lasso, which sees nothing that did not pass the gate and
 * satisfy the first verifier.
 */
#ifndef SOURCE_SAML_LASSO_H
#define SOURCE_SAML_LASSO_H

#include <rolebridge/source/saml.h>

#include "judge.h"
#include "keys.h"

/*
 * Once per process, before verify_prepare. What Lasso, glib and libxml2 would say goes nowhere: it is
 * an attacker's text. Sets SSL_CERT_FILE and SSL_CERT_DIR, so that no CA store is loaded for each server.
 */
int lasso_prepare(struct err *err);

/*
 * One warm, immutable server: this provider as IdP, us as service provider. keys must outlive it.
 * NULL with err; a provider without RSA key, or whose metadata is not there, gives a verifier that
 * refuses everything as "verifier-unsupported".
 */
struct lasso_verifier;
struct lasso_verifier *lasso_verifier_create(const struct keys *keys,
					     const struct saml_provider *provider, struct err *err);
void lasso_verifier_destroy(struct lasso_verifier *verifier);

/* A judge_second_fn; context: struct lasso_verifier *. */
int lasso_verifier_ask(void *context, const struct judge_view *view,
		       struct saml_refusal *ret_refusal);

#endif
