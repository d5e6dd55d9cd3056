/* SPDX-License-Identifier: MIT */
/*
 * core/profile: what is sampled, of whom, and how it reads.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/affinity.h"
#include "core/clock.h"
#include "core/fiber_context.h"
#include "core/profile.h"
#include "tests/tap.h"

enum { TEXT_MAX = 4 << 20 };

/* ---- work ---------------------------------------------------------------- */

static uint64_t
cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

static volatile uint64_t sink;

__attribute__((noinline)) static void
innermost(void)
{
	for (unsigned i = 0; i < 100000; i++)
		sink += i * sink + 1;
}

__attribute__((noinline)) static void
busy_loop(uint64_t ns)
{
	uint64_t end = cpu_ns() + ns;

	while (cpu_ns() < end)
		innermost();
	/* So that the call above is none in its place. */
	sink++;
}

/* ---- reading ------------------------------------------------------------- */

struct text {
	struct buffer folded;
	struct profile_figures figures;
};

/* As much of it as fits into so many bytes. */
static struct text
take_up_to(struct profile *profile, size_t max)
{
	struct text text;

	profile_end(profile);
	buffer_init(&text.folded, max);
	profile_write(profile, &text.folded);
	profile_figures(profile, &text.figures);
	text.folded.max++;
	buffer_add(&text.folded, "", 1);
	profile_destroy(profile);
	return text;
}

static struct text
take(struct profile *profile)
{
	return take_up_to(profile, TEXT_MAX);
}

/* Samples of the lines that contain all of the words. */
static uint64_t
samples_with(const struct text *text, const char *a, const char *b)
{
	const char *line = text->folded.data;
	uint64_t sum = 0;

	while (*line) {
		const char *end = strchr(line, '\n');
		char copy[8192];

		snprintf(copy, sizeof(copy), "%.*s", (int)(end - line), line);
		if (strstr(copy, a) && (!b || strstr(copy, b)))
			sum += strtoull(strrchr(copy, ' ') + 1, NULL, 10);
		line = end + 1;
	}
	return sum;
}

static void
show(const struct text *text)
{
	printf("# samples %llu dropped %llu\n%s\n",
	       (unsigned long long)text->figures.samples,
	       (unsigned long long)text->figures.dropped, text->folded.data);
}

static struct profile *
begin(unsigned hz)
{
	struct profile *profile = NULL;

	if (profile_begin(&profile, hz))
		abort();
	return profile;
}

/*
 * Takes a profile of the work, again if it is not as it should be: the kernel
 * looks at a thread's timer when a tick meets the thread. Where others have
 * the processor at most ticks, or all of the machine stands still, a count may
 * be off; what is wrong in our code is wrong each time.
 */
static struct text
measure(unsigned hz, void (*work)(struct profile *profile),
	bool (*is_right)(const struct text *text))
{
	enum { TRIES = 3 };

	for (unsigned i = 1;; i++) {
		struct profile *profile = begin(hz);
		struct text text;

		work(profile);
		text = take(profile);
		if (is_right(&text) || i == TRIES)
			return text;
		show(&text);
		buffer_fini(&text.folded);
	}
}

static bool
is_near(uint64_t samples, uint64_t due)
{
	return samples >= due * 4 / 5 && samples <= due * 6 / 5;
}

/* ---- one thread ---------------------------------------------------------- */

static void
work_for_a_route(struct profile *profile)
{
	(void)profile;
	profile_mark_set(PROFILE_TASK, "GET /b/row/{id}");
	busy_loop(400 * NS_PER_MS);
	profile_mark_set(PROFILE_OTHER, NULL);
}

static bool
has_80(const struct text *text)
{
	return is_near(text->figures.samples, 80);
}

static void
a_busy_function_is_what_is_seen(void)
{
	struct text text = measure(200, work_for_a_route, has_80);

	/* The timer looks at the kernel's ticks only, but counts what is
	 * between them. */
	ok(has_80(&text), "the rate is that of the CPU time: %llu of 80",
	   (unsigned long long)text.figures.samples);
	is_u64(text.figures.dropped, 0, "nothing is dropped");
	ok(samples_with(&text, ";busy_loop", NULL) * 100 >=
		   text.figures.samples * 80,
	   "four of five are in the busy function");
	ok(samples_with(&text, ";busy_loop;innermost ", NULL) * 100 >=
		   text.figures.samples * 80,
	   "what it calls is below it");
	if (!ok(samples_with(&text, "main;route GET /b/row/{id};task;",
			     ";main;") *
				100 >=
			text.figures.samples * 80,
		"with thread, route and kind, and the functions from main on"))
		show(&text);
	is_u64(samples_with(&text, ";", NULL), text.figures.samples,
	       "the lines add up to the figures");
	buffer_fini(&text.folded);
}

