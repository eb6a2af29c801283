/*
 * The two fields in which people choose a password, wherever they do. Enters: a form. Leaves: a hash, or what is wrong, in
 * words for people, beside the field.
 */
#include "signin.h"

static const struct {
	const char *reason, *text;
} reasons[] = {
	{ "password-too-long", "This is too long." },
	{ "password-too-common",
	  "This is among the passwords that are tried first. Several words that have nothing to do with each "
	  "other are a good choice." },
	{ "password-is-name", "This is your name, and little else." },
	{ "passwords-differ", "These two are not the same." },
	{ "password-missing", "Please choose a password." },
};

/* NULL: nothing is wrong with this field. */
static const char *what_is_wrong(struct arena *arena, struct password_policy *policy,
				 const struct err *wrong)
{
	if (strcmp(err_reason(wrong), "password-too-short") == 0)
		return arena_printf(arena, "This is too short: %zu characters at least.",
				    password_min_length(policy));
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (strcmp(err_reason(wrong), reasons[i].reason) == 0)
			return reasons[i].text;
	}
	return wrong->text;
}

void new_password_fields(struct http_request *request, struct http_response *response,
			 struct password_policy *policy, const char *username,
			 const struct err *wrong)
{
	size_t min = password_min_length(policy);
	bool differ = wrong && strcmp(err_reason(wrong), "passwords-differ") == 0;
	const char *text = wrong ? what_is_wrong(request->arena, policy, wrong) : NULL;

	/* So that password managers know whose it is. */
	if (username)
		page_username(response, username);
	page_field(response,
		   &(struct page_field){
			   .name = "new-password",
			   .label = "New password",
			   .type = "password",
			   .autocomplete = "new-password",
			   .min = min,
			   .max = PASSWORD_MAX,
			   .focus = !wrong,
			   .error = differ ? NULL : text,
			   .hint = arena_printf(request->arena,
						"At least %zu characters. Several words are fine.",
						min) });
	page_field(response, &(struct page_field){ .name = "repeat-password",
						   .label = "The same again",
						   .type = "password",
						   .autocomplete = "new-password",
						   .max = PASSWORD_MAX,
						   .error = differ ? text : NULL });
}

int password_hash(struct web *web, struct http_request *request, const char *password,
		  const struct password_owner *owner, char ret_hash[static HASH_TEXT],
		  struct err *err)
{
	if (password_check(web->settings.policy, password, strlen(password), owner, err) < 0)
		return -1;
	if (hasher_make(web->settings.hasher, password, strlen(password), ret_hash, err) == 0)
		return 0;
	if (err->code == ERR_UNAVAILABLE)
		request->retry_after_s = HASHER_RETRY_S;
	return -1;
}

int new_password_read(struct http_request *request, const struct http_form *form,
		      const struct password_owner *owner, char ret_hash[static HASH_TEXT],
		      struct err *err)
{
	const char *password = http_form_value(form, "new-password");
	const char *again = http_form_value(form, "repeat-password");

	if (!password || !password[0])
		return err_refuse(err, ERR_INVALID, "password-missing", "no password was given");
	if (!again || strcmp(password, again) != 0)
		return err_refuse(err, ERR_INVALID, "passwords-differ",
				  "the two passwords are not the same");
	return password_hash(request->context, request, password, owner, ret_hash, err);
}

void new_password_wipe(struct http_request *request, const struct http_form *form)
{
	form_wipe(request, form, "new-password");
	form_wipe(request, form, "repeat-password");
}
