/* SPDX-License-Identifier: MIT */
/*
 * The stacks of fibers: registers, depth, overflow, memory. FIBER_ALIVE sets
 * how many wait at the same time.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/profile.h"
#include "tests/fibers.h"

/* ---- many --------------------------------------------------------------- */

static void
many_wait_at_the_same_time(unsigned count)
{
	struct sched *sched = started_sched(2);
	struct probe *probes = calloc(count, sizeof(*probes));
	struct sched_stats sum;
	uint64_t deadline;
	bool good = probes;

	for (unsigned wave = 1; good && wave <= 3; wave++) {
		for (unsigned i = 0; i < count; i++)
			submit(sched, &probes[i], wait_once);
		for (unsigned i = 0; good && i < count; i++)
			good = wait_for_count(&probes[i].begun, wave);
		sum = total(sched);
		good &= sum.fibers - sum.fibers_ended == count;
		for (unsigned i = 0; i < count; i++)
			fiber_wake(probes[i].self);
		for (unsigned i = 0; good && i < count; i++)
			good = wait_for_count(&probes[i].ended, wave);
	}
	ok(good, "three waves of %u", count);
	deadline = clock_mono_ns() + DEADLINE_NS;
	do {
		sleep_ms(20);
		sum = total(sched);
	} while (sum.fiber_stacks > 2 * 16 && clock_mono_ns() < deadline);
	ok(sum.fiber_stacks <= 2 * 16, "few stacks are kept (%llu)",
	   (unsigned long long)sum.fiber_stacks);
	stop(sched);
	free(probes);
}

/* ---- registers and stacks ----------------------------------------------- */

/* Of both units. (fenv.h needs a library for it.) */
static void
set_rounding_up(bool up)
{
#if defined(__x86_64__)
	uint32_t mxcsr = 0x1f80 | (up ? 2u << 13 : 0);
	uint16_t x87 = 0x037f | (up ? 2u << 10 : 0);

	__asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(x87));
#elif defined(__aarch64__)
	uint64_t fpcr = up ? 1u << 22 : 0;

	__asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
#else
	(void)up;
#endif
}

static bool
rounds_up(bool expected)
{
#if defined(__x86_64__)
	uint32_t mxcsr, up = expected ? 2 : 0;
	uint16_t x87;

	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(x87));
	return (mxcsr >> 13 & 3) == up && (x87 >> 10 & 3u) == up;
#elif defined(__aarch64__)
	uint64_t fpcr;

	__asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
	return (fpcr >> 22 & 3) == expected;
#else
	return true;
#endif
}

static void
round_up(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	bool good = rounds_up(false);

	set_rounding_up(true);
	for (int i = 0; i < 10; i++) {
		fiber_yield();
		good &= rounds_up(true);
	}
	set_rounding_up(false);
	probe->result = good;
	bump(&probe->ended);
}

static void
stay_near(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	bool good = true;

	for (int i = 0; i < 10; i++) {
		good &= rounds_up(false);
		fiber_yield();
	}
	probe->result = good;
	bump(&probe->ended);
}

/* As many values in registers as there are. */
static void
keep_sums(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	uint64_t a = probe->number, b = a + 1, c = a + 2, d = a + 3, e = a + 4,
		 f = a + 5;
	double x = (double)a, y = x / 3;

	for (int i = 0; i < 1000; i++) {
		fiber_yield();
		a += b ^ c;
		b += c ^ d;
		c += d ^ e;
		d += e ^ f;
		e += f ^ a;
		f += a ^ b;
		x += y;
	}
	probe->done = a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t)x;
	bump(&probe->ended);
}

static void
registers_are_kept(void)
{
	struct sched *sched = new_sched(1);
	struct probe up = { 0 }, near = { 0 }, sums[3] = { 0 };
	bool good = true;

	submit(sched, &up, round_up);
	submit(sched, &near, stay_near);
	/* The first and the last count from the same number. */
	sums[1].number = 1234567;
	for (int i = 0; i < 3; i++)
		submit(sched, &sums[i], keep_sums);
	start(sched);
	for (int i = 0; i < 3; i++)
		good &= wait_for_count(&sums[i].ended, 1);
	ok(good && sums[0].done == sums[2].done && sums[0].done != sums[1].done,
	   "of sums that are counted by turns");
	ok(wait_for_count(&up.ended, 1) && up.result, "its rounding mode too");
	ok(wait_for_count(&near.ended, 1) && near.result,
	   "and nobody else has it");
	stop(sched);
}

