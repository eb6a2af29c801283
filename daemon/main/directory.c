/*
 * Signing in with the password of a directory. Enters: whose, as the store knows them, and a password. Leaves: right or
 * wrong. Fails when no server of the source could say, or too many ask at once.
 *
 * Each question is a process and a connection: so many at a time, some others wait a little. A directory that let one
 * wait long for no answer is asked nothing for a while: requests that wait are threads that others need. Wrong ones of
 * one person are counted for the source's window; past the limit nobody is asked about them, as if it were wrong, so
 * that the directory never locks out anybody for what was typed here.
 */
#include "directory.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/clock.h>
#include <rolebridge/base/log.h>
#include <rolebridge/base/util.h>
#include <rolebridge/source/guesses.h>
#include <rolebridge/source/ldap.h>

_Static_assert(LDAP_LOGIN_FAILURES_MAX <= GUESSES_OF_ONE_MAX, "each of them is counted");

#define AT_A_TIME 4
#define WAITING_MAX 12
#define WAIT_S 5
/* No answer after so long, and it is asked nothing for so long. */
#define SILENT_US 1000000
#define REST_US 10000000
#define RESTS_MAX 32 /* the newest are known */

struct rest {
	struct hash128 source;
	int64_t until_us;
};

struct directory_service {
	struct changer *changer;
	pthread_mutex_t lock;
	pthread_cond_t freed; /* CLOCK_MONOTONIC */
	unsigned asking, waiting;
	struct rest rests[RESTS_MAX];
	struct guesses *guesses;
	uint64_t right, wrong, limited, unavailable;
};

/* --- begin and end --- */

struct directory_service *directory_service_create(struct changer *changer, struct err *err)
{
	struct directory_service *service = alloc_zeroed(1, sizeof(*service));
	pthread_condattr_t attributes;

	if (service)
		service->guesses = guesses_create();
	if (!service || !service->guesses) {
		free(service);
		err_set(err, ERR_MEMORY, "out of memory");
		return NULL;
	}
	service->changer = changer;
	pthread_mutex_init(&service->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&service->freed, &attributes);
	pthread_condattr_destroy(&attributes);
	return service;
}

void directory_service_destroy(struct directory_service *service)
{
	if (!service)
		return;
	guesses_destroy(service->guesses);
	pthread_cond_destroy(&service->freed);
	pthread_mutex_destroy(&service->lock);
	free(service);
}

/* --- rests, under the lock --- */

static struct hash128 source_hash(const struct ldap_source *source)
{
	const char *name = source->common.name.text;

	return digest128(name, strlen(name));
}

static bool does_rest(const struct directory_service *service, struct hash128 source)
{
	int64_t now_us = clock_monotonic_us();

	for (size_t i = 0; i < RESTS_MAX; i++)
		if (now_us < service->rests[i].until_us &&
		    hash128_equal(service->rests[i].source, source))
			return true;
	return false;
}

static void let_rest(struct directory_service *service, struct hash128 source, int64_t until_us)
{
	struct rest *rest = service->rests;

	for (size_t i = 0; i < RESTS_MAX; i++) {
		if (hash128_equal(service->rests[i].source, source)) {
			rest = &service->rests[i];
			break;
		}
		if (service->rests[i].until_us < rest->until_us)
			rest = &service->rests[i];
	}
	*rest = (struct rest){ .source = source, .until_us = until_us };
}

/* --- a turn --- */

/* Under the lock. */
static void wait_turn(struct directory_service *service)
{
	struct timespec end;
	int status = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += WAIT_S;
	service->waiting++;
	while (service->asking >= AT_A_TIME && status != ETIMEDOUT)
		status = pthread_cond_timedwait(&service->freed, &service->lock, &end);
	service->waiting--;
}

static int take_turn(struct directory_service *service, const struct ldap_source *source,
		     struct err *err)
{
	struct hash128 hash = source_hash(source);
	bool rests, turn;

	pthread_mutex_lock(&service->lock);
	if (service->asking >= AT_A_TIME && service->waiting < WAITING_MAX &&
	    !does_rest(service, hash))
		wait_turn(service);
	rests = does_rest(service, hash);
	turn = !rests && service->asking < AT_A_TIME;
	service->asking += turn;
	pthread_mutex_unlock(&service->lock);
	if (rests)
		return err_refuse(err, ERR_UNAVAILABLE, "directory-unavailable",
				  "the directory did not answer a moment ago");
	return turn ? 0
		    : err_refuse(err, ERR_UNAVAILABLE, "busy", "too many people are signing in");
}

static void end_turn(struct directory_service *service)
{
	pthread_mutex_lock(&service->lock);
	service->asking--;
	pthread_cond_signal(&service->freed);
	pthread_mutex_unlock(&service->lock);
}

/* --- which source --- */

static const struct ldap_source *as_ldap(const struct source_settings *source)
{
	if (!source || !source->enabled || !source_takes_passwords(source) || !source->type.text ||
	    strcmp(source->type.text, "ldap") != 0)
		return NULL;
	return (const struct ldap_source *)(const void *)source;
}

/* name NULL: the first that takes passwords. */
static const struct ldap_source *find_source(const struct setup *setup, const char *name)
{
	if (name)
		return as_ldap(setup_find_source(setup, name));
	for (size_t i = 0; i < setup->source_count; i++) {
		const struct ldap_source *source = as_ldap(setup->sources[i]);

		if (source)
			return source;
	}
	return NULL;
}

