/*
 * Addresses of a host. Enters: a name. Leaves: what getaddrinfo makes of it. Fails with it, or when nobody waits any more.
 *
 * getaddrinfo cannot be told to stop, and a name server that is silent keeps it for minutes. So it is asked in a thread of
 * its own, which is left behind by who goes; whoever of the two is the last one gives back what both know. At most
 * ASKING_MAX are asked at a time, and of one host LEFT_MAX are left behind: a name that nobody answers for takes no
 * other's place.
 */
#include <rolebridge/base/resolve.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/util.h>

#define ASKING_MAX 256
#define LEFT_MAX 8
#define LOOK_NS 200000000L
#define SECOND_NS 1000000000L

struct question {
	struct question *next;
	pthread_cond_t answered;
	bool done, left; /* left: nobody waits for it */
	int status, error;
	struct addrinfo *list;
	char *host, *port; /* read by the thread alone */
};

/* For the list of what is asked just now, and for what a question says of it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct question *asking;

static void question_free(struct question *question)
{
	if (question->list)
		freeaddrinfo(question->list);
	pthread_cond_destroy(&question->answered);
	free(question->host);
	free(question->port);
	free(question);
}

static struct question *question_make(const char *host, const char *port)
{
	struct question *question = alloc_zeroed(1, sizeof(*question));
	pthread_condattr_t attributes;

	if (!question)
		return NULL;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&question->answered, &attributes);
	pthread_condattr_destroy(&attributes);
	question->host = strdup(host);
	question->port = port ? strdup(port) : NULL;
	if (question->host && (!port || question->port))
		return question;
	question_free(question);
	return NULL;
}

static int look_up(const char *host, const char *port, int flags, struct addrinfo **ret_list)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
					.ai_family = AF_UNSPEC,
					.ai_flags = AI_NUMERICSERV | flags };

	return getaddrinfo(host, port, &hints, ret_list);
}

/* With the lock. */
static void take_out(const struct question *question)
{
	struct question **place = &asking;

	while (*place != question)
		place = &(*place)->next;
	*place = question->next;
}

static void *ask(void *context)
{
	struct question *question = context;
	struct addrinfo *list = NULL;
	int status = look_up(question->host, question->port, 0, &list);
	int error = errno;
	bool left;

	pthread_mutex_lock(&lock);
	question->done = true;
	question->status = status;
	question->error = error;
	question->list = status == 0 ? list : NULL;
	left = question->left;
	take_out(question);
	pthread_cond_signal(&question->answered);
	pthread_mutex_unlock(&lock);
	if (left)
		question_free(question);
	return NULL;
}

/* With the lock. */
static int check_room(const char *host, struct err *err)
{
	size_t count = 0, left = 0;

	for (const struct question *one = asking; one; one = one->next) {
		count++;
		left += one->left && strcasecmp(one->host, host) == 0;
	}
	if (left >= LEFT_MAX)
		return err_set(err, ERR_UNAVAILABLE,
			       "cannot resolve '%s': no name server has answered for some time",
			       host);
	if (count >= ASKING_MAX)
		return err_set(err, ERR_UNAVAILABLE,
			       "cannot resolve '%s': too many names are asked for", host);
	return 0;
}

/* With the lock. */
static int start_thread(struct question *question, struct err *err)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int failed;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	failed = pthread_create(&thread, &attributes, ask, question);
	pthread_attr_destroy(&attributes);
	if (failed != 0)
		return err_set_errno(err, ERR_UNAVAILABLE, failed, "cannot resolve '%s'",
				     question->host);
	question->next = asking;
	asking = question;
	return 0;
}

static int start(struct question *question, struct err *err)
{
	int result;

	pthread_mutex_lock(&lock);
	result = check_room(question->host, err);
	if (result == 0)
		result = start_thread(question, err);
	pthread_mutex_unlock(&lock);
	return result;
}

/* With the lock. */
static void wait_a_little(struct question *question)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LOOK_NS;
	if (until.tv_nsec >= SECOND_NS) {
		until.tv_nsec -= SECOND_NS;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&question->answered, &lock, &until);
}

/* Was it answered? Else the thread has the question now. */
static bool await(struct question *question, bool (*cancelled)(void *context), void *context)
{
	bool done;

	pthread_mutex_lock(&lock);
	while (!question->done && !(cancelled && cancelled(context)))
		wait_a_little(question);
	done = question->done;
	question->left = !done;
	pthread_mutex_unlock(&lock);
	return done;
}

int resolve_host(const char *host, const char *port, bool (*cancelled)(void *context),
		 void *context, struct addrinfo **ret_list, struct err *err)
{
	struct question *question;
	int status;

	/* An address is nothing to wait for. */
	if (look_up(host, port, AI_NUMERICHOST, ret_list) == 0)
		return 0;
	question = question_make(host, port);
	if (!question)
		return err_set(err, ERR_MEMORY, "out of memory");
	if (start(question, err) < 0) {
		question_free(question);
		return -1;
	}
	if (!await(question, cancelled, context))
		return err_set(err, ERR_CANCELLED, "'%s' was not resolved in time", host);
	status = question->status;
	if (status == 0)
		*ret_list = question->list;
	else if (status == EAI_SYSTEM)
		err_set_errno(err, ERR_UNAVAILABLE, question->error, "cannot resolve '%s'", host);
	else
		err_set(err, status == EAI_MEMORY ? ERR_MEMORY : ERR_UNAVAILABLE,
			"cannot resolve '%s': %s", host, gai_strerror(status));
	question->list = NULL;
	question_free(question);
	return status == 0 ? 0 : -1;
}