/* The kernel looks less often than 1000 times a second, on most machines. */
static void
work_on(struct profile *profile)
{
	(void)profile;
	busy_loop(300 * NS_PER_MS);
}

static bool
has_300(const struct text *text)
{
	return is_near(text->figures.samples, 300);
}

static void
what_comes_late_counts_for_all(void)
{
	struct text text = measure(1000, work_on, has_300);

	ok(has_300(&text),
	   "the highest rate is that of the CPU time: %llu of 300",
	   (unsigned long long)text.figures.samples);
	buffer_fini(&text.folded);
}

static void
waiting_is_not_sampled(void)
{
	const struct timespec while_ = { .tv_nsec = 200000000 };
	struct profile *profile = begin(1000);
	struct text text;

	nanosleep(&while_, NULL);
	text = take(profile);
	ok(text.figures.samples < 20, "a thread that sleeps: %llu samples",
	   (unsigned long long)text.figures.samples);
	buffer_fini(&text.folded);
}

static void
one_at_a_time(void)
{
	struct profile *profile = begin(10), *other = NULL;
	struct text text;

	ok(profile_begin(&other, 10) == ERR_LOCKED, "the second is refused");
	text = take(profile);
	buffer_fini(&text.folded);
	profile = begin(10);
	ok(profile != NULL, "after the first has ended there may be another");
	text = take(profile);
	is_str(text.folded.data, "", "an empty profile is no line");
	buffer_fini(&text.folded);
}

/* Deep stacks fill the ring sooner. */
__attribute__((noinline)) static void
deep(unsigned depth, uint64_t ns)
{
	if (depth > 0)
		deep(depth - 1, ns);
	else
		busy_loop(ns);
	sink++;
}

static void
what_does_not_fit_is_counted(void)
{
	struct profile *profile = begin(1000);
	struct text text;
	uint64_t end = cpu_ns() + 30 * NS_PER_S, others, deep_;

	/* Nobody collects. */
	do {
		deep(200, 50 * NS_PER_MS);
		profile_figures(profile, &text.figures);
	} while (!text.figures.dropped && cpu_ns() < end);
	ok(text.figures.dropped > 0, "samples without room are dropped");
	profile_collect(profile);
	busy_loop(50 * NS_PER_MS);
	text = take(profile);
	others = text.figures.samples - text.figures.dropped;
	ok(others > 50, "the others are there");
	is_u64(samples_with(&text, ";", NULL), others, "and add up");
	/* Not those of the way down or up, which are less deep. */
	deep_ = samples_with(&text, ";deep;deep;", ";busy_loop");
	if (!ok(deep_ > 20 && samples_with(&text, ";other;[cut off];deep",
					   ";busy_loop") == deep_,
		"a stack that is too deep says that it is cut off"))
		show(&text);
	ok(samples_with(&text, ";busy_loop", NULL) > deep_ + 20,
	   "after a collection there is room again");
	buffer_fini(&text.folded);
}

static void
what_cannot_be_shown_is_counted(void)
{
	enum { MAX = 3000 };
	struct profile *profile = begin(1000);
	struct text text;

	/* 40 stacks at least: all of them have some 6000 bytes. */
	for (unsigned i = 1; i <= 40; i++)
		deep(i, 10 * NS_PER_MS);
	text = take_up_to(profile, MAX);
	ok(!text.folded.err && text.folded.len <= MAX + 1 &&
		   samples_with(&text, ";deep;", NULL) > 10,
	   "%zu bytes of a profile that is longer", text.folded.len - 1);
	is_u64(text.figures.dropped,
	       text.figures.samples - samples_with(&text, ";", NULL),
	       "the samples that are left out are dropped ones");
	ok(text.figures.dropped > 10, "which are not few");
	buffer_fini(&text.folded);
}

/* ---- labels -------------------------------------------------------------- */

static void
labels_stay(void)
{
	char text[] = "GET /a";
	const char *label = profile_label(text);

	ok(label != text && label == profile_label("GET /a"),
	   "the same text has the same label");
	text[5] = 'b';
	is_str(label, "GET /a", "it is a copy");
	ok(profile_label(text) != label, "another text has another");
}

static void
labels_cannot_break_lines(void)
{
	struct profile *profile = begin(200);
	struct text text;

	profile_mark_set(PROFILE_TASK, "GET /a;b\nc 7");
	busy_loop(100 * NS_PER_MS);
	profile_mark_set(PROFILE_OTHER, NULL);
	text = take(profile);
	ok(samples_with(&text, ";route GET /a_b_c 7;task;", NULL) > 0,
	   "a field has no separator in it");
	buffer_fini(&text.folded);
}

