/* SPDX-License-Identifier: MIT */
/*
 * The floor of the benchmark: what libmicrohttpd alone costs, used as its
 * manual shows. Its own epoll threads, one a processor, and a constant reply
 * of 100 bytes that is made once; at /SIZE one of so many bytes, made at its
 * first request.
 *
 *   floor [PORT]
 *
 * Says where it listens as the daemon does, and ends with SIGTERM.
 */
#include <arpa/inet.h>
#include <err.h>
#include <microhttpd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SIZES = 16, /* different ones */
	SIZE_MAX_LOG = 26,
};

static struct MHD_Response *constant;

/* Other sizes: made under the lock, then read without. */
static struct {
	size_t size;
	struct MHD_Response *_Atomic response;
} others[SIZES];
static pthread_mutex_t others_lock = PTHREAD_MUTEX_INITIALIZER;

static struct MHD_Response *
make_response(size_t size)
{
	char *body = malloc(size);

	if (!body)
		return NULL;
	memset(body, 'x', size);
	return MHD_create_response_from_buffer(size, body,
					       MHD_RESPMEM_MUST_FREE);
}

/* NULL: there is none of that size, and no room for one. */
static struct MHD_Response *
response_of_size(size_t size)
{
	struct MHD_Response *found = NULL;

	for (int i = 0; i < SIZES; i++) {
		found = others[i].response;
		if (!found)
			break;
		if (others[i].size == size)
			return found;
	}
	if (!size || size >> SIZE_MAX_LOG)
		return NULL;
	pthread_mutex_lock(&others_lock);
	for (int i = 0; i < SIZES; i++) {
		found = others[i].response;
		if (!found) {
			others[i].size = size;
			found = make_response(size);
			others[i].response = found;
			break;
		}
		if (others[i].size == size)
			break;
		found = NULL;
	}
	pthread_mutex_unlock(&others_lock);
	return found;
}

static enum MHD_Result
answer(void *cls, struct MHD_Connection *connection, const char *url,
       const char *method, const char *version, const char *upload_data,
       size_t *upload_data_size, void **request)
{
	/* A reply in the first call would close the connection. */
	if (!*request) {
		*request = &constant;
		return MHD_YES;
	}
	if (*upload_data_size) {
		*upload_data_size = 0;
		return MHD_YES;
	}
	if (!url[1])
		return MHD_queue_response(connection, MHD_HTTP_OK, constant);
	return MHD_queue_response(connection, MHD_HTTP_OK,
				  response_of_size(strtoul(url + 1, NULL, 10)));
}

static unsigned
processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set)
		       ? 1
		       : (unsigned)CPU_COUNT(&set);
}

int
main(int argc, char **argv)
{
	static char body[100] = "The floor.";
	struct sockaddr_in address = { .sin_family = AF_INET };
	struct MHD_Daemon *daemon;
	sigset_t stop;
	int signal_number;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	constant = MHD_create_response_from_buffer(sizeof(body), body,
						   MHD_RESPMEM_PERSISTENT);
	daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL,
				  answer, NULL, MHD_OPTION_SOCK_ADDR, &address,
				  MHD_OPTION_THREAD_POOL_SIZE, processors(),
				  MHD_OPTION_CONNECTION_LIMIT, 16384u,
				  MHD_OPTION_END);
	if (!daemon)
		errx(1, "libmicrohttpd does not start");
	fprintf(stderr, "listening address=127.0.0.1:%u\n",
		MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
	sigwait(&stop, &signal_number);
	MHD_stop_daemon(daemon);
	MHD_destroy_response(constant);
	for (int i = 0; i < SIZES; i++)
		if (others[i].response)
			MHD_destroy_response(others[i].response);
	return 0;
}
