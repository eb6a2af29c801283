/* Who is told of which alarms, how often, and that nothing is told twice or lost. */
#include "../../../daemon/change/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rolebridge/change/alarm_mail.h>
#include <rolebridge/change/invite.h>

#include "support.h"

#define CONFIG \
	"profiles: [{name: administrator}, {name: staff}]\n" POLICY \
	"sources: [{name: far, type: ldif, organization: partners}]\n"
#define MINUTE INT64_C(60000000)

/* --- how often --- */

static void test_pace(void **state)
{
	struct alarm_pace pace = { .next = 0 };
	int64_t now_us = 5 * MINUTE, began_us = now_us;

	(void)state;
	for (int letter = 0; letter < ALARM_LETTERS_AN_HOUR; letter++) {
		assert_true(alarm_pace_allows(&pace, now_us));
		alarm_pace_note(&pace, now_us);
		assert_false(alarm_pace_allows(&pace, now_us));
		assert_false(alarm_pace_allows(&pace, now_us + MINUTE - 1));
		now_us += MINUTE;
	}
	assert_false(alarm_pace_allows(&pace, now_us));
	assert_false(alarm_pace_allows(&pace, began_us + 60 * MINUTE - 1));
	assert_true(alarm_pace_allows(&pace, began_us + 60 * MINUTE));
	alarm_pace_note(&pace, began_us + 60 * MINUTE);
	/* The second of them is an hour old a minute later. */
	assert_false(alarm_pace_allows(&pace, began_us + 61 * MINUTE - 1));
	assert_true(alarm_pace_allows(&pace, began_us + 61 * MINUTE));
}

/* --- who --- */

static void add(struct world *world, const char *username, const char *email,
		const char *organization)
{
	const struct new_user user = { .username = username,
				       .email = email,
				       .display_name = username,
				       .organization = organization,
				       .profile = "administrator" };
	struct uuid uuid;

	ok(world, change_user_create(world->changer, &test_person, &user, &uuid, &world->err));
}

static void open_world(struct world *world)
{
	world_open(world, CONFIG);
	add(world, "anna", "anna@x.example", "default");
	add(world, "ben", "ben@x.example", "default");
	add(world, "mute", "", "default");
	add(world, "paul", "paul@y.example", "partners");
	add(world, "pia", "pia@y.example", "partners");
}

static void raise_alarm(struct world *world, const char *kind, const char *subject)
{
	ok(world, change_alarm_raise(world->changer, kind, subject, "text", &world->err));
}

static const char *uuid_of(struct world *world, const char *name)
{
	struct user user = world_find(world, name);
	char uuid[UUID_TEXT_SIZE];

	uuid_format(&user.uuid, uuid);
	return arena_strdup(world->arena, uuid);
}

static size_t note(struct world *world, bool administrators, const char *address)
{
	const struct alarm_recipients recipients = { .administrators = administrators,
						     .addresses = &address,
						     .address_count = address ? 1 : 0 };
	size_t letters = 0;

	ok(world, change_alarms_note(world->changer, &recipients, &letters, &world->err));
	return letters;
}

/* "anna@x.example: kind kind+2; …" in the order of the outbox, which is emptied. */
static const char *letters(struct world *world)
{
	const char *text = "";
	struct outbox_row row;

	for (;;) {
		AUTO(store) struct store *store = world_read(world);
		struct alarm_letter letter;
		int found = store_outbox_next(store, INT64_MAX, world->arena, &row, &world->err);

		ok(world, found);
		if (!found)
			return text;
		assert_string_equal(row.kind, OUTBOX_ALARMS);
		found = change_alarms_letter(world->changer, store, &row, world->arena, &letter,
					     &world->err);
		ok(world, found);
		if (found) {
			text = arena_printf(world->arena, "%s%s%s:", text, *text ? "; " : "",
					    letter.address);
			for (size_t i = 0; i < letter.count && i < 3; i++)
				text = arena_printf(world->arena, "%s %s", text,
						    letter.alarms[i].kind);
			if (letter.more)
				text = arena_printf(world->arena, "%s+%zu", text, letter.more);
		}
		ok(world, change_outbox_done(world->changer, &row, true, &world->err));
	}
}

static bool any_new(struct world *world)
{
	AUTO(store) struct store *store = world_read(world);
	int result = change_alarms_new(store, &world->err);

	ok(world, result);
	return result > 0;
}

