/*
 * SMS. Enters: a number and a text, which are checked here once more; the configuration. Leaves: one request to the
 * gateway. Fails as the gateway does.
 *
 * The body is JSON or a form made of the configured fields; what is put into them is escaped as that format wants it, so
 * that neither number nor text can add a field. Of the gateway's answer the status alone is looked at: what
 * else is in it is shown to nobody.
 */
#include <rolebridge/client/sms.h>

#include <string.h>

#include <sodium.h>

#include <rolebridge/base/json.h>
#include <rolebridge/base/secret.h>
#include <rolebridge/base/text.h>
#include <rolebridge/base/util.h>
#include <rolebridge/client/client.h>
#include <rolebridge/client/fetch.h>

#define BODY_MAX ((size_t)16 * 1024)
#define ANSWER_MAX ((size_t)64 * 1024)
#define AUTHORIZATION_MAX ((size_t)4000)
#define NETWORKS_MAX 1000

/* --- numbers --- */

/* What people put between digits. */
static bool is_between(char c)
{
	return c != '\0' && strchr(" \t-./()", c) != NULL;
}

int sms_number_read(const char *text, char ret_number[static SMS_NUMBER_SIZE], struct err *err)
{
	char number[SMS_NUMBER_SIZE] = "+";
	size_t count = 0;
	const char *at = text;

	while (is_between(*at))
		at++;
	if (*at == '+')
		at++;
	else if (at[0] == '0' && at[1] == '0')
		at += 2;
	else
		at = "";
	for (; *at && count <= 15; at++) {
		if (is_between(*at))
			continue;
		if (*at < '0' || *at > '9' || count == 15)
			count = 16;
		else
			number[++count] = *at;
	}
	/* No country's code begins with 0. */
	if (count < 7 || count > 15 || number[1] == '0')
		return err_refuse(err, ERR_INVALID, "invalid-number",
				  "not a telephone number with its country, as +49 170 1234567");
	number[count + 1] = '\0';
	memcpy(ret_number, number, count + 2);
	return 0;
}

/* --- the request --- */

struct sending {
	const struct sms_delivery *delivery;
	struct strbuf body, authorization;
	const char *networks[NETWORKS_MAX];
};

static const struct pair default_fields[] = {
	{ .name = { .text = "to" },
	  .values = { 1, (const struct located[]){ { .text = "{to}" } } } },
	{ .name = { .text = "text" },
	  .values = { 1, (const struct located[]){ { .text = "{text}" } } } },
	{ .name = { .text = "sender" },
	  .values = { 1, (const struct located[]){ { .text = "{sender}" } } } },
};

static bool put_word(struct strbuf *out, const char **at, const char *word, const char *value)
{
	size_t size = strlen(word);

	if (strncmp(*at, word, size) != 0)
		return false;
	strbuf_puts(out, value);
	*at += size;
	return true;
}

/* What is put in is not looked at again. */
static void fill_in(struct strbuf *out, const char *pattern, const struct sms_delivery *delivery)
{
	const char *sender = delivery->gateway->sender.text;

	while (*pattern) {
		if (put_word(out, &pattern, "{to}", delivery->number) ||
		    put_word(out, &pattern, "{text}", delivery->text) ||
		    put_word(out, &pattern, "{sender}", sender ? sender : ""))
			continue;
		strbuf_putc(out, *pattern++);
	}
}

static void put_form_field(struct strbuf *out, const char *name, const char *value)
{
	if (out->size > 0)
		strbuf_putc(out, '&');
	client_escape(out, name);
	strbuf_putc(out, '=');
	client_escape(out, value);
}

static void put_field(struct sending *sending, struct json *json, const struct pair *field)
{
	AUTO(strbuf) struct strbuf value = STRBUF(BODY_MAX);
	bool is_json = sending->delivery->gateway->format == SMS_JSON;

	for (size_t i = 0; i < field->values.count; i++) {
		strbuf_clear(&value);
		fill_in(&value, field->values.items[i].text, sending->delivery);
		if (strbuf_failed(&value))
			strbuf_fail(&sending->body);
		else if (!is_json)
			put_form_field(&sending->body, field->name.text, strbuf_text(&value));
		else
			/* The parts of a list have no names. */
			json_string(json, field->values.count == 1 ? field->name.text : NULL,
				    strbuf_text(&value));
	}
	if (value.data)
		sodium_memzero(value.data, value.capacity);
}

static int body_make(struct sending *sending, struct err *err)
{
	const struct sms_settings *gateway = sending->delivery->gateway;
	const struct pair *fields = gateway->fields.count ? gateway->fields.items : default_fields;
	size_t count = gateway->fields.count ? gateway->fields.count : ARRAY_LEN(default_fields);
	struct json json = JSON(&sending->body);

	/* Nobody's name is no sender. */
	if (!gateway->fields.count && !gateway->sender.text)
		count--;
	if (gateway->format == SMS_JSON)
		json_object(&json);
	for (size_t i = 0; i < count; i++) {
		bool is_list = gateway->format == SMS_JSON && fields[i].values.count != 1;

		if (is_list)
			json_array_key(&json, fields[i].name.text);
		put_field(sending, &json, &fields[i]);
		if (is_list)
			json_end(&json);
	}
	if (gateway->format == SMS_JSON)
		json_end(&json);
	return strbuf_failed(&sending->body) ? err_set(err, ERR_MEMORY, "no room for an SMS") : 0;
}

