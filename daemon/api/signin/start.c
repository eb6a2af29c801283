/*
 * The start page of the daemon itself. Enters: a browser. Leaves: who it is signed in as, or the way to sign in.
 */
#include "signin.h"

int start_page(struct http_request *request, struct http_response *response, struct err *err)
{
	AUTO(site) struct site *site = site_take(request->context, err);
	struct session_view view;
	int found = site ? site_session_any(request, site, &view, err) : -1;

	if (found < 0)
		return -1;
	if (found == 0) {
		page_begin(response, "Welcome");
		page_link_button(response, "/login", "Sign in");
		page_end(response);
		return 0;
	}
	if (view.stage != SESSION_FULL) {
		found = http_redirect(response, 303, stage_page(view.stage), err);
		session_view_release(&view);
		return found;
	}
	page_begin(response, "You are signed in");
	page_text(response, "p",
		  view.principal->display_name[0] ? view.principal->display_name
						  : view.principal->username);
	page_link(response, "/security", "Password and second factors");
	page_link_button(response, "/logout", "Sign out");
	page_end(response);
	session_view_release(&view);
	return 0;
}
