/*
 * Messages that go to an IdP or an application through the browser: a redirect, or a page with a form that
 * posts itself. Enters: what to send, and where. Leaves: the answer. Without scripts a button is left.
 */
#include "../site.h"

/* scheme://host[:port] of a URL, for the policy of where forms may go. */
static const char *origin_of(const char *url, struct arena *arena)
{
	const char *host = strstr(url, "://");

	return host ? arena_strndup(arena, url, (size_t)(host + 3 - url) + strcspn(host + 3, "/?#"))
		    : NULL;
}

int page_send(struct http_request *request, struct http_response *response,
	      const struct saml_outgoing *outgoing, struct err *err)
{
	if (outgoing->binding == SAML_REDIRECT)
		return http_redirect(response, 302, outgoing->url, err);
	response->form_action = origin_of(outgoing->url, request->arena);
	page_begin_with(response, &(struct page){ .title = "One moment", .script = "post.js" });
	page_form_begin(response, outgoing->url, NULL);
	page_hidden(response, outgoing->field, outgoing->value);
	if (outgoing->relay_state && outgoing->relay_state[0])
		page_hidden(response, "RelayState", outgoing->relay_state);
	page_submit(response, "Continue");
	page_form_end(response);
	page_end(response);
	return 0;
}

/* As page_send, where a form of ours was posted: where an IdP redirects to is not known. */
int page_send_after_form(struct http_request *request, struct http_response *response,
			 const struct saml_outgoing *outgoing, struct err *err)
{
	if (outgoing->binding != SAML_REDIRECT)
		return page_send(request, response, outgoing, err);
	page_go_on(response, outgoing->url);
	return 0;
}
