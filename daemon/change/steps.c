/*
 * Steps of the wall clock: grace periods and the windows of limits count time that passed.
 *
 * Enters: the wall clock, the clock since boot (which goes on in suspend), what was noted of both before.
 * Leaves: a shift, so that wall - shift goes on evenly whatever the wall clock does; an alarm and an
 * audit row for a step. Fails: store, memory; the shift before then stays in force and the step is
 * found again at the next look.
 *
 * Within a boot the difference of the two clocks is constant but for steps. Over a boot nothing but the
 * wall clock can say how long it took: it is believed unless it went backwards, which no time
 * does; then none has passed. A step of less than five minutes is how clocks are set right.
 *
 * Stored as the value "clock": wall, since boot, shift, in seconds, and the boot's name.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <rolebridge/base/util.h>

#define STEP_S 300
/* An idle store is written to for the sake of the clock as rarely as this. */
#define NOTE_EVERY_S 600
#define SECONDS_MAX (INT64_C(1) << 40)
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

struct change_test_clock change_test_clock;

static int64_t since_boot_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec + change_test_clock.passed_s;
}

/* "" when it cannot be known. */
static void read_boot(char ret_boot[static BOOT_SIZE])
{
	FILE *file = change_test_clock.boot ? NULL : fopen(BOOT_ID_FILE, "re");

	ret_boot[0] = '\0';
	if (change_test_clock.boot)
		snprintf(ret_boot, BOOT_SIZE, "%s", change_test_clock.boot);
	else if (!file || !fgets(ret_boot, BOOT_SIZE, file))
		ret_boot[0] = '\0';
	ret_boot[strcspn(ret_boot, " \n")] = '\0';
	if (file)
		fclose(file);
}

static bool is_plausible(int64_t seconds)
{
	return seconds > -SECONDS_MAX && seconds < SECONDS_MAX;
}

/* Returns 1, 0 when nothing usable is noted, -1. */
static int load_note(struct store *store, struct clock_note *ret_note, struct err *err)
{
	AUTO(arena) struct arena *arena = arena_create(1u << 16);
	struct clock_note note = { 0 };
	const char *value;
	int end = 0;

	if (!arena)
		return err_set(err, ERR_MEMORY, "no memory for the clock");
	if (store_meta_get(store, "clock", arena, &value, err) < 0)
		return -1;
	if (!value ||
	    sscanf(value, "%" SCNd64 " %" SCNd64 " %" SCNd64 " %n", &note.wall_s, &note.boot_s,
		   &note.shift_s, &end) < 3 ||
	    end == 0 || !is_plausible(note.wall_s) || !is_plausible(note.boot_s) ||
	    !is_plausible(note.shift_s))
		return 0;
	snprintf(note.boot, sizeof(note.boot), "%s", value + end);
	*ret_note = note;
	return 1;
}

static int store_note(struct store *store, const struct clock_note *note, struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(256);

	strbuf_printf(&text, "%" PRId64 " %" PRId64 " %" PRId64 " %s", note->wall_s, note->boot_s,
		      note->shift_s, note->boot);
	if (strbuf_failed(&text))
		return err_set(err, ERR_MEMORY, "no memory for the clock");
	return store_meta_set(store, "clock", strbuf_text(&text), err);
}

int clock_shift_load(struct store *store, int64_t *ret_shift_s, struct err *err)
{
	struct clock_note note;
	int known = load_note(store, &note, err);

	if (known < 0)
		return -1;
	*ret_shift_s = known ? note.shift_s : 0;
	return 0;
}

/* The time now, following `before`. Returns by how much the clock was set; 0: by less than counts. */
static int64_t follow(const struct clock_note *before, bool same_boot, struct clock_note *ret_now)
{
	struct clock_note now = { .wall_s = change_now_s(),
				  .boot_s = since_boot_s(),
				  .shift_s = before->shift_s };
	int64_t wall_s = now.wall_s - before->wall_s;
	int64_t step_s =
		same_boot ? wall_s - (now.boot_s - before->boot_s) : (wall_s < 0 ? wall_s : 0);

	memcpy(now.boot, before->boot, sizeof(now.boot));
	if (step_s >= -STEP_S && step_s <= STEP_S)
		step_s = 0;
	now.shift_s += step_s;
	*ret_now = now;
	return step_s;
}

static void describe_step(int64_t step_s, struct strbuf *out)
{
	int64_t minutes = (step_s < 0 ? -step_s : step_s) / 60;

	strbuf_puts(out, "the clock was set ");
	strbuf_puts(out, step_s < 0 ? "back by" : "forward by");
	if (minutes >= 1440)
		strbuf_printf(out, " %" PRId64 " d", minutes / 1440);
	if (minutes % 1440 >= 60)
		strbuf_printf(out, " %" PRId64 " h", minutes % 1440 / 60);
	if (minutes % 60)
		strbuf_printf(out, " %" PRId64 " min", minutes % 60);
	strbuf_puts(out, ": grace periods and limits go on as if it had not been");
}

