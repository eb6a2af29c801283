/*
 * Time. Enters: text in RFC 3339, a plain date, or LDAP's generalizedTime.
 * Leaves: seconds since the epoch, UTC. The calendar is the proleptic
 * Gregorian one, years 0 to 9999; nothing here asks for a time zone.
 */
#include <rolebridge/base/clock.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY_S 86400
#define TIME_MIN (-62167219200) /* 0000-01-01T00:00:00Z */
#define TIME_MAX 253402300799	/* 9999-12-31T23:59:59Z */

struct moment {
	unsigned year, month, day, hour, minute, second;
	int offset_s;	/* east of Greenwich */
	int fraction_s; /* of an hour or a minute, in whole seconds */
};

int64_t clock_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

int64_t clock_monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool year_is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static unsigned month_days(unsigned year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return month == 2 && year_is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01; eras of 400 years, the year begun in March so that the leap day is last. */
static int64_t days_from_date(unsigned year, unsigned month, unsigned day)
{
	int64_t y = (int64_t)year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, struct moment *moment)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	moment->day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
	moment->month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
	moment->year = (unsigned)(yoe + era * 400 + (moment->month <= 2));
}

void clock_format(int64_t time_s, char ret_text[static CLOCK_TEXT_SIZE])
{
	struct moment m;
	/* Room for whatever the compiler thinks six numbers can be. */
	char text[80];

	if (time_s < TIME_MIN)
		time_s = TIME_MIN;
	if (time_s > TIME_MAX)
		time_s = TIME_MAX;

	int64_t second = ((time_s % DAY_S) + DAY_S) % DAY_S;

	date_from_days((time_s - second) / DAY_S, &m);
	snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02uZ", m.year, m.month, m.day,
		 (unsigned)(second / 3600), (unsigned)(second / 60 % 60), (unsigned)(second % 60));
	memcpy(ret_text, text, CLOCK_TEXT_SIZE - 1);
	ret_text[CLOCK_TEXT_SIZE - 1] = 0;
}

/* --- parsing: each step moves *at, and answers whether the text was as expected --- */

static bool take_digits(const char **at, unsigned count, unsigned *ret_number)
{
	unsigned number = 0;

	for (unsigned i = 0; i < count; i++, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		number = number * 10 + (unsigned)(**at - '0');
	}
	*ret_number = number;
	return true;
}

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool at_digit(const char *at)
{
	return *at >= '0' && *at <= '9';
}

/* ("." / ",") 1*DIGIT of a unit of unit_s seconds; nine digits count. */
static bool take_fraction(const char **at, int unit_s, int *ret_seconds)
{
	int64_t digits = 0, scale = 1;

	(*at)++;
	if (!at_digit(*at))
		return false;
	for (; at_digit(*at); (*at)++) {
		if (scale < 1000000000) {
			digits = digits * 10 + (**at - '0');
			scale *= 10;
		}
	}
	*ret_seconds = (int)(digits * unit_s / scale);
	return true;
}

static bool take_offset(const char **at, bool colon, bool minutes_needed, int *ret_offset_s)
{
	int sign = **at == '-' ? -1 : 1;
	unsigned hours, minutes = 0;

	if (**at != '+' && **at != '-')
		return false;
	(*at)++;
	if (!take_digits(at, 2, &hours) || (colon && !take_char(at, ':')))
		return false;
	if ((minutes_needed || at_digit(*at)) && !take_digits(at, 2, &minutes))
		return false;
	*ret_offset_s = sign * (int)(hours * 3600 + minutes * 60);
	return hours <= 23 && minutes <= 59;
}

static bool moment_to_time(const struct moment *m, int64_t *ret_time_s)
{
	/* A second of 60 is a leap second: RFC 3339 5.6, RFC 4517 3.3.13. */
	if (m->month < 1 || m->month > 12 || m->day < 1 || m->day > month_days(m->year, m->month) ||
	    m->hour > 23 || m->minute > 59 || m->second > 60)
		return false;

	int64_t time_s = days_from_date(m->year, m->month, m->day) * DAY_S +
			 (int64_t)m->hour * 3600 + m->minute * 60 + m->second + m->fraction_s -
			 m->offset_s;

	if (time_s < TIME_MIN || time_s > TIME_MAX)
		return false;
	*ret_time_s = time_s;
	return true;
}

static bool take_date(const char **at, struct moment *m)
{
	return take_digits(at, 4, &m->year) && take_char(at, '-') &&
	       take_digits(at, 2, &m->month) && take_char(at, '-') && take_digits(at, 2, &m->day);
}

int clock_parse_date(const char *text, int64_t *ret_time_s, struct err *err)
{
	struct moment m = { 0 };
	const char *at = text;

	if (!take_date(&at, &m) || *at || !moment_to_time(&m, ret_time_s))
		return err_set(err, ERR_INVALID, "'%s' is not a date like 2026-01-31", text);
	return 0;
}

int clock_parse(const char *text, int64_t *ret_time_s, struct err *err)
{
	struct moment m = { 0 };
	const char *at = text;
	int ignored;
	bool good = take_date(&at, &m) && (take_char(&at, 'T') || take_char(&at, 't')) &&
		    take_digits(&at, 2, &m.hour) && take_char(&at, ':') &&
		    take_digits(&at, 2, &m.minute) && take_char(&at, ':') &&
		    take_digits(&at, 2, &m.second);

	if (good && *at == '.')
		good = take_fraction(&at, 1, &ignored);
	good = good && (take_char(&at, 'Z') || take_char(&at, 'z') ||
			take_offset(&at, true, true, &m.offset_s));
	if (!good || *at || !moment_to_time(&m, ret_time_s))
		return err_set(err, ERR_INVALID, "'%s' is not a time like 2026-01-31T12:00:00Z",
			       text);
	return 0;
}

int clock_parse_generalized(const char *text, int64_t *ret_time_s, struct err *err)
{
	struct moment m = { 0 };
	const char *at = text;
	int unit_s = 3600;
	bool good = take_digits(&at, 4, &m.year) && take_digits(&at, 2, &m.month) &&
		    take_digits(&at, 2, &m.day) && take_digits(&at, 2, &m.hour);

	if (good && at_digit(at)) {
		unit_s = 60;
		good = take_digits(&at, 2, &m.minute);
	}
	if (good && unit_s == 60 && at_digit(at)) {
		unit_s = 1;
		good = take_digits(&at, 2, &m.second);
	}
	if (good && (*at == '.' || *at == ','))
		good = take_fraction(&at, unit_s, &m.fraction_s);
	good = good && (take_char(&at, 'Z') || take_offset(&at, false, false, &m.offset_s));
	if (!good || *at || !moment_to_time(&m, ret_time_s))
		return err_set(err, ERR_INVALID, "'%s' is not a generalized time", text);
	return 0;
}
