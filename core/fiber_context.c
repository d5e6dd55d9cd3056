/* SPDX-License-Identifier: MIT */
#include "core/fiber_context.h"

#include "core/affinity.h"

/* ---- sanitizers --------------------------------------------------------- */

#ifdef UNDER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define __sanitizer_start_switch_fiber(save, bottom, size) ((void)0)
#define __sanitizer_finish_switch_fiber(fake, bottom, size) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)0)
#endif

#ifdef UNDER_TSAN
void *__tsan_get_current_fiber(void);
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
#else
#define __tsan_get_current_fiber() NULL
#define __tsan_create_fiber(flags) NULL
#define __tsan_destroy_fiber(fiber) ((void)0)
#define __tsan_switch_to_fiber(fiber, flags) ((void)0)
#endif

/* ---- the switch --------------------------------------------------------- */

#ifdef FIBER_ASSEMBLY

/*
 * Pushes what a callee must keep, leaves the stack pointer in *save, takes
 * the other one, pops. The first time, that returns into context_start, with
 * the entry and its argument in two of the registers.
 *
 * Of the floating point state the callee keeps the control words (rounding,
 * traps), on aarch64 also the lower halves of v8 to v15. (System V ABI AMD64
 * 3.2.3, AAPCS64 6.1)
 *
 * Both stacks have the same layout when the stack pointer changes, so the
 * unwinder's notes stay true. context_base, of which context_start is all but
 * the first instruction, has no caller to unwind to: an unwinder looks for the
 * notes of what stands before a return address.
 */
void context_swap(void **save, void *load)
	__attribute__((visibility("hidden")));
void context_start(void) __attribute__((visibility("hidden")));

#define FUNCTION(name) \
	".text\n" \
	".p2align 4\n" \
	".globl " name "\n" \
	".hidden " name "\n" \
	".type " name ", %function\n" name ":\n" \
	"	.cfi_startproc\n"
#define END(name) \
	"	.cfi_endproc\n" \
	".size " name ", .-" name "\n"

#if defined(__x86_64__)

#define PUSH(reg) \
	"	pushq %" reg "\n" \
	"	.cfi_adjust_cfa_offset 8\n" \
	"	.cfi_rel_offset %" reg ", 0\n"
#define POP(reg) \
	"	popq %" reg "\n" \
	"	.cfi_adjust_cfa_offset -8\n" \
	"	.cfi_restore %" reg "\n"

/* A jump and not a return, which the processor would expect to go back to
 * the caller before the switch. */
/* clang-format off */
__asm__(
	FUNCTION("context_swap")
	PUSH("rbp") PUSH("rbx") PUSH("r12") PUSH("r13") PUSH("r14") PUSH("r15")
	"	subq $8, %rsp\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	ldmxcsr (%rsp)\n"
	"	fldcw 4(%rsp)\n"
	"	addq $8, %rsp\n"
	"	.cfi_adjust_cfa_offset -8\n"
	POP("r15") POP("r14") POP("r13") POP("r12") POP("rbx") POP("rbp")
	"	popq %rcx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	.cfi_register %rip, %rcx\n"
	"	jmp *%rcx\n"
	END("context_swap")

	FUNCTION("context_base")
	"	.cfi_undefined %rip\n"
	"	nop\n"
	"context_start:\n"
	"	movq %r12, %rdi\n"
	"	callq *%r13\n"
	"	ud2\n"
	END("context_base"));
/* clang-format on */

enum { FRAME_WORDS = 8, FRAME_ARG = 4, FRAME_ENTRY = 3, FRAME_RETURN = 7 };

/* The caller's control words, as swapping stores them. */
static uint64_t
control_words(void)
{
	uint32_t mxcsr;
	uint16_t x87;

	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87));
	return mxcsr | (uint64_t)x87 << 32;
}

#else /* aarch64 */

