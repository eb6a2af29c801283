/*
 * The account databases. Enters: /etc/passwd, /etc/shadow, /etc/group, whoever wrote them. Leaves: the few
 * lines that were asked for. A line that is malformed is no line, as libc has it.
 */
#include "present.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rolebridge/base/alloc.h>
#include <rolebridge/base/file.h>
#include <rolebridge/base/strbuf.h>
#include <rolebridge/base/util.h>

#include "ledger.h"

#define DATABASE_MAX (256u << 20)
#define FIELDS_MAX 9
#define PASSWD_FIELDS 7
#define SHADOW_FIELDS 9
#define GROUP_FIELDS 4
/* libc's answer for one entry: a group of 100,000 members. */
#define ENTRY_MAX (8u << 20)

struct field {
	const char *text;
	size_t size;
};

struct search {
	struct present *present;
	size_t count;
	struct arena *arena;
};

/* --- lines --- */

static bool next_line(const char **at, struct field *ret_line)
{
	if (!**at)
		return false;
	ret_line->text = *at;
	ret_line->size = strcspn(*at, "\n");
	*at += ret_line->size + ((*at)[ret_line->size] == '\n');
	return true;
}

static size_t split(struct field line, struct field *fields, size_t max)
{
	size_t count = 0;
	const char *end = line.text + line.size;

	for (const char *at = line.text; count < max;) {
		const char *colon = memchr(at, ':', (size_t)(end - at));

		fields[count++] = (struct field){ at, (size_t)((colon ? colon : end) - at) };
		if (!colon)
			return count;
		at = colon + 1;
	}
	return max + 1;
}

