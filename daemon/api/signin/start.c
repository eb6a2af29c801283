/*
 * The start page of the daemon itself. Enters: a browser. Leaves: who it is signed in as and where they may go, or the way
 * to sign in.
 */
#include "signin.h"

/* Those that are open to them, maybe after a second factor. */
static bool is_open(struct arena *arena, const struct site *site, const struct session_view *view,
		    const struct application_settings *settings, const char *url)
{
	const struct application *application = application_at(arena, site, url);
	const char *lacking;

	/* Another one's, where one lies within the other. */
	if (!application || application_settings(application) != settings)
		return false;
	return application_judge(application, view, clock_now_s(), &lacking) != FORWARD_DENIED;
}

static void show_applications(struct http_request *request, struct http_response *response,
			      const struct site *site, const struct session_view *view)
{
	const struct application_settings *all = site->options->applications.items;
	bool any = false;

	for (size_t i = 0; i < site->options->applications.count; i++) {
		const char *url = all[i].urls.count > 0 ? all[i].urls.items[0].text : NULL;

		if (!url || !is_open(request->arena, site, view, &all[i], url))
			continue;
		if (!any) {
			page_section_begin(response, "Applications");
			page_list_begin(response, "Applications");
		}
		any = true;
		page_item_begin(response, all[i].name.text, url);
		page_link_button(response, url,
				 arena_printf(request->arena, "Open %s", all[i].name.text));
		page_item_end(response);
	}
	if (any) {
		page_list_end(response);
		page_section_end(response);
	}
}

static void show_person(struct http_request *request, struct http_response *response,
			const struct site *site, const struct session_view *view)
{
	const char *name = view->principal->display_name[0] ? view->principal->display_name
							    : view->principal->username;

	page_begin_with(response, &(struct page){ .title = "You are signed in", .user = name });
	page_facts_begin(response);
	page_fact(response, "Name", name);
	page_fact(response, "User name", view->principal->username);
	if (view->principal->email[0])
		page_fact(response, "E-mail address", view->principal->email);
	page_facts_end(response);
	show_applications(request, response, site, view);
	page_link(response, "/security", "Password and second factors");
	page_link_button(response, "/logout", "Sign out");
	page_end(response);
}

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
	found = 0;
	if (view.stage == SESSION_FULL)
		show_person(request, response, site, &view);
	else
		found = http_redirect(response, 303, stage_page(view.stage), err);
	session_view_release(&view);
	return found;
}