/* clang-format off */
__asm__(
	FUNCTION("context_swap")
	"	sub sp, sp, #176\n"
	"	.cfi_adjust_cfa_offset 176\n"
	"	mrs x9, fpcr\n"
	"	str x9, [sp]\n"
	"	stp x19, x20, [sp, #16]\n"
	"	stp x21, x22, [sp, #32]\n"
	"	stp x23, x24, [sp, #48]\n"
	"	stp x25, x26, [sp, #64]\n"
	"	stp x27, x28, [sp, #80]\n"
	"	stp x29, x30, [sp, #96]\n"
	"	.cfi_rel_offset x19, 16\n"
	"	.cfi_rel_offset x20, 24\n"
	"	.cfi_rel_offset x21, 32\n"
	"	.cfi_rel_offset x22, 40\n"
	"	.cfi_rel_offset x23, 48\n"
	"	.cfi_rel_offset x24, 56\n"
	"	.cfi_rel_offset x25, 64\n"
	"	.cfi_rel_offset x26, 72\n"
	"	.cfi_rel_offset x27, 80\n"
	"	.cfi_rel_offset x28, 88\n"
	"	.cfi_rel_offset x29, 96\n"
	"	.cfi_rel_offset x30, 104\n"
	"	stp d8, d9, [sp, #112]\n"
	"	stp d10, d11, [sp, #128]\n"
	"	stp d12, d13, [sp, #144]\n"
	"	stp d14, d15, [sp, #160]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldr x9, [sp]\n"
	"	msr fpcr, x9\n"
	"	ldp x19, x20, [sp, #16]\n"
	"	ldp x21, x22, [sp, #32]\n"
	"	ldp x23, x24, [sp, #48]\n"
	"	ldp x25, x26, [sp, #64]\n"
	"	ldp x27, x28, [sp, #80]\n"
	"	ldp x29, x30, [sp, #96]\n"
	"	ldp d8, d9, [sp, #112]\n"
	"	ldp d10, d11, [sp, #128]\n"
	"	ldp d12, d13, [sp, #144]\n"
	"	ldp d14, d15, [sp, #160]\n"
	"	add sp, sp, #176\n"
	"	.cfi_adjust_cfa_offset -176\n"
	/* x16: the one that may jump to any landing pad. */
	"	mov x16, x30\n"
	"	br x16\n"
	END("context_swap")

	FUNCTION("context_base")
	"	.cfi_undefined x30\n"
	"	nop\n"
	"context_start:\n"
	"	hint #34\n" /* bti c */
	"	mov x0, x19\n"
	"	blr x20\n"
	"	brk #1\n"
	END("context_base"));
/* clang-format on */

enum { FRAME_WORDS = 22, FRAME_ARG = 2, FRAME_ENTRY = 3, FRAME_RETURN = 13 };

static uint64_t
control_words(void)
{
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	return fpcr;
}

#endif

static void
make(struct context *context, void *stack, size_t size, context_fn entry,
     void *arg)
{
	/* The stack ends at a multiple of 16, and so does the frame. */
	uint64_t *frame = (uint64_t *)((char *)stack + size) - FRAME_WORDS;

	memset(frame, 0, FRAME_WORDS * sizeof(*frame));
	frame[0] = control_words();
	frame[FRAME_ARG] = (uintptr_t)arg;
	frame[FRAME_ENTRY] = (uintptr_t)entry;
	frame[FRAME_RETURN] = (uintptr_t)context_start;
	context->sp = frame;
}

static inline void
swap(struct context *from, struct context *to)
{
	context_swap(&from->sp, to->sp);
}

#else /* ucontext */

/* makecontext() passes ints. */
static void
start(unsigned high, unsigned low)
{
	const struct context *context = (const struct context *)((
		uintptr_t)((uint64_t)high << 32 | low));

	context->entry(context->arg);
}

static void
make(struct context *context, void *stack, size_t size, context_fn entry,
     void *arg)
{
	uint64_t address = (uintptr_t)context;
	int rc = getcontext(&context->ucontext);

	assert(rc == 0);
	(void)rc;
	context->entry = entry;
	context->arg = arg;
	context->ucontext.uc_stack.ss_sp = stack;
	context->ucontext.uc_stack.ss_size = size;
	context->ucontext.uc_link = NULL;
	makecontext(&context->ucontext, (void (*)(void))(uintptr_t)start, 2,
		    (unsigned)(address >> 32), (unsigned)address);
}

static inline void
swap(struct context *from, struct context *to)
{
	(void)swapcontext(&from->ucontext, &to->ucontext);
}

#endif

/* ---- contexts ----------------------------------------------------------- */

void
context_init_thread(struct context *context)
{
	memset(context, 0, sizeof(*context));
	context->tsan = __tsan_get_current_fiber();
}

void
context_init(struct context *context, void *stack, size_t size,
	     context_fn entry, void *arg)
{
	memset(context, 0, sizeof(*context));
	/* What was here before may have been left in the middle. */
	ASAN_UNPOISON_MEMORY_REGION(stack, size);
	context->bottom = stack;
	context->size = size;
	context->tsan = __tsan_create_fiber(0);
	make(context, stack, size, entry, arg);
}

void
context_fini(struct context *context)
{
	ASAN_UNPOISON_MEMORY_REGION(context->bottom, context->size);
	__tsan_destroy_fiber(context->tsan);
}

NOT_CHECKED void
context_switch(struct context *from, struct context *to)
{
	__sanitizer_start_switch_fiber(&from->fake_stack, to->bottom, to->size);
	__tsan_switch_to_fiber(to->tsan, 0);
	swap(from, to);
	__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
}

NOT_CHECKED void
context_leave(struct context *from, struct context *to)
{
	/* NULL: the fake stack is given back. A new one is made at need. */
	__sanitizer_start_switch_fiber(NULL, to->bottom, to->size);
	__tsan_switch_to_fiber(to->tsan, 0);
	swap(from, to);
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
}

NOT_CHECKED void
context_arrive(struct context *from)
{
	(void)from;
	__sanitizer_finish_switch_fiber(NULL, &from->bottom, &from->size);
}