/* "Bearer TOKEN"; of Basic the file holds user:password. */
static int authorization_make(struct sending *sending, struct err *err)
{
	const struct sms_settings *gateway = sending->delivery->gateway;
	const char *scheme = gateway->scheme.text ? gateway->scheme.text : "Bearer";
	AUTO(secret) struct secret token = { 0 };
	struct err problem = { 0 };

	if (!gateway->token_file.text)
		return 0;
	if (secret_read_file(gateway->token_file.text, &token, &problem) < 0)
		return err_set(err, ERR_UNAVAILABLE, "token of the SMS gateway: %s", problem.text);
	(void)strbuf_reserve(&sending->authorization, AUTHORIZATION_MAX - 1);
	strbuf_printf(&sending->authorization, "%s ", scheme);
	if (text_ascii_equal_caseless(scheme, "Basic")) {
		size_t size = sodium_base64_ENCODED_LEN(token.size, sodium_base64_VARIANT_ORIGINAL);
		char *room = strbuf_reserve(&sending->authorization, size);

		if (room) {
			sodium_bin2base64(room, size, (const unsigned char *)token.data, token.size,
					  sodium_base64_VARIANT_ORIGINAL);
			strbuf_advance(&sending->authorization, size - 1);
		}
	} else {
		strbuf_append(&sending->authorization, token.data, token.size);
	}
	return strbuf_failed(&sending->authorization)
		       ? err_set(err, ERR_UNAVAILABLE, "the token of the SMS gateway is too long")
		       : 0;
}

static int ask(struct sending *sending, struct err *err)
{
	const struct sms_delivery *delivery = sending->delivery;
	const struct sms_settings *gateway = delivery->gateway;
	const struct located_list *networks = delivery->allowed_networks;
	struct fetch_request request = {
		.url = gateway->url.text,
		.ca_file = gateway->ca_file.text,
		.allowed_networks = sending->networks,
		.allow_http = true,
		.body = strbuf_text(&sending->body),
		.body_size = sending->body.size,
		.content_type = gateway->format == SMS_JSON ? "application/json"
							    : "application/x-www-form-urlencoded",
		.authorization =
			sending->authorization.size ? strbuf_text(&sending->authorization) : NULL,
		.timeout_ms = gateway->timeout_s * 1000,
		.size_max = ANSWER_MAX,
		.cancelled = delivery->cancelled,
		.context = delivery->context,
	};
	AUTO(strbuf) struct strbuf answer = STRBUF(ANSWER_MAX);
	AUTO(arena) struct arena *arena = arena_create(ANSWER_MAX);
	struct fetch_response response;

	if (!arena)
		return err_set(err, ERR_MEMORY, "out of memory");
	for (size_t i = 0; networks && i < networks->count && i < NETWORKS_MAX; i++)
		sending->networks[request.allowed_network_count++] = networks->items[i].text;
	if (fetch(&request, arena, &response, &answer, err) < 0)
		return -1;
	if (response.status >= 200 && response.status < 300)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "it answered with status %d", response.status);
}

static int check(const struct sms_delivery *delivery, struct err *err)
{
	char number[SMS_NUMBER_SIZE];
	size_t size = strlen(delivery->text);

	if (!delivery->gateway->url.text)
		return err_set(err, ERR_UNAVAILABLE, "none is configured");
	if (sms_number_read(delivery->number, number, err) < 0)
		return -1;
	if (size == 0 || size > SMS_TEXT_MAX || !text_is_utf8(delivery->text, size))
		return err_set(err, ERR_INVALID, "a text that no SMS can hold");
	return 0;
}

static void wipe(struct strbuf *buf)
{
	if (buf->data)
		sodium_memzero(buf->data, buf->capacity);
	strbuf_finish(buf);
}

int sms_send(const struct sms_delivery *delivery, struct err *err)
{
	struct sending sending = { .delivery = delivery,
				   .body = STRBUF(BODY_MAX),
				   .authorization = STRBUF(AUTHORIZATION_MAX) };
	struct err problem = { 0 };
	int status;

	if (check(delivery, &problem) < 0 && problem.code == ERR_INVALID)
		return err ? (*err = problem, -1) : -1;
	if (problem.code != ERR_NONE)
		return err_set(err, problem.code, "SMS gateway: %s", problem.text);
	(void)strbuf_reserve(&sending.body, BODY_MAX - 1);
	status = body_make(&sending, &problem) < 0 || authorization_make(&sending, &problem) < 0
			 ? -1
			 : ask(&sending, &problem);
	wipe(&sending.body);
	wipe(&sending.authorization);
	if (status == 0)
		return 0;
	/* Whatever it was: not sent, perhaps later. */
	return err_set(err, problem.code == ERR_CANCELLED ? ERR_CANCELLED : ERR_UNAVAILABLE,
		       "SMS gateway: %s", problem.text);
}
