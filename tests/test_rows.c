/* SPDX-License-Identifier: MIT */
#include "http/sql/rows.h"

#include <float.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>

#include "tests/store.h"

/* ---- values ------------------------------------------------------------- */

static const char *
value_text(struct buffer *out, struct sql_value value, bool int64_text)
{
	buffer_clear(out);
	rows_json_value(out, &value, int64_text);
	buffer_add(out, "", 1);
	return out->data;
}

static struct sql_value
integer(int64_t number)
{
	return (struct sql_value){ .kind = SQL_INTEGER, .integer = number };
}

static struct sql_value
real(double number)
{
	return (struct sql_value){ .kind = SQL_REAL, .real = number };
}

static struct sql_value
bytes(enum sql_kind kind, const char *data, size_t len)
{
	return (struct sql_value){ .kind = kind, .bytes = { data, len } };
}

static void
integers_are_exact(void)
{
	static const struct {
		int64_t number;
		const char *plain, *quoted;
	} cases[] = {
		{ 0, "0", "0" },
		{ -1, "-1", "-1" },
		{ INT64_MAX, "9223372036854775807", "\"9223372036854775807\"" },
		{ INT64_MIN, "-9223372036854775808",
		  "\"-9223372036854775808\"" },
		{ INT64_C(1) << 53, "9007199254740992", "9007199254740992" },
		{ (INT64_C(1) << 53) + 1, "9007199254740993",
		  "\"9007199254740993\"" },
		{ -(INT64_C(1) << 53), "-9007199254740992",
		  "-9007199254740992" },
		{ -(INT64_C(1) << 53) - 1, "-9007199254740993",
		  "\"-9007199254740993\"" },
	};
	struct buffer out;

	buffer_init(&out, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		is_str(value_text(&out, integer(cases[i].number), false),
		       cases[i].plain, cases[i].plain);
		is_str(value_text(&out, integer(cases[i].number), true),
		       cases[i].quoted, "the same with int64=string");
	}
	buffer_fini(&out);
}

