/*
 * Time. Only requests, jobs and main ask the clock; pure code gets now as an
 * argument. Wall time is whole seconds since the epoch, UTC, in int64_t.
 */
#ifndef ROLEBRIDGE_BASE_CLOCK_H
#define ROLEBRIDGE_BASE_CLOCK_H

#include <stdint.h>

#include <rolebridge/base/err.h>

int64_t clock_now_s(void);	  /* CLOCK_REALTIME; ROLEBRIDGE_TEST_NOW is NOT honoured */
int64_t clock_monotonic_us(void); /* CLOCK_MONOTONIC */

#define CLOCK_TEXT_SIZE sizeof("2026-01-01T00:00:00Z")

/* "2026-01-01T00:00:00Z" (RFC 3339); years 0 to 9999. */
void clock_format(int64_t time_s, char ret_text[static CLOCK_TEXT_SIZE]);
/* RFC 3339 date-time ("2026-01-01T00:00:00Z", offsets allowed, fractions dropped). */
int clock_parse(const char *text, int64_t *ret_time_s, struct err *err);
/* "2026-01-31" to the first second of that day, UTC; calendar checked. */
int clock_parse_date(const char *text, int64_t *ret_time_s, struct err *err);
/* LDAP generalizedTime (RFC 4517 3.3.13): YYYYMMDDHH[MM[SS]][.f](Z|+hh[mm]|-hh[mm]). */
int clock_parse_generalized(const char *text, int64_t *ret_time_s, struct err *err);

#endif
