/*
 * JSON writer over a strbuf: commas and escapes are its business. One compact
 * line, UTF-8 (invalid bytes become U+FFFD). Depth at most 32; misuse makes
 * the strbuf fail. Reading JSON is done with jansson, elsewhere.
 *
 *	struct json json = JSON(&buf);
 *	json_object(&json);
 *	json_string(&json, "user", name);
 *	json_array_key(&json, "roles");
 *	json_string(&json, NULL, "sales");     (in arrays the key is NULL)
 *	json_end(&json);
 *	json_end(&json);
 */
#ifndef ROLEBRIDGE_BASE_JSON_H
#define ROLEBRIDGE_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include <rolebridge/base/strbuf.h>

struct json {
	struct strbuf *out;
	unsigned depth;
	uint32_t array_bits; /* bit d: level d is an array */
	uint32_t comma_bits; /* bit d: level d already has an element */
};

#define JSON(buf) ((struct json){ .out = (buf) })

/*
 * jansson has functions of the same names, which it calls itself: without symbols of
 * their own ours would be taken for them, silently, in every program that links both.
 */
#define JSON_SYMBOL(name) __asm__("rb_" #name)

void json_object(struct json *json) JSON_SYMBOL(json_object); /* { as a root or array element */
void json_object_key(struct json *json, const char *key) JSON_SYMBOL(json_object_key); /* "key":{ */
void json_array(struct json *json) JSON_SYMBOL(json_array); /* [ as a root or array element */
void json_array_key(struct json *json, const char *key) JSON_SYMBOL(json_array_key); /* "key":[ */
void json_end(struct json *json) JSON_SYMBOL(json_end); /* closes the innermost */
void json_string(struct json *json, const char *key, const char *value)
	JSON_SYMBOL(json_string); /* NULL value: null */
void json_int(struct json *json, const char *key, int64_t value) JSON_SYMBOL(json_int);
void json_bool(struct json *json, const char *key, bool value) JSON_SYMBOL(json_bool);
void json_null(struct json *json, const char *key) JSON_SYMBOL(json_null);
/* A value that is JSON already. */
void json_raw(struct json *json, const char *key, const char *value) JSON_SYMBOL(json_raw);
/* UTC time as RFC 3339 text, null for 0. */
void json_time(struct json *json, const char *key, int64_t time_s) JSON_SYMBOL(json_time);

#endif
