/* SPDX-License-Identifier: MIT */
#include "http/date.h"

#include <stdio.h>
#include <time.h>

static void
put_two(char *out, unsigned number)
{
	out[0] = (char)('0' + number / 10 % 10);
	out[1] = (char)('0' + number % 10);
}

static void
put_day(time_t seconds, char out[HTTP_DATE_SIZE])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed",
					 "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr",
					    "May", "Jun", "Jul", "Aug",
					    "Sep", "Oct", "Nov", "Dec" };
	struct tm tm;

	gmtime_r(&seconds, &tm);
	snprintf(out, HTTP_DATE_SIZE, "%s, %02u %s %04u 00:00:00 GMT",
		 days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100u,
		 months[tm.tm_mon % 12],
		 (unsigned)(tm.tm_year + 1900) % 10000u);
}

/* The day of the last date is remembered: most values that are read were
 * written on few days, and the calendar costs ten times the rest. */
void
http_date(uint64_t wall_ms, char out[HTTP_DATE_SIZE])
{
	enum { DAY = 24 * 3600, HOUR_AT = 17, MINUTE_AT = 20, SECOND_AT = 23 };
	static _Thread_local char day_text[HTTP_DATE_SIZE];
	static _Thread_local uint64_t day_known = UINT64_MAX;
	uint64_t seconds = wall_ms / 1000, day = seconds / DAY;
	unsigned rest = (unsigned)(seconds % DAY);

	if (day != day_known) {
		put_day((time_t)seconds, day_text);
		day_known = day;
	}
	memcpy(out, day_text, HTTP_DATE_SIZE);
	put_two(out + HOUR_AT, rest / 3600);
	put_two(out + MINUTE_AT, rest / 60 % 60);
	put_two(out + SECOND_AT, rest % 60);
}

/* IMF-fixdate only: the two obsolete forms are not sent by anything that
 * would have got a date from us. */
bool
http_date_parse(struct bytes text, uint64_t *wall_s)
{
	char copy[HTTP_DATE_SIZE];
	struct tm tm = { 0 };
	const char *end;
	time_t seconds;

	if (text.len != HTTP_DATE_SIZE - 1)
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return false;
	seconds = timegm(&tm);
	if (seconds < 0)
		return false;
	*wall_s = (uint64_t)seconds;
	return true;
}