static bool read_id(struct field field, uint32_t *ret_id)
{
	uint64_t value = 0;

	if (field.size == 0 || field.size > 10)
		return false;
	for (size_t i = 0; i < field.size; i++) {
		if (field.text[i] < '0' || field.text[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(field.text[i] - '0');
	}
	*ret_id = (uint32_t)value;
	return value <= UINT32_MAX;
}

static int compare(struct field field, const char *name)
{
	size_t size = strlen(name);
	int order = memcmp(field.text, name, field.size < size ? field.size : size);

	return order ? order : (field.size > size) - (field.size < size);
}

static struct present *find(const struct search *search, struct field name)
{
	size_t low = 0, high = search->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(name, search->present[middle].name);

		if (order == 0)
			return &search->present[middle];
		if (order > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static const char *copy(const struct search *search, struct field field)
{
	const char *text = arena_strndup(search->arena, field.text, field.size);

	return text ? text : "";
}

/* --- the three databases --- */

static void take_passwd(const struct search *search, struct field line)
{
	struct field fields[FIELDS_MAX];
	struct present *present;
	uint32_t uid, gid;

	if (split(line, fields, FIELDS_MAX) != PASSWD_FIELDS)
		return;
	present = find(search, fields[0]);
	/* The first one counts, as in libc. */
	if (!present || present->in_passwd || !read_id(fields[2], &uid) ||
	    !read_id(fields[3], &gid))
		return;
	present->in_passwd = true;
	present->uid = uid;
	present->gid = gid;
	present->gecos = copy(search, fields[4]);
	present->home = copy(search, fields[5]);
	present->shell = copy(search, fields[6]);
}

static void take_shadow(const struct search *search, struct field line)
{
	struct field fields[FIELDS_MAX];
	struct present *present;
	uint32_t expire;

	if (split(line, fields, FIELDS_MAX) != SHADOW_FIELDS)
		return;
	present = find(search, fields[0]);
	if (!present || present->in_shadow)
		return;
	present->in_shadow = true;
	present->locked = fields[1].size > 0 && fields[1].text[0] == '!';
	present->has_password = fields[1].size > (present->locked ? 1 : 0);
	present->expire_days = read_id(fields[7], &expire) ? (int64_t)expire : EXPIRE_NONE;
}

/* One more membership; the arrays double at powers of two. */
static void add_group(const struct search *search, struct present *present, const char *group,
		      uint32_t gid)
{
	size_t count = present->group_count;

	if (count && strcmp(present->groups[count - 1], group) == 0)
		return;
	if ((count & (count - 1)) == 0) {
		size_t room = count ? count * 2 : 1;
		const char **more = arena_alloc_array(search->arena, room, sizeof(*more));
		uint32_t *gids = arena_alloc_array(search->arena, room, sizeof(*gids));

		if (!more || !gids)
			return;
		if (count) {
			memcpy(more, present->groups, count * sizeof(*more));
			memcpy(gids, present->gids, count * sizeof(*gids));
		}
		present->groups = more;
		present->gids = gids;
	}
	present->gids[count] = gid;
	present->groups[present->group_count++] = group;
}

static void take_members(const struct search *search, struct field members, struct field group,
			 uint32_t gid)
{
	const char *end = members.text + members.size, *name = NULL;

	for (const char *at = members.text; at < end;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t size = (size_t)((comma ? comma : end) - at);
		struct present *present = find(search, (struct field){ at, size });

		if (present) {
			name = name ? name : copy(search, group);
			add_group(search, present, name, gid);
		}
		at += size + 1;
	}
}

static void take_group(const struct search *search, struct field line)
{
	struct field fields[FIELDS_MAX];
	struct present *present;
	uint32_t gid;

	if (split(line, fields, FIELDS_MAX) != GROUP_FIELDS || !read_id(fields[2], &gid))
		return;
	present = find(search, fields[0]);
	if (present && !present->own_group) {
		present->own_group = true;
		present->own_gid = gid;
	}
	take_members(search, fields[3], fields[0], gid);
}

/* Primary groups are found by number, in one more pass. */
struct primary {
	uint32_t gid;
	struct present *present;
};

static int compare_gid(const void *a, const void *b)
{
	uint32_t left = ((const struct primary *)a)->gid, right = ((const struct primary *)b)->gid;

	return (left > right) - (left < right);
}

static void name_primaries(const struct search *search, const char *group)
{
	struct primary *by_gid =
		arena_alloc_array(search->arena, search->count + 1, sizeof(*by_gid));
	struct field line, fields[FIELDS_MAX];
	uint32_t gid;

	if (!by_gid)
		return;
	for (size_t i = 0; i < search->count; i++)
		by_gid[i] = (struct primary){ search->present[i].gid, &search->present[i] };
	qsort(by_gid, search->count, sizeof(*by_gid), compare_gid);
	while (next_line(&group, &line)) {
		if (split(line, fields, FIELDS_MAX) != GROUP_FIELDS || !read_id(fields[2], &gid))
			continue;

		struct primary key = { .gid = gid };
		struct primary *found =
			bsearch(&key, by_gid, search->count, sizeof(*by_gid), compare_gid);

		while (found && found > by_gid && found[-1].gid == gid)
			found--;
		for (; found && found < by_gid + search->count && found->gid == gid; found++)
			if (found->present->in_passwd && !*found->present->primary)
				found->present->primary = copy(search, fields[0]);
	}
}

int present_parse(const char *passwd, const char *shadow, const char *group,
		  const char *const *names, size_t count, struct arena *arena,
		  struct present **ret_present, struct err *err)
{
	struct present *present = arena_alloc_array(arena, count + 1, sizeof(*present));
	struct search search = { present, count, arena };
	struct field line;
	const char *groups = group;

	for (size_t i = 0; present && i < count; i++) {
		present[i].name = names[i];
		present[i].expire_days = EXPIRE_NONE;
		present[i].gecos = present[i].home = present[i].shell = present[i].primary = "";
	}
	while (present && next_line(&passwd, &line))
		take_passwd(&search, line);
	while (present && next_line(&shadow, &line))
		take_shadow(&search, line);
	while (present && next_line(&group, &line))
		take_group(&search, line);
	if (present)
		name_primaries(&search, groups);
	if (arena_failed(arena))
		return err_set(err, ERR_MEMORY, "no room for what the account databases say");
	*ret_present = present;
	return 0;
}

/* --- the file of hashes: in one piece of memory, which is wiped --- */

struct hashes {
	char *text;
	size_t size;
};

static void hashes_auto(struct hashes *hashes)
{
	if (hashes->text)
		explicit_bzero(hashes->text, hashes->size);
	free(hashes->text);
}

/* Who changes it puts another file in its place: one that grows under the reader is no whole one. */
static int read_hashes(const char *path, struct hashes *ret_hashes, struct err *err)
{
	struct stat status;
	AUTO(fd) int fd = file_open(path, &status, err);
	size_t size, got = 0;
	ssize_t more = 1;

	if (fd < 0)
		return -1;
	size = (size_t)status.st_size;
	if (size > DATABASE_MAX)
		return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %u bytes", path,
			       DATABASE_MAX);
	ret_hashes->text = alloc_zeroed(size + 2, 1);
	if (!ret_hashes->text)
		return err_set(err, ERR_MEMORY, "no room for '%s'", path);
	ret_hashes->size = size + 2;
	while (more != 0 && got <= size) {
		more = read(fd, ret_hashes->text + got, size + 1 - got);
		if (more < 0 && errno != EINTR)
			return err_set_errno(err, ERR_IO, errno, "cannot read '%s'", path);
		got += more > 0 ? (size_t)more : 0;
	}
	if (got > size)
		return err_set(err, ERR_IO, "'%s' was changed while it was read", path);
	return 0;
}

int present_read(const char *const *names, size_t count, struct arena *arena,
		 struct present **ret_present, struct err *err)
{
	AUTO(strbuf) struct strbuf passwd = STRBUF(DATABASE_MAX);
	AUTO(hashes) struct hashes shadow = { 0 };
	AUTO(strbuf) struct strbuf group = STRBUF(DATABASE_MAX);

	if (file_read("/etc/passwd", DATABASE_MAX, &passwd, err) < 0 ||
	    read_hashes("/etc/shadow", &shadow, err) < 0 ||
	    file_read("/etc/group", DATABASE_MAX, &group, err) < 0)
		return -1;
	return present_parse(strbuf_text(&passwd), shadow.text, strbuf_text(&group), names, count,
			     arena, ret_present, err);
}

/* --- the name service --- */

struct question {
	const char *name; /* NULL: by number */
	uint32_t id;
	uint32_t found_id;
};

typedef int question_fn(struct question *question, char *buffer, size_t size, bool *ret_there);

/* libc says ERANGE until the buffer is large enough, and "not there" in several ways. */
static int ask(question_fn *fn, struct question *question, struct err *err)
{
	for (size_t size = 16 * 1024; size <= ENTRY_MAX; size *= 4) {
		char *buffer = alloc_zeroed(1, size);
		bool there = false;
		int problem = buffer ? fn(question, buffer, size, &there) : ENOMEM;

		free(buffer);
		if (problem == ERANGE)
			continue;
		if (problem && problem != ENOENT && problem != ESRCH && problem != ENOTDIR)
			return err_set_errno(err, ERR_IO, problem, "cannot ask the name service");
		return there;
	}
	return err_set(err, ERR_TOO_LARGE, "the name service's answer is too large");
}

static int ask_user(struct question *question, char *buffer, size_t size, bool *ret_there)
{
	struct passwd entry, *found = NULL;
	int problem = question->name ? getpwnam_r(question->name, &entry, buffer, size, &found)
				     : getpwuid_r(question->id, &entry, buffer, size, &found);

	*ret_there = found;
	return problem;
}

static int ask_group(struct question *question, char *buffer, size_t size, bool *ret_there)
{
	struct group entry, *found = NULL;
	int problem = question->name ? getgrnam_r(question->name, &entry, buffer, size, &found)
				     : getgrgid_r(question->id, &entry, buffer, size, &found);

	*ret_there = found;
	if (found)
		question->found_id = entry.gr_gid;
	return problem;
}

int name_service_has_user(const char *name, struct err *err)
{
	return ask(ask_user, &(struct question){ .name = name }, err);
}

int name_service_has_uid(uint32_t uid, struct err *err)
{
	return ask(ask_user, &(struct question){ .id = uid }, err);
}

int name_service_has_group(const char *name, uint32_t *ret_gid, struct err *err)
{
	struct question question = { .name = name };
	int there = ask(ask_group, &question, err);

	if (there > 0 && ret_gid)
		*ret_gid = question.found_id;
	return there;
}

int name_service_has_gid(uint32_t gid, struct err *err)
{
	return ask(ask_group, &(struct question){ .id = gid }, err);
}

/* --- subordinate ids --- */

uint32_t subordinate_skip(const char *subuid, uint32_t from, uint32_t to)
{
	struct field line, fields[FIELDS_MAX];
	const char *all = subuid;
	uint32_t first, count;

	/* Ranges come in any order: begin again behind each that covers the number. */
	while (next_line(&subuid, &line)) {
		if (split(line, fields, FIELDS_MAX) != 3 || !read_id(fields[1], &first) ||
		    !read_id(fields[2], &count) || count == 0)
			continue;
		if (from < first || from - first >= count)
			continue;
		if (count - (from - first) > to - from)
			return 0;
		from += count - (from - first);
		subuid = all;
	}
	return from;
}
