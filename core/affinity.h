/* SPDX-License-Identifier: MIT */
/*
 * Thread roles, and the places where an object changes hands.
 *
 * ON_WORKER stands on functions that only a worker may call, ON_COMMITTER on
 * those that only a lane's committer may; nothing means any thread. clang
 * checks them (-Wthread-safety), gcc skips them.
 *
 * HANDS_OVER and TAKES_OVER mark both ends of a hand-over for the thread
 * sanitizer, which does not see the ordering inside Concurrency Kit.
 */
#ifndef CORE_AFFINITY_H
#define CORE_AFFINITY_H

#ifdef __clang__
#define AFFINITY(attribute) __attribute__((attribute))
#else
#define AFFINITY(attribute)
#endif

struct AFFINITY(capability("thread")) thread_role {
	char unused;
};
extern struct thread_role worker_thread, committer_thread;
#define ON_WORKER AFFINITY(requires_capability(worker_thread))
#define ON_COMMITTER AFFINITY(requires_capability(committer_thread))
/* On the function a thread calls first, which gives it the role. */
#define WORKER_BEGINS AFFINITY(assert_capability(worker_thread))
#define COMMITTER_BEGINS AFFINITY(assert_capability(committer_thread))

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

#ifdef UNDER_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define HANDS_OVER(pointer) __tsan_release(pointer)
#define TAKES_OVER(pointer) __tsan_acquire(pointer)
#else
#define HANDS_OVER(pointer) ((void)(pointer))
#define TAKES_OVER(pointer) ((void)(pointer))
#endif

#endif
