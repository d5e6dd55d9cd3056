/* SPDX-License-Identifier: MIT */
#include "core/buffer.h"

#include <errno.h>
#include <unistd.h>

#include "tests/tap.h"

/* A refused allocation is a NULL here, not a report. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *
__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static bool
holds(const struct buffer *buffer, const char *text)
{
	return bytes_equal((struct bytes){ buffer->data, buffer->len },
			   bytes_of(text));
}

static void
appends_in_order(void)
{
	struct buffer buffer;
	size_t len;
	char *data;

	buffer_init(&buffer, 1000);
	ok(buffer.data == NULL && buffer.len == 0, "no memory while empty");
	buffer_add(&buffer, NULL, 0);
	buffer_add(&buffer, "ab", 2);
	buffer_add_str(&buffer, "cd");
	buffer_addf(&buffer, "-%d-%s", 5, "x");
	ok(holds(&buffer, "abcd-5-x"), "bytes, text and formats");
	buffer_consume(&buffer, 0);
	buffer_consume(&buffer, 5);
	ok(holds(&buffer, "5-x"), "consume takes from the front");
	buffer_consume(&buffer, 3);
	ok(buffer.len == 0, "consume takes all");
	buffer_add_str(&buffer, "new");
	data = buffer_take(&buffer, &len);
	ok(len == 3 && !memcmp(data, "new", 3), "take gives the bytes");
	ok(!buffer.data && buffer.len == 0 && buffer.max == 1000,
	   "and leaves an empty buffer with its bound");
	free(data);
	buffer_fini(&buffer);
}

static void
numbers_are_decimal(void)
{
	static const int64_t cases[] = { 0,   1,  -1,        9,        10,
					 -10, 99, INT64_MAX, INT64_MIN };
	struct buffer buffer;
	char expected[32];

	buffer_init(&buffer, 100);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buffer_clear(&buffer);
		buffer_add_i64(&buffer, cases[i]);
		snprintf(expected, sizeof(expected), "%lld",
			 (long long)cases[i]);
		ok(holds(&buffer, expected), "i64 %s", expected);
	}
	buffer_clear(&buffer);
	buffer_add_u64(&buffer, UINT64_MAX);
	ok(holds(&buffer, "18446744073709551615"), "the largest u64");
	buffer_fini(&buffer);
}

static void
the_bound_holds(void)
{
	struct buffer buffer;

	buffer_init(&buffer, 5);
	buffer_add_str(&buffer, "12345");
	ok(buffer.err == ERR_OK && buffer.len == 5, "up to the bound");
	buffer_add(&buffer, "", 0);
	buffer_addf(&buffer, "%s", "");
	ok(buffer.err == ERR_OK, "nothing more is still well");
	buffer_add(&buffer, "6", 1);
	ok(buffer.err == ERR_TOO_LARGE, "one more is not");
	buffer_clear(&buffer);
	buffer_addf(&buffer, "%d", 12345);
	ok(buffer.err == ERR_OK && holds(&buffer, "12345"),
	   "a format up to the bound");
	buffer_addf(&buffer, "%d", 1);
	ok(buffer.err == ERR_TOO_LARGE, "a format beyond it");
	buffer_consume(&buffer, 5);
	buffer_add(&buffer, "x", 1);
	ok(buffer.len == 0, "a failed buffer takes nothing");
	ok(!buffer_reserve(&buffer, 0), "and gives no room");
	buffer_clear(&buffer);
	buffer_add(&buffer, "x", 1);
	ok(holds(&buffer, "x"), "clear heals it");
	buffer_fini(&buffer);

	buffer_init(&buffer, 0);
	ok(buffer_reserve(&buffer, 0) != NULL, "room for nothing is not NULL");
	ok(!buffer_reserve(&buffer, SIZE_MAX), "no room for everything");
	buffer_fini(&buffer);
}

static void
grows_byte_by_byte_and_at_once(void)
{
	struct buffer buffer;
	bool same = true;
	char *room;

	buffer_init(&buffer, 1 << 20);
	for (unsigned i = 0; i < 100000; i++)
		buffer_add(&buffer, &(char){ (char)i }, 1);
	for (unsigned i = 0; i < 100000; i++)
		same &= buffer.data[i] == (char)i;
	ok(same && buffer.len == 100000, "byte by byte");
	buffer_clear(&buffer);
	ok(buffer.capacity >= 100000, "clear keeps the memory");
	buffer_addf(&buffer, "%*d", 500000, 7);
	ok(buffer.len == 500000 && buffer.data[499999] == '7',
	   "a format longer than the room");
	room = buffer_reserve(&buffer, 300000);
	memset(room, 'r', 300000);
	buffer_added(&buffer, 300000);
	ok(buffer.len == 800000 && buffer.data[799999] == 'r',
	   "reserve and added");
	ok(buffer.capacity <= buffer.max + 1, "no more memory than the bound");
	buffer_fini(&buffer);
}

static void
no_memory_is_an_error(void)
{
	struct buffer buffer;

	buffer_init(&buffer, SIZE_MAX - 1);
	buffer_add_str(&buffer, "kept");
	ok(!buffer_reserve(&buffer, SIZE_MAX / 4 * 3), "refused");
	ok(buffer.err == ERR_NOMEM, "as out of memory");
	ok(holds(&buffer, "kept"), "what was there stays");
	buffer_fini(&buffer);
}

/* Of a pipe with that many bytes in it, into a buffer with a bound of 100. */
static bool
reads(struct buffer *buffer, size_t len)
{
	char bytes[200];
	int ends[2];
	bool good;

	memset(bytes, 'x', sizeof(bytes));
	if (pipe(ends) || write(ends[1], bytes, len) != (ssize_t)len)
		abort();
	close(ends[1]);
	buffer_init(buffer, 100);
	buffer_add_str(buffer, "ab");
	good = buffer_read_all(buffer, ends[0]);
	close(ends[0]);
	return good;
}

static void
reads_to_the_end(void)
{
	struct buffer buffer;

	ok(reads(&buffer, 0) && holds(&buffer, "ab"), "nothing");
	buffer_fini(&buffer);
	ok(reads(&buffer, 3) && holds(&buffer, "abxxx"), "behind what it has");
	buffer_fini(&buffer);
	ok(reads(&buffer, 98) && buffer.len == 100 && !buffer.err,
	   "up to the bound");
	buffer_fini(&buffer);
	ok(!reads(&buffer, 99) && errno == EFBIG, "no byte more");
	ok(buffer.err == ERR_TOO_LARGE, "which is what failed");
	ok(buffer_read(&buffer, 0) < 0 && errno == EFBIG, "for good");
	buffer_fini(&buffer);
	buffer_init(&buffer, 100);
	ok(!buffer_read_all(&buffer, -1) && errno == EBADF && !buffer.err,
	   "an error of the file is not the buffer's");
	buffer_fini(&buffer);
}

int
main(void)
{
	appends_in_order();
	numbers_are_decimal();
	the_bound_holds();
	grows_byte_by_byte_and_at_once();
	no_memory_is_an_error();
	reads_to_the_end();
	return tap_done();
}
