/* SPDX-License-Identifier: MIT */
#include "core/percent.h"

/* 16 and more: not a hexadecimal digit. */
static unsigned
hex_value(unsigned char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20; /* lower case */
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : 16;
}

bool
percent_decode(struct bytes text, enum percent_plus plus, void *out,
	       size_t *len)
{
	const unsigned char *in = text.data;
	unsigned char *at = out;

	for (size_t i = 0; i < text.len; i++) {
		unsigned char byte = in[i];

		if (byte == '%') {
			unsigned high, low;

			if (text.len - i < 3)
				return false;
			high = hex_value(in[++i]);
			low = hex_value(in[++i]);
			if (high > 15 || low > 15)
				return false;
			byte = (unsigned char)(high << 4 | low);
		} else if (byte == '+' && plus == PERCENT_PLUS_IS_SPACE) {
			byte = ' ';
		}
		if (byte == '\0')
			return false;
		*at++ = byte;
	}
	*len = (size_t)(at - (unsigned char *)out);
	return true;
}