static void test_who(void **state)
{
	struct world *world = *state;

	open_world(world);
	note(world, false, NULL);
	assert_false(any_new(world));
	raise_alarm(world, "one", "a");
	assert_true(any_new(world));
	assert_int_equal(note(world, true, NULL), 2);
	assert_false(any_new(world));
	assert_string_equal(letters(world), "anna@x.example: one; ben@x.example: one");
	/* Said anew it is not new; once over and back again it is. */
	raise_alarm(world, "one", "a");
	assert_false(any_new(world));
	ok(world, change_alarm_end(world->changer, "one", "a", "test", &world->err));
	assert_false(any_new(world));
	raise_alarm(world, "one", "a");
	raise_alarm(world, "two", "a");
	assert_int_equal(note(world, false, "ops@z.example"), 1);
	assert_string_equal(letters(world), "ops@z.example: one two");
	/* Nobody wants them: taken for told. */
	raise_alarm(world, "three", "a");
	assert_int_equal(note(world, false, NULL), 0);
	assert_false(any_new(world));
	assert_string_equal(letters(world), "");
}

/* Of an administrator lost elsewhere that organization's own are told, of that alone. */
static void test_organizations(void **state)
{
	struct world *world = *state;

	open_world(world);
	note(world, false, NULL);
	raise_alarm(world, "administrator-lost", uuid_of(world, "pia"));
	raise_alarm(world, "last-administrator", uuid_of(world, "paul"));
	raise_alarm(world, "administrator-lost", uuid_of(world, "anna"));
	raise_alarm(world, "administrator-lost", "nobody");
	raise_alarm(world, "other", uuid_of(world, "pia"));
	assert_int_equal(note(world, true, NULL), 4);
	assert_string_equal(letters(world),
			    "anna@x.example: administrator-lost last-administrator "
			    "administrator-lost; ben@x.example: administrator-lost "
			    "last-administrator administrator-lost; paul@y.example: "
			    "administrator-lost last-administrator; pia@y.example: "
			    "administrator-lost last-administrator");
}

static void test_mail_itself(void **state)
{
	struct world *world = *state;

	open_world(world);
	note(world, false, NULL);
	raise_alarm(world, "mail-failing", "mail");
	assert_int_equal(note(world, true, "ops@z.example"), 0);
	assert_false(any_new(world));
	ok(world, change_alarm_end(world->changer, "mail-failing", "mail", "test", &world->err));
	raise_alarm(world, "mail-failing", "mail");
	raise_alarm(world, "one", "a");
	assert_int_equal(note(world, false, "ops@z.example"), 1);
	assert_string_equal(letters(world), "ops@z.example: one");
}

/* Many are counted; who is no administrator any more, when the letter is written, gets none. */
static void test_many(void **state)
{
	struct world *world = *state;
	char subject[16];

	open_world(world);
	note(world, false, NULL);
	for (int i = 0; i < ALARMS_TOLD_MAX + 7; i++) {
		snprintf(subject, sizeof(subject), "%d", i);
		raise_alarm(world, "k", subject);
	}
	assert_int_equal(note(world, true, NULL), 2);
	ok(world, change_user_disable(world->changer, &test_person, "anna", "", &world->err));
	assert_string_equal(letters(world), "ben@x.example: k k k+7");
}

/* Of old alarms nobody hears, and of a row that is none of ours neither. */
static void test_old_rows(void **state)
{
	struct world *world = *state;
	static const char *const subjects[] = { "",
						"x",
						"1-2",
						"1-2 ",
						"1-2 group:x",
						"1-2 user:x",
						"1-2 user:01890a5d-ac96-774b-bcce-b302099a8057" };
	struct alarm_letter letter;
	struct outbox_row row = { .kind = OUTBOX_ALARMS, .created_s = clock_now_s() };

	open_world(world);
	raise_alarm(world, "one", "a");
	AUTO(store) struct store *store = world_read(world);

	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		row.subject = subjects[i];
		assert_int_equal(change_alarms_letter(world->changer, store, &row, world->arena,
						      &letter, &world->err),
				 0);
	}
	row.subject = "0-99 mail:ops@z.example";
	assert_int_equal(change_alarms_letter(world->changer, store, &row, world->arena, &letter,
					      &world->err),
			 1);
	row.created_s -= 4 * 86400;
	assert_int_equal(change_alarms_letter(world->changer, store, &row, world->arena, &letter,
					      &world->err),
			 0);
}

int main(void)
{
#define WORLD(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pace), WORLD(test_who),  WORLD(test_organizations),
		WORLD(test_mail_itself),     WORLD(test_many), WORLD(test_old_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