static void
reals_are_short_and_stay_reals(void)
{
	static const struct {
		double number;
		const char *text;
	} cases[] = {
		{ 0.0, "0.0" },
		{ -0.0, "-0.0" },
		{ 1.0, "1.0" },
		{ -2.5, "-2.5" },
		{ 0.1, "0.1" },
		{ 0.3, "0.3" },
		{ 0.1 + 0.2, "0.30000000000000004" },
		{ 19.99, "19.99" },
		{ 1e-7, "1e-07" },
		{ 0.000001, "0.000001" },
		{ 123456.789012, "123456.789012" },
		{ 1e15, "1e+15" },
		{ 1e100, "1e+100" },
		{ 9007199254740993.0, "9007199254740992.0" },
		{ 999999999999999.0, "999999999999999.0" },
		{ 100000000.05, "100000000.05" },
		{ 1.05, "1.05" },
		{ DBL_MAX, "1.7976931348623157e+308" },
		{ DBL_MIN, "2.2250738585072014e-308" },
		{ 5e-324, "4.94065645841247e-324" },
		{ INFINITY, "null" },
		{ -INFINITY, "null" },
		{ NAN, "null" },
	};
	struct buffer out;

	buffer_init(&out, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_str(value_text(&out, real(cases[i].number), false),
		       cases[i].text, cases[i].text);
	buffer_fini(&out);
}

/* xorshift64 (Marsaglia 2003): the same numbers each time. */
static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static double
random_real(uint64_t *state, unsigned i)
{
	uint64_t bits = next_random(state);
	double number;
	char text[40];

	/* By turns: any bits, prices, and what is near a power of ten. */
	if (i % 3 == 0) {
		memcpy(&number, &bits, sizeof(number));
		return isfinite(number) ? number : 1.5;
	}
	if (i % 3 == 1)
		return (double)(int64_t)(bits % 100000000) / 100;
	snprintf(text, sizeof(text), "%ue%d", (unsigned)(bits % 2000000000),
		 (int)(bits % 40) - 20);
	return strtod(text, NULL);
}

static void
reals_read_back_to_the_same_number(void)
{
	uint64_t state = 88172645463325252u;
	unsigned wrong = 0, not_real = 0, longer = 0;
	struct buffer out;
	char other[40];

	buffer_init(&out, 1 << 20);
	for (unsigned i = 0; i < 60000; i++) {
		double number = random_real(&state, i);
		const char *text = value_text(&out, real(number), false);
		double back = strtod(text, NULL);

		wrong += memcmp(&back, &number, sizeof(back)) != 0;
		not_real += !strpbrk(text, ".e");
		snprintf(other, sizeof(other), "%.17g", number);
		if (strlen(text) > strlen(other) + 5) {
			printf("# %s, not %s\n", text, other);
			longer++;
		}
	}
	is_u64(wrong, 0, "60,000 numbers read back bit for bit");
	is_u64(not_real, 0, "each has a point or an exponent");
	is_u64(longer, 0, "none is longer than 17 digits, and an exponent");
	buffer_fini(&out);
}

static void
texts_and_blobs(void)
{
	struct buffer out;

	buffer_init(&out, 1 << 20);
	is_str(value_text(&out, (struct sql_value){ .kind = SQL_NULL }, false),
	       "null", "NULL");
	is_str(value_text(&out, bytes(SQL_TEXT, "", 0), false), "\"\"",
	       "empty text");
	is_str(value_text(&out, bytes(SQL_TEXT, "a\"b\\\n\t\x01\x7f", 8),
			  false),
	       "\"a\\\"b\\\\\\n\\t\\u0001\x7f\"", "escapes");
	is_str(value_text(&out, bytes(SQL_TEXT, "a\0b", 3), false),
	       "\"a\\u0000b\"", "NUL in a text");
	is_str(value_text(&out, bytes(SQL_TEXT, "\xe2\x82\xac", 3), false),
	       "\"\xe2\x82\xac\"", "UTF-8 as it is");
	is_str(value_text(&out, bytes(SQL_TEXT, "a\xff", 2), false),
	       "{\"base64\":\"Yf8=\"}", "a text that is not UTF-8");
	is_str(value_text(&out, bytes(SQL_BLOB, "", 0), false),
	       "{\"base64\":\"\"}", "an empty blob");
	is_str(value_text(&out, bytes(SQL_BLOB, "\0\xff\x10", 3), false),
	       "{\"base64\":\"AP8Q\"}", "a blob");
	buffer_fini(&out);
}

static void
what_does_not_fit_is_said(void)
{
	struct buffer out;
	struct sql_value value = bytes(SQL_TEXT, "0123456789", 10);

	for (size_t max = 0; max < 12; max++) {
		buffer_init(&out, max);
		rows_json_value(&out, &value, false);
		ok(out.err == ERR_TOO_LARGE, "a text of 12 in %zu", max);
		buffer_fini(&out);
	}
	for (size_t max = 0; max < 5; max++) {
		buffer_init(&out, max);
		value = real(12.75);
		rows_json_value(&out, &value, false);
		ok(out.err == ERR_TOO_LARGE, "12.75 in %zu", max);
		buffer_fini(&out);
	}
}

/* ---- rows of a database ------------------------------------------------- */

struct base {
	struct sequence *sequence;
	struct sql *sql;
	struct sql_reader *reader;
};

static void
base_open(struct base *base)
{
	char file[PATH_MAX], path[PATH_MAX], message[512] = "";
	struct sql_options options = { .name = "test",
				       .path = under_root("test.db", file),
				       .max_size = 64 << 20,
				       .workers = 1 };
	enum err err = ERR_OK;

	need(!sequence_open(&base->sequence, under_root("sequence", path)),
	     "the sequence");
	options.sequence = base->sequence;
	need(!sql_open(&base->sql, &options, message, sizeof(message)),
	     message);
	base->reader = sql_reader_try_take(base->sql, &err);
	need(base->reader != NULL, "a reader");
}

static void
base_close(struct base *base)
{
	sql_reader_give(base->reader);
	sql_close(base->sql);
	sequence_close(base->sequence);
}

/* All rows of the query, and for the shapes that have one a header. */
static const char *
query(struct base *base, struct buffer *out, enum rows_shape shape,
      const char *sql)
{
	static const struct sql_limits limits = { 0 };
	struct sql_error error;
	struct sql_text text;
	struct sql_stmt *stmt;
	struct rows rows;
	enum sql_step step;

	buffer_clear(out);
	sql_text_init(&text, bytes_of(sql), SQL_ADMIN);
	if (sql_prepare(base->reader, &text, &stmt, &error)) {
		printf("# %s: %s\n", sql, error.message);
		return "not prepared";
	}
	rows_init(&rows, out, shape, false);
	sql_run(stmt, &limits);
	rows_header(&rows, stmt);
	while ((step = sql_step(stmt, &error)) == SQL_ROW)
		rows_add(&rows, stmt);
	if (step == SQL_FAILED)
		printf("# %s: %s\n", sql, error.message);
	rows_fini(&rows);
	sql_release(stmt);
	buffer_add(out, "", 1);
	return out->err ? err_text(out->err) : out->data;
}

static void
shapes_are_as_documented(struct base *base, struct buffer *out)
{
	static const struct {
		enum rows_shape shape;
		const char *sql, *text;
	} cases[] = {
		{ ROWS_ARRAYS, "SELECT 1, 'a' WHERE 0", "" },
		{ ROWS_ARRAYS, "SELECT 1, 'a'", "[1,\"a\"]" },
		{ ROWS_ARRAYS, "SELECT 1, 'a' UNION ALL SELECT 2, NULL",
		  "[1,\"a\"],[2,null]" },
		{ ROWS_OBJECTS,
		  "SELECT 1 AS id, 'a' AS \"n\"\"m\" UNION ALL SELECT 2, 'b'",
		  "{\"id\":1,\"n\\\"m\":\"a\"},{\"id\":2,\"n\\\"m\":\"b\"}" },
		{ ROWS_NDJSON, "SELECT 1 AS id UNION ALL SELECT 2.0",
		  "{\"id\":1}\n{\"id\":2.0}\n" },
		{ ROWS_CSV, "SELECT 1 AS id, 2 AS \"a,b\" WHERE 0",
		  "id,\"a,b\"\r\n" },
		{ ROWS_CSV, "SELECT 1 AS id, 'x' AS n", "id,n\r\n1,x\r\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		is_str(query(base, out, cases[i].shape, cases[i].sql),
		       cases[i].text, cases[i].sql);
}

static void
csv_is_that_of_rfc_4180(struct base *base, struct buffer *out)
{
	is_str(query(base, out, ROWS_CSV,
		     "SELECT NULL AS a, '' AS b, 'x,y' AS c, 'q\"q' AS d, "
		     "'l' || char(13) || char(10) || 'm' AS e, x'00ff' AS f, "
		     "2.0 AS g, -5 AS h, ' blank ' AS i, 9e999 AS j"),
	       "a,b,c,d,e,f,g,h,i,j\r\n"
	       ",\"\",\"x,y\",\"q\"\"q\",\"l\r\nm\",AP8=,2.0,-5, blank ,Inf\r\n",
	       "NULL is empty, text is quoted where it must be");
	is_str(query(base, out, ROWS_CSV, "SELECT '\"' AS a"),
	       "a\r\n\"\"\"\"\r\n", "a quote alone");
}

static void
no_name_comes_twice_in_an_object(struct base *base, struct buffer *out)
{
	is_str(query(base, out, ROWS_OBJECTS, "SELECT 1 a, 2 a, 3 b, 4 a"),
	       "{\"a\":1,\"a:1\":2,\"b\":3,\"a:2\":4}", "the next is a:1");
	is_str(query(base, out, ROWS_OBJECTS, "SELECT 1 a, 2 \"a:1\", 3 a"),
	       "{\"a\":1,\"a:1\":2,\"a:2\":3}", "or a:2 where that is taken");
	is_str(query(base, out, ROWS_OBJECTS, "SELECT 1 \"\", 2 \"\""),
	       "{\"\":1,\":1\":2}", "without a name too");
	is_str(query(base, out, ROWS_ARRAYS, "SELECT 1 a, 2 a"), "[1,2]",
	       "arrays have no names");
}

static void
columns_have_names_and_types(struct base *base, struct buffer *out)
{
	struct sql_error error;
	struct sql_text text;
	struct sql_stmt *stmt;

	sql_text_init(&text,
		      bytes_of("SELECT name, type, 1 + 1 AS \"s\"\"m\" "
			       "FROM sqlite_schema"),
		      SQL_ADMIN);
	need(!sql_prepare(base->reader, &text, &stmt, &error), error.message);
	buffer_clear(out);
	rows_columns(out, stmt);
	buffer_add(out, "", 1);
	is_str(out->data,
	       "\"columns\":[{\"name\":\"name\",\"type\":\"TEXT\"},"
	       "{\"name\":\"type\",\"type\":\"TEXT\"},"
	       "{\"name\":\"s\\\"m\",\"type\":\"\"}]",
	       "as declared, nothing for an expression");
	sql_release(stmt);
}

/* Whatever the bytes of a value are, the row is JSON, and the value comes
 * back. */
static void
every_byte_comes_back(struct base *base, struct buffer *out)
{
	unsigned wrong = 0;
	char sql[128];

	for (unsigned byte = 0; byte < 256; byte++) {
		json_t *row;

		snprintf(sql, sizeof(sql),
			 "SELECT CAST(x'61%02x62' AS TEXT) AS t", byte);
		query(base, out, ROWS_OBJECTS, sql);
		row = json_loads(out->data, JSON_ALLOW_NUL, NULL);
		if (byte < 0x80) {
			const char value[] = { 'a', (char)byte, 'b' };
			const json_t *t = json_object_get(row, "t");

			wrong += json_string_length(t) != 3 ||
				 memcmp(json_string_value(t), value, 3) != 0;
		} else {
			wrong += !json_is_object(json_object_get(row, "t"));
		}
		json_decref(row);
	}
	is_u64(wrong, 0, "256 bytes within a text");
}

int
main(void)
{
	struct base base;
	struct buffer out;

	make_root();
	integers_are_exact();
	reals_are_short_and_stay_reals();
	reals_read_back_to_the_same_number();
	texts_and_blobs();
	what_does_not_fit_is_said();

	base_open(&base);
	buffer_init(&out, 1 << 20);
	shapes_are_as_documented(&base, &out);
	csv_is_that_of_rfc_4180(&base, &out);
	no_name_comes_twice_in_an_object(&base, &out);
	columns_have_names_and_types(&base, &out);
	every_byte_comes_back(&base, &out);
	buffer_fini(&out);
	base_close(&base);
	return tap_done();
}