static bool has_any(void *context)
{
	struct directory_service *service = context;
	struct setup *setup = changer_setup(service->changer);
	bool found = find_source(setup, NULL) != NULL;

	setup_release(setup);
	return found;
}

/* --- asking --- */

static struct hash128 who(const char *source, const char *key)
{
	const struct hash128 parts[] = { digest128(source, strlen(source)),
					 digest128(key, strlen(key)) };

	return digest128(parts, sizeof(parts));
}

static bool may_ask(struct directory_service *service, const struct ldap_source *source,
		    struct hash128 person, int64_t now_s)
{
	bool may;

	pthread_mutex_lock(&service->lock);
	may = guesses_take(service->guesses, person, (size_t)source->login_failures,
			   source->login_window_s, now_s);
	service->limited += !may;
	pthread_mutex_unlock(&service->lock);
	return may;
}

/*
 * What a server may have counted counts here: a bind that was sent and not answered, and each at another server. Who was asked
 * about at none is guessed at for nothing, and keeps what they have left.
 */
static void note_person(struct directory_service *service, const struct ldap_source *source,
			struct hash128 person, int64_t at_s, unsigned asked, bool is_right)
{
	if (is_right)
		guesses_right(service->guesses, person);
	else if (asked == 0)
		guesses_return(service->guesses, person, at_s);
	for (unsigned i = 1; i < asked && !is_right; i++)
		guesses_take(service->guesses, person, (size_t)source->login_failures,
			     source->login_window_s, at_s);
}

static void note(struct directory_service *service, const struct ldap_source *source,
		 const struct hash128 *person, int64_t begun_us, int status, unsigned asked,
		 bool right)
{
	int64_t now_us = clock_monotonic_us(), now_s = begun_us / 1000000 + 1;

	pthread_mutex_lock(&service->lock);
	if (status < 0 && now_us - begun_us > SILENT_US)
		let_rest(service, source_hash(source), now_us + REST_US);
	service->unavailable += status < 0;
	service->right += status == 0 && right;
	service->wrong += status == 0 && !right;
	if (person)
		note_person(service, source, *person, now_s, asked, status == 0 && right);
	pthread_mutex_unlock(&service->lock);
}

static int ask(struct directory_service *service, const struct ldap_source *source,
	       const struct directory_question *question, struct directory_answer *ret_answer,
	       struct err *err)
{
	int64_t begun_us = clock_monotonic_us();
	struct directory_answer answer = { .right = false };
	struct hash128 person = { 0 };
	const char *key = question->source ? question->key : NULL;
	unsigned asked = 0;
	int status;

	if (key) {
		person = who(question->source, key);
		answer.limited = !may_ask(service, source, person, begun_us / 1000000 + 1);
		key = answer.limited ? NULL : key;
	}
	status = ldap_source_sign_in(source, key, question->password, strlen(question->password),
				     &answer.right, &asked, err);
	note(service, source, key ? &person : NULL, begun_us, status, asked, answer.right);
	if (status < 0) {
		log_warning("login.directory.failed", F_STR("source", source->common.name.text),
			    F_ERR(err));
		return -1;
	}
	*ret_answer = answer;
	return 0;
}

static int sign_in(void *context, const struct directory_question *question,
		   struct directory_answer *ret_answer, struct err *err)
{
	struct directory_service *service = context;
	struct setup *setup = changer_setup(service->changer);
	const struct ldap_source *source = find_source(setup, question->source);
	int result;

	if (!source)
		result = err_refuse(err, ERR_UNAVAILABLE, "directory-unavailable",
				    "no directory takes passwords");
	else
		result = take_turn(service, source, err);
	if (result == 0) {
		result = ask(service, source, question, ret_answer, err);
		end_turn(service);
	}
	setup_release(setup);
	return result;
}

static void tell_metrics(void *context, struct strbuf *out)
{
	static const char name[] = "rolebridge_directory_sign_ins_total";
	struct directory_service *service = context;

	pthread_mutex_lock(&service->lock);
	strbuf_printf(out, "# HELP %s Passwords that directories were asked about, by answer.\n",
		      name);
	strbuf_printf(out, "# TYPE %s counter\n", name);
	strbuf_printf(out, "%s{answer=\"right\"} %llu\n", name, (unsigned long long)service->right);
	strbuf_printf(out, "%s{answer=\"wrong\"} %llu\n", name, (unsigned long long)service->wrong);
	strbuf_printf(out, "%s{answer=\"unavailable\"} %llu\n", name,
		      (unsigned long long)service->unavailable);
	strbuf_puts(out, "# HELP rolebridge_directory_sign_ins_held_total Passwords that no "
			 "directory was asked about, for too many wrong ones.\n"
			 "# TYPE rolebridge_directory_sign_ins_held_total counter\n");
	strbuf_printf(out, "rolebridge_directory_sign_ins_held_total %llu\n",
		      (unsigned long long)service->limited);
	pthread_mutex_unlock(&service->lock);
}

struct directory_ports directory_service_ports(struct directory_service *service)
{
	return (struct directory_ports){
		.context = service, .any = has_any, .sign_in = sign_in, .metrics = tell_metrics
	};
}