/* Deeper until `room` bytes of stack are used. */
static __attribute__((noinline)) uint64_t
descend(uintptr_t from, size_t room)
{
	volatile char page[512];
	uint64_t below = 0;

	for (size_t i = 0; i < sizeof(page); i += 64)
		page[i] = (char)i;
	if (from - (uintptr_t)__builtin_frame_address(0) + 1024 < room)
		below = descend(from, room);
	return below + (unsigned char)page[64];
}

static void
use_the_stack(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);
	uintptr_t from = (uintptr_t)__builtin_frame_address(0);

	announce(probe);
	probe->number = from;
	probe->result = descend(from, FIBER_STACK - (16 << 10)) > 0;
	fiber_yield();
	bump(&probe->ended);
}

static bool
is_resident(uintptr_t address)
{
	unsigned char there = 0;
	uintptr_t page = address & ~(uintptr_t)4095;
	int rc = mincore((void *)page, 4096, &there);

	assert(rc == 0);
	(void)rc;
	return there & 1;
}

static void
nearly_all_of_a_stack_can_be_used(void)
{
	struct sched *sched = started_sched(1);
	struct probe probe = { 0 };
	uintptr_t deep;
	uint64_t deadline = clock_mono_ns() + DEADLINE_NS;

	submit(sched, &probe, use_the_stack);
	ok(wait_for_count(&probe.ended, 1) && probe.result,
	   "all but 16 KiB of it");
	deep = (uintptr_t)probe.number - (128 << 10);
	while (is_resident(deep) && clock_mono_ns() < deadline)
		sleep_ms(20);
	ok(!is_resident(deep), "and is given back a second later");
	ok(is_resident((uintptr_t)probe.number), "but for its top");
	submit(sched, &probe, use_the_stack);
	ok(wait_for_count(&probe.ended, 2), "it can be used again");
	stop(sched);
}

/* ---- reports ------------------------------------------------------------ */

static void
overflow_the_stack(struct fiber_task *task)
{
	(void)task;
	(void)descend((uintptr_t)__builtin_frame_address(0), SIZE_MAX);
}

/* A profile takes faults first, and hands on those that are not its own. */
static void
begin_profile(void)
{
	struct profile *profile = NULL;

	if (profile_begin(&profile, 1000))
		_exit(1);
}

static void
overflow_in_a_profile(struct fiber_task *task)
{
	begin_profile();
	overflow_the_stack(task);
}

static void
read_nothing(struct fiber_task *task)
{
	volatile uintptr_t nowhere = 16;

	(void)task;
	(void)*(volatile char *)nowhere;
}

static void
read_nothing_in_a_profile(struct fiber_task *task)
{
	begin_profile();
	read_nothing(task);
}

static void
send_to_itself(struct fiber_task *task)
{
	(void)task;
	raise(SIGSEGV);
}

