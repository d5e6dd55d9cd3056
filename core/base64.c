/* SPDX-License-Identifier: MIT */
#include "core/base64.h"

static const char alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* One more than the value of each character; 0: not in the alphabet. */
static const unsigned char values[256] = {
	['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,
	['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12,
	['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18,
	['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
	['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
	['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,
	['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
	['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
	['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54,
	['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
	['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* The first n (1 to 3) of three bytes become four characters. */
static void
encode_group(const unsigned char *in, size_t n, char out[4])
{
	unsigned bits = (unsigned)in[0] << 16;

	if (n > 1)
		bits |= (unsigned)in[1] << 8;
	if (n > 2)
		bits |= in[2];
	out[0] = alphabet[bits >> 18];
	out[1] = alphabet[bits >> 12 & 63];
	out[2] = n > 1 ? alphabet[bits >> 6 & 63] : '=';
	out[3] = n > 2 ? alphabet[bits & 63] : '=';
}

void
base64_encode(struct bytes bytes, char *out)
{
	const unsigned char *in = bytes.data;
	size_t left = bytes.len;

	for (; left >= 3; left -= 3, in += 3, out += 4)
		encode_group(in, 3, out);
	if (left > 0)
		encode_group(in, left, out);
}

/* The first n (2 to 4) of four characters become n - 1 bytes. */
static bool
decode_group(const unsigned char *in, size_t n, unsigned char *out)
{
	unsigned bits = 0;

	for (size_t i = 0; i < 4; i++) {
		unsigned value = i < n ? values[in[i]] : values['A'];

		if (value == 0)
			return false;
		bits = bits << 6 | (value - 1);
	}
	if ((n < 4 && (bits & 0xFF)) || (n < 3 && (bits & 0xFF00)))
		return false;
	out[0] = (unsigned char)(bits >> 16);
	if (n > 2)
		out[1] = (unsigned char)(bits >> 8);
	if (n > 3)
		out[2] = (unsigned char)bits;
	return true;
}

bool
base64_decode(struct bytes text, void *out, size_t *len)
{
	const unsigned char *in = text.data;
	unsigned char *at = out;
	size_t left = text.len;

	if (left % 4 != 0)
		return false;
	/* Padding is two characters at the very end, at most. */
	for (unsigned i = 0; i < 2 && left > 0 && in[left - 1] == '='; i++)
		left--;
	for (; left >= 4; left -= 4, in += 4, at += 3)
		if (!decode_group(in, 4, at))
			return false;
	if (left > 0) {
		if (!decode_group(in, left, at))
			return false;
		at += left - 1;
	}
	*len = (size_t)(at - (unsigned char *)out);
	return true;
}
