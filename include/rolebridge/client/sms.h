/*
 * SMS: one short text to one number, handed to an HTTP gateway. How its request looks is configured, for there is no
 * standard: a form or a JSON object of which names stand for number, text and sender.
 */
#ifndef ROLEBRIDGE_CLIENT_SMS_H
#define ROLEBRIDGE_CLIENT_SMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rolebridge/base/err.h>
#include <rolebridge/config/options.h>

enum sms_format { SMS_JSON, SMS_FORM };

/* The table sms: of the configuration. */
struct sms_settings {
	struct position at;
	struct located url;	 /* NULL: no SMS is sent */
	int format;		 /* enum sms_format */
	struct pair_list fields; /* name: "{to}", "{text}", "{sender}" or any text around them */
	struct located sender;
	struct located scheme; /* of Authorization: "Bearer", "Basic", … */
	struct located token_file;
	struct located ca_file;
	int64_t timeout_s;
};
extern const struct option_table sms_table;

#define SMS_NUMBER_SIZE 17 /* '+', 15 digits, NUL (E.164) */
#define SMS_TEXT_MAX 480   /* bytes: three parts */

/*
 * A number as people write it to "+491701234567": with its country, "+49 170 / 123-45 67" or "0049…". ERR_INVALID
 * "invalid-number".
 */
int sms_number_read(const char *text, char ret_number[static SMS_NUMBER_SIZE], struct err *err);

struct sms_delivery {
	const struct sms_settings *gateway;
	const struct located_list *allowed_networks; /* outgoing.allowed_networks */
	const char *number;			     /* as sms_number_read gives it */
	const char *text;
	/* Asked about once a second; true: give up. May be NULL. */
	bool (*cancelled)(void *context);
	void *context;
};
/*
 * 0: the gateway has taken it over (2xx). ERR_UNAVAILABLE: not reached, TLS, timeout, any other answer, of which the
 * status is told and nothing else. ERR_CANCELLED.
 */
int sms_send(const struct sms_delivery *delivery, struct err *err);

#endif