/* Inside a transaction. */
static int note_step(struct store *store, const struct clock_note *now, int64_t step_s,
		     struct err *err)
{
	AUTO(strbuf) struct strbuf text = STRBUF(1024), detail = STRBUF(1024);
	struct actor actor = { .name = "clock", .request = "" };
	struct json json = JSON(&detail);

	if (store_note(store, now, err) < 0)
		return -1;
	if (step_s == 0)
		return 0;
	describe_step(step_s, &text);
	json_object(&json);
	json_string(&json, "why", "clock");
	json_int(&json, "step_s", step_s);
	json_int(&json, "shift_s", now->shift_s);
	json_end(&json);
	if (strbuf_failed(&text) || strbuf_failed(&detail))
		return err_set(err, ERR_MEMORY, "no memory for the clock");
	if (store_alarm_raise(store, "clock-step", "clock", strbuf_text(&text), now->wall_s, err) <
	    0)
		return -1;
	return audit_write(store, now->wall_s, &actor, "clock.step", "clock", strbuf_text(&detail),
			   err);
}

/* The newest time the log knows: a store may be older than its note, or have none. */
static int newest_time(struct store *store, int64_t *ret_time_s, struct err *err)
{
	struct audit_query query = { .newest_first = true, .limit = 1 };
	struct store_audit_cursor *cursor = store_audit_open(store, &query, err);
	struct audit_iterator iterator;
	struct audit_row row;
	int found;

	if (!cursor)
		return -1;
	iterator = store_audit_iterator(cursor);
	found = iterator.next(iterator.context, &row, err);
	*ret_time_s = found > 0 ? row.at_s : 0;
	store_audit_close(cursor);
	return found < 0 ? -1 : 0;
}

int clock_begin(struct changer *changer, struct err *err)
{
	struct clock_note before = { .wall_s = change_now_s(), .boot_s = since_boot_s() }, now;
	char boot[BOOT_SIZE];
	int known = load_note(changer->store, &before, err);
	bool same_boot;
	int64_t newest_s, step_s;

	if (known < 0 || newest_time(changer->store, &newest_s, err) < 0)
		return -1;
	read_boot(boot);
	same_boot = known && boot[0] != '\0' && strcmp(boot, before.boot) == 0;
	if (!same_boot && newest_s > before.wall_s && is_plausible(newest_s))
		before.wall_s = newest_s;
	memcpy(before.boot, boot, sizeof(before.boot));
	step_s = follow(&before, same_boot, &now);
	if (note_step(changer->store, &now, step_s, err) < 0)
		return -1;
	changer->clock = changer->clock_stored = now;
	return 0;
}

struct looking {
	struct clock_note now;
	int64_t step_s;
};

static int note_job(struct changer *changer, struct job *job, struct err *err)
{
	const struct looking *looking = job->context;

	return note_step(changer->store, &looking->now, looking->step_s, err);
}

/* With the lock. The setup in force then knows the new shift; bulk, since only its holder replaces setups. */
static int take_step(struct changer *changer, struct err *err)
{
	AUTO(store) struct store *read = store_open(changer->path, STORE_READ, err);
	struct live_setup *before, *after;

	if (!read)
		return -1;
	pthread_mutex_lock(&changer->bulk);
	before = changer_live_setup(changer, NULL);
	after = live_setup_create(before->origin, read, err);
	setup_release(&before->setup);
	if (after)
		changer_put_setup(changer, after);
	pthread_mutex_unlock(&changer->bulk);
	return after ? 0 : -1;
}

static int look(struct changer *changer, struct err *err)
{
	struct looking looking;

	looking.step_s = follow(&changer->clock, true, &looking.now);
	if (looking.step_s != 0 ||
	    looking.now.wall_s - changer->clock_stored.wall_s >= NOTE_EVERY_S) {
		if (writer_request(changer, note_job, &looking, err) < 0)
			return -1;
		changer->clock_stored = looking.now;
		changer->clock_stale |= looking.step_s != 0;
	}
	changer->clock = looking.now;
	if (!changer->clock_stale)
		return 0;
	if (take_step(changer, err) < 0)
		return -1;
	changer->clock_stale = false;
	return 0;
}

int changer_watch_clock(struct changer *changer, struct err *err)
{
	int result;

	pthread_mutex_lock(&changer->clock_lock);
	result = look(changer, err);
	pthread_mutex_unlock(&changer->clock_lock);
	return result < 0 ? err_wrap(err, "cannot follow the clock") : 0;
}
