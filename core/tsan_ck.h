/* SPDX-License-Identifier: MIT */
/*
 * Concurrency Kit's atomics as the thread sanitizer can see them.
 *
 * CK's own are inline assembly, and with CK_USE_CC_BUILTINS its loads and
 * stores are still plain volatile ones, which the sanitizer takes for races.
 * So in that build this file, included before all others, stands in for CK's
 * port to a processor (gcc/ck_pr.h): everything sequentially consistent, from
 * the compiler's builtins. What a port need not have (fetch-and-store, bit
 * operations, the is_zero forms) CK derives from these.
 *
 * Stronger than the real ones, and that hides no data race: the sanitizer
 * learns of ordering from the acquire and release of each word, not from
 * fences, which it does not model. That the fences are where they must be is
 * shown by the models in tests/models.
 */
#ifndef CORE_TSAN_CK_H
#define CORE_TSAN_CK_H

#include <stdbool.h>
#include <stdint.h>

#define CK_USE_CC_BUILTINS 1
/* "The port is there": keeps gcc/ck_pr.h from defining its own. */
#define CK_F_PR
#include <gcc/ck_f_pr.h>
#include <ck_cc.h>

CK_CC_INLINE static void
ck_pr_stall(void)
{
}

#define TSAN_CK_FENCE(kind) \
	CK_CC_INLINE static void ck_pr_fence_strict_##kind(void) \
	{ \
		__sync_synchronize(); \
	}

TSAN_CK_FENCE(atomic)
TSAN_CK_FENCE(atomic_load)
TSAN_CK_FENCE(atomic_store)
TSAN_CK_FENCE(store_atomic)
TSAN_CK_FENCE(load_atomic)
TSAN_CK_FENCE(load)
TSAN_CK_FENCE(load_store)
TSAN_CK_FENCE(store)
TSAN_CK_FENCE(store_load)
TSAN_CK_FENCE(memory)
TSAN_CK_FENCE(acquire)
TSAN_CK_FENCE(release)
TSAN_CK_FENCE(acqrel)
TSAN_CK_FENCE(lock)
TSAN_CK_FENCE(unlock)

#define TSAN_CK_UPDATE(verb, name, memory, type, number) \
	CK_CC_INLINE static void ck_pr_##verb##_##name(memory *target, \
						       type value) \
	{ \
		__atomic_fetch_##verb((number *)target, (number)value, \
				      __ATOMIC_SEQ_CST); \
	}

/* memory is what a pointer points to in CK's prototypes (void for ptr), type
 * what is kept there, number the same as an integer. */
#define TSAN_CK_PORT(name, memory, type, number) \
	CK_CC_INLINE static type ck_pr_md_load_##name(const memory *target) \
	{ \
		return (type)__atomic_load_n((const number *)target, \
					     __ATOMIC_SEQ_CST); \
	} \
	CK_CC_INLINE static bool ck_pr_cas_##name##_value( \
		memory *target, type compare, type set, memory *value) \
	{ \
		number seen = (number)compare; \
		bool done = __atomic_compare_exchange_n( \
			(number *)target, &seen, (number)set, false, \
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
		*(number *)value = seen; \
		return done; \
	} \
	CK_CC_INLINE static bool ck_pr_cas_##name(memory *target, \
						  type compare, type set) \
	{ \
		number seen = (number)compare; \
		return __atomic_compare_exchange_n( \
			(number *)target, &seen, (number)set, false, \
			__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
	} \
	CK_CC_INLINE static type ck_pr_faa_##name(memory *target, type delta) \
	{ \
		return (type)__atomic_fetch_add( \
			(number *)target, (number)delta, __ATOMIC_SEQ_CST); \
	} \
	TSAN_CK_UPDATE(add, name, memory, type, number) \
	TSAN_CK_UPDATE(sub, name, memory, type, number) \
	TSAN_CK_UPDATE(and, name, memory, type, number) \
	TSAN_CK_UPDATE(or, name, memory, type, number) \
	TSAN_CK_UPDATE(xor, name, memory, type, number) \
	CK_CC_INLINE static void ck_pr_inc_##name(memory *target) \
	{ \
		__atomic_fetch_add((number *)target, 1, __ATOMIC_SEQ_CST); \
	} \
	CK_CC_INLINE static void ck_pr_dec_##name(memory *target) \
	{ \
		__atomic_fetch_sub((number *)target, 1, __ATOMIC_SEQ_CST); \
	}

#define TSAN_CK_STORE(name, memory, type, number) \
	CK_CC_INLINE static void ck_pr_md_store_##name(memory *target, \
						       type value) \
	{ \
		__atomic_store_n((number *)target, (number)value, \
				 __ATOMIC_SEQ_CST); \
	}

#define TSAN_CK_NUMBER(name, type) \
	TSAN_CK_PORT(name, type, type, type) \
	TSAN_CK_STORE(name, type, type, type)

TSAN_CK_NUMBER(char, char)
TSAN_CK_NUMBER(int, int)
TSAN_CK_NUMBER(uint, unsigned int)
TSAN_CK_NUMBER(64, uint64_t)
TSAN_CK_NUMBER(32, uint32_t)
TSAN_CK_NUMBER(16, uint16_t)
TSAN_CK_NUMBER(8, uint8_t)
TSAN_CK_PORT(ptr, void, void *, uintptr_t)
TSAN_CK_STORE(ptr, void, const void *, uintptr_t)

/* Not atomic in any port of CK; nobody here uses it. */
#define CK_PR_DISABLE_DOUBLE

#undef TSAN_CK_NUMBER
#undef TSAN_CK_STORE
#undef TSAN_CK_PORT
#undef TSAN_CK_UPDATE
#undef TSAN_CK_FENCE

#endif