/* In a child: what it wrote, and the signal that ended it; 0: none. */
static int
run_and_die(fiber_fn run, char *text, size_t size)
{
	int ends[2], status = 0;
	ssize_t len = 0, n;
	pid_t child;
	int rc = pipe(ends);

	assert(rc == 0);
	(void)rc;
	child = fork();
	if (child == 0) {
		struct rlimit none = { 0, 0 };
		struct probe probe = { .task.run = run };
		struct sched *sched = started_sched(1);

		setrlimit(RLIMIT_CORE, &none);
		dup2(ends[1], STDERR_FILENO);
		probe.task.name = "GET /shop/orders/{id}";
		fiber_submit(sched, &probe.task);
		sleep(20);
		_exit(0);
	}
	close(ends[1]);
	while ((n = read(ends[0], text + len, size - 1 - (size_t)len)) > 0)
		len += n;
	text[len] = '\0';
	close(ends[0]);
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
faults_end_the_process(void)
{
	static const char report[] =
		"error stack overflow task=\"GET /shop/orders/{id}\" "
		"worker=0\n";
	static const struct {
		const char *name;
		fiber_fn run;
		const char *report;
	} cases[] = {
		{ "a stack overflow", overflow_the_stack, report },
		{ "one while a profile is taken", overflow_in_a_profile,
		  report },
		{ "another fault", read_nothing, NULL },
		{ "another one while a profile is taken",
		  read_nothing_in_a_profile, NULL },
		{ "a signal", send_to_itself, NULL },
	};
#if defined(__SANITIZE_ADDRESS__) || defined(UNDER_TSAN)
	(void)cases, (void)run_and_die;
	ok(true, "reports # SKIP the sanitizer has handlers of its own");
	return;
#endif
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[4096];
		int got = run_and_die(cases[i].run, text, sizeof(text));

		is_u64((unsigned)got, SIGSEGV, cases[i].name);
		if (cases[i].report)
			ok(strstr(text, cases[i].report) &&
				   strchr(text, '\n') == strrchr(text, '\n'),
			   "is reported in a line, with the task's name");
		else
			is_str(text, "", "is not taken for one");
	}
}

/* ---- no memory ---------------------------------------------------------- */

static void
yield_and_end(struct fiber_task *task)
{
	struct probe *probe = probe_of(task);

	for (int i = 0; i < 5; i++)
		fiber_yield();
	bump(&probe->other->done);
}

/* In a child, whose address space has room for few stacks. */
static int
run_in_little_memory(unsigned count)
{
	struct rlimit limit;
	struct sched *sched = new_sched(1);
	struct probe *probes = calloc(count, sizeof(*probes));
	struct probe owner = { 0 };
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	struct sched_stats sum;

	if (!probes || !file || fscanf(file, "%lu", &pages) != 1)
		return 2;
	fclose(file);
	for (unsigned i = 0; i < count; i++) {
		probes[i].other = &owner;
		submit(sched, &probes[i], yield_and_end);
	}
	/* The worker's own stack is in it. */
	limit.rlim_cur = limit.rlim_max = pages * 4096 + (12 << 20);
	if (setrlimit(RLIMIT_AS, &limit))
		return 3;
	start(sched);
	if (!wait_for_count(&owner.done, count))
		return 4;
	sum = total(sched);
	return sum.fiber_stacks < count ? 0 : 5;
}

/* In a child, which has no room for any stack, and then has. */
static int
run_when_memory_comes(unsigned count)
{
	struct rlimit limit;
	struct sched *sched = started_sched(1);
	struct probe *probes = calloc(count, sizeof(*probes));
	struct probe owner = { 0 };

	if (!probes || getrlimit(RLIMIT_AS, &limit))
		return 2;
	limit.rlim_cur = 1 << 20;
	if (setrlimit(RLIMIT_AS, &limit))
		return 3;
	for (unsigned i = 0; i < count; i++) {
		probes[i].other = &owner;
		submit(sched, &probes[i], yield_and_end);
	}
	sleep_ms(50);
	if (total(sched).fibers > 0)
		return 4;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_AS, &limit))
		return 5;
	return wait_for_count(&owner.done, count) ? 0 : 6;
}

static void
tasks_without_memory_wait(int (*run)(unsigned count), const char *what)
{
	int status = 0;
	pid_t child;

#if defined(__SANITIZE_ADDRESS__) || defined(UNDER_TSAN)
	ok(true, "memory # SKIP the sanitizer needs all the address space");
	(void)child, (void)status, (void)run, (void)what;
	return;
#endif
	child = fork();
	if (child == 0)
		_exit(run(300));
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s (%d)", what,
	   WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

int
main(void)
{
	/* The thread sanitizer has room for a few thousand fibers. */
	unsigned alive = (unsigned)tap_rounds("FIBER_ALIVE", 10000 / SLOWER);

	registers_are_kept();
	nearly_all_of_a_stack_can_be_used();
	many_wait_at_the_same_time(alive);
	faults_end_the_process();
	tasks_without_memory_wait(run_in_little_memory,
				  "until others have ended");
	tasks_without_memory_wait(run_when_memory_comes, "until there is some");
	return tap_done();
}