/* ---- threads ------------------------------------------------------------- */

struct crew {
	const char *name;
	uint64_t ns;
};

__attribute__((noinline)) static void *
work_thread(void *arg)
{
	const struct crew *crew = arg;

	profile_thread_begin(crew->name);
	busy_loop(crew->ns);
	profile_thread_end();
	return NULL;
}

/* They begin, and end, while the profile is taken. */
static void
two_threads_work(struct profile *profile)
{
	static const struct crew crews[] = { { "long", 300 * NS_PER_MS },
					     { "short", 100 * NS_PER_MS } };
	pthread_t threads[2];

	(void)profile;
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, work_thread,
			       (void *)(uintptr_t)&crews[i]);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static uint64_t
samples_of(const struct text *text, const char *thread)
{
	char begin[64];

	snprintf(begin, sizeof(begin), "%s;no route;other;", thread);
	return samples_with(text, begin, "busy_loop");
}

static bool
has_60_and_20(const struct text *text)
{
	return is_near(samples_of(text, "long"), 60) &&
	       is_near(samples_of(text, "short"), 20);
}

static void
each_thread_has_its_own(void)
{
	struct text text = measure(200, two_threads_work, has_60_and_20);

	ok(has_60_and_20(&text), "by their CPU time: %llu of 60, %llu of 20",
	   (unsigned long long)samples_of(&text, "long"),
	   (unsigned long long)samples_of(&text, "short"));
	buffer_fini(&text.folded);
}

static void *
come_and_go(void *arg)
{
	for (unsigned i = 0; i < 200; i++) {
		profile_thread_begin("guest");
		busy_loop(50 * NS_PER_US);
		profile_thread_end();
	}
	return arg;
}

static void
begins_and_ends_at_any_time(void)
{
	pthread_t threads[3];
	unsigned profiles = 0;

	for (unsigned i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, come_and_go, NULL);
	for (; profiles < 100; profiles++) {
		struct profile *profile = begin(1000);
		struct text text;

		busy_loop(NS_PER_MS / 4);
		profile_collect(profile);
		text = take(profile);
		buffer_fini(&text.folded);
	}
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ok(true, "%u profiles while threads come and go", profiles);
}

/* ---- fibers -------------------------------------------------------------- */

enum { FIBER_STACK = 64 << 10 };

static struct context home, fiber;
static char *fiber_stack;
static uint64_t fiber_ns; /* each time it is switched to */

static void
fiber_entry(void *arg)
{
	(void)arg;
	context_arrive(&home);
	for (;;) {
		busy_loop(fiber_ns);
		context_switch(&fiber, &home);
	}
}

static void
work_on_a_fiber(struct profile *profile)
{
	(void)profile;
	fiber_ns = 200 * NS_PER_MS;
	context_switch(&home, &fiber);
}

static bool
has_40_on_a_fiber(const struct text *text)
{
	return is_near(samples_with(text, "busy_loop", NULL), 40);
}

/* Where most of the time is switching, every instruction of it is interrupted
 * sooner or later. */
static void
switch_all_the_time(struct profile *profile)
{
	fiber_ns = 0;
	for (uint64_t end = cpu_ns() + 500 * NS_PER_MS; cpu_ns() < end;) {
		for (unsigned i = 0; i < 1000; i++) {
			context_fini(&fiber);
			context_init(&fiber, fiber_stack, FIBER_STACK,
				     fiber_entry, NULL);
			context_switch(&home, &fiber);
		}
		profile_collect(profile);
	}
}

static bool
has_switches(const struct text *text)
{
	return samples_with(text, "context_", NULL) > 0;
}

static void
a_fiber_ends_at_its_base(void)
{
	struct text text;

	fiber_stack = aligned_alloc(4096, FIBER_STACK);
	context_init_thread(&home);
	context_init(&fiber, fiber_stack, FIBER_STACK, fiber_entry, NULL);
	text = measure(200, work_on_a_fiber, has_40_on_a_fiber);
	ok(has_40_on_a_fiber(&text), "%llu samples of 40 on a fiber",
	   (unsigned long long)samples_with(&text, "busy_loop", NULL));
	if (!ok(samples_with(&text, ";other;context_base;fiber_entry;busy_loop",
			     NULL) == samples_with(&text, "busy_loop", NULL),
		"its first function is its entry"))
		show(&text);
	buffer_fini(&text.folded);

	text = measure(1000, switch_all_the_time, has_switches);
	ok(has_switches(&text),
	   "switches are interrupted: %llu of %llu samples",
	   (unsigned long long)samples_with(&text, "context_", NULL),
	   (unsigned long long)text.figures.samples);
	buffer_fini(&text.folded);
	context_fini(&fiber);
	free(fiber_stack);
}

