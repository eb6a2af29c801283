/*
 * The cookie of a browser that somebody told to remember. Enters: a cookie; a session that just proved a second factor and
 * a form that asks for it. Leaves: which device a sign-in comes from; the cookie. What it is good for is decided in the
 * sign-in's transaction. Whatever is wrong with it is no more than a browser that is not remembered.
 */
#include <rolebridge/change/device.h>

#include "step.h"

struct uuid browser_device(struct http_request *request, const struct site *site)
{
	const struct web *web = request->context;
	const char *text = cookie_get(request, site->secure, COOKIE_DEVICE, "");
	struct uuid device = { 0 };

	if (text && !ticket_device_open(web->settings.tickets, text, &device))
		device = (struct uuid){ 0 };
	return device;
}

int step_remember(struct http_request *request, struct http_response *response, struct step *step,
		  struct err *err)
{
	const struct web *web = request->context;
	const char *wish = step_value(request, step, "remember");
	char text[TICKET_INVITE_SIZE];
	struct device_row row;
	struct err why;

	if (!wish || strcmp(wish, "1") != 0)
		return 0;
	err_clear(&why);
	if (change_device_remember(web->settings.changer, &step->actor, step->view.session_id,
				   clock_now_s(), request->arena, &row, &why) < 0) {
		if (why.code == ERR_DENIED || why.code == ERR_NOT_FOUND)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	ticket_device(web->settings.tickets, &row.uuid, text);
	return cookie_set(request, response, step->site->secure, COOKIE_DEVICE, "", text,
			  row.until_s - row.created_s, err);
}