/* ---- what unwinders trip over -------------------------------------------- */

#if defined(__x86_64__)
/* A function whose notes say that its frame is where a register points: to
 * nowhere. */
void badly_noted(unsigned long rounds);
__asm__(".text\n"
	".globl badly_noted\n"
	".type badly_noted, %function\n"
	"badly_noted:\n"
	"	.cfi_startproc\n"
	"	pushq %rbx\n"
	"	movq $4096, %rbx\n"
	"	.cfi_def_cfa %rbx, 16\n"
	"1:	decq %rdi\n"
	"	jnz 1b\n"
	"	popq %rbx\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size badly_noted, .-badly_noted\n");

static void
wrong_notes_cost_a_sample(void)
{
	struct profile *profile = begin(200);
	uint64_t end = cpu_ns() + 200 * NS_PER_MS;
	struct text text;

	while (cpu_ns() < end)
		badly_noted(1000000);
	text = take(profile);
	ok(samples_with(&text, "main;no route;other;badly_noted ", NULL) > 20,
	   "a function that cannot be unwound is seen alone");
	buffer_fini(&text.folded);
}
#else
static void
wrong_notes_cost_a_sample(void)
{
}
#endif

/* While a profile is taken other faults end the process as ever. */
static void
faults_are_faults(void)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct profile *profile;

		/* A sanitizer reports the fault. */
		close(STDERR_FILENO);
		/* Another process: another thread. */
		profile_thread_end();
		profile_thread_begin("main");
		profile = begin(10);
		(void)profile;
		signal(SIGALRM, SIG_DFL);
		alarm(20);
		/* Not by a store: that is a sanitizer's. */
		raise(SIGSEGV);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ok(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV
			       : WEXITSTATUS(status) != 0,
	   "a fault ends the process");
}

/* ---- costs --------------------------------------------------------------- */

/* The timer's signal, without the wait for it. */
static void
send(int number)
{
	siginfo_t info = { .si_signo = number, .si_code = SI_TIMER };

	syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, &info);
}

static void
on_nothing(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
}

/* Runs send() at the end of a stack of this depth. */
__attribute__((noinline)) static uint64_t
send_many(unsigned depth, unsigned count, int number, struct profile *profile)
{
	uint64_t ns;

	if (depth > 0) {
		ns = send_many(depth - 1, count, number, profile);
		sink++;
		return ns;
	}
	ns = cpu_ns();
	for (unsigned i = 0; i < count; i++) {
		send(number);
		if (i % 100 == 99)
			profile_collect(profile);
	}
	return (cpu_ns() - ns) / count;
}

static void
a_sample_costs_little(void)
{
	enum { COUNT = 10000, DEPTH = 25 };
	struct sigaction action = { .sa_sigaction = on_nothing,
				    .sa_flags = SA_SIGINFO | SA_RESTART };
	struct profile *profile = begin(1);
	uint64_t signal_ns, sample_ns;
	struct text text;

	sigaction(SIGUSR1, &action, NULL);
	signal_ns = send_many(DEPTH, COUNT, SIGUSR1, profile);
	sample_ns = send_many(DEPTH, COUNT, SIGPROF, profile);
	text = take(profile);
	ok(text.figures.samples >= COUNT && text.figures.samples < COUNT + 5,
	   "each signal is a sample");
	/* 99 of them a second are 3% at 300 us. */
	ok(sample_ns < 300 * NS_PER_US,
	   "a sample of a stack of %d takes %llu ns, %llu more than its signal",
	   DEPTH + 6, (unsigned long long)sample_ns,
	   (unsigned long long)(sample_ns - signal_ns));
	buffer_fini(&text.folded);
}

int
main(void)
{
	labels_stay();
	if (!profile_is_possible()) {
		ok(true, "a build that cannot be profiled says so");
		profile_thread_begin("main");
		profile_thread_end();
		return tap_done();
	}
	profile_thread_begin("main");
	a_busy_function_is_what_is_seen();
	what_comes_late_counts_for_all();
	waiting_is_not_sampled();
	one_at_a_time();
	what_does_not_fit_is_counted();
	what_cannot_be_shown_is_counted();
	labels_cannot_break_lines();
	each_thread_has_its_own();
	begins_and_ends_at_any_time();
	a_fiber_ends_at_its_base();
	wrong_notes_cost_a_sample();
	faults_are_faults();
	a_sample_costs_little();
	profile_thread_end();
	return tap_done();
}
