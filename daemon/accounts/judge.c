/*
 * Requests held against the configuration. Enters: an account as a core wants it that may be compromised.
 * Leaves: the same with nothing in it that root did not allow. Fails with the code of the first offence.
 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_GID_MAX 999

static int judge_name(const struct settings *settings, const char *name, struct err *err)
{
	/* Not quoted: it could be anything. */
	if (!accounts_name_is_valid(name))
		return refuse(err, "name-invalid",
			      "the name is not of the form [a-z][a-z0-9_.-]*, at most %d bytes",
			      ACCOUNTS_NAME_MAX);
	if (settings_protect_name(settings, name))
		return refuse(err, "name-protected", "'%s' is reserved for the system", name);
	return 0;
}

static int judge_uid(const struct settings *settings, uint32_t uid, struct err *err)
{
	if (uid != 0 && (uid < settings->uid_min || uid > settings->uid_max))
		return refuse(err, "uid-outside-range", "uid %u is not within %lld and %lld", uid,
			      (long long)settings->uid_min, (long long)settings->uid_max);
	return 0;
}

static int fill_shell(const struct settings *settings, const char **shell, struct err *err)
{
	if (!**shell)
		*shell = settings->default_shell;
	if (!accounts_path_is_valid(*shell) || !word_list_has(&settings->allowed_shells, *shell))
		return refuse(err, "shell-not-allowed", "the shell is not in allowed_shells");
	return 0;
}

/* home_base/NAME, one level deep: what lies deeper may belong to somebody who can move it. */
static int fill_home(const struct settings *settings, struct arena *arena,
		     struct accounts_ensure *account, struct err *err)
{
	size_t base = strlen(settings->home_base);

	if (!*account->home) {
		account->home = arena_printf(arena, "%s/%s", settings->home_base, account->name);
		if (!account->home)
			return err_set(err, ERR_MEMORY, "no room for a home");
	}
	if (strncmp(account->home, settings->home_base, base) != 0 || account->home[base] != '/' ||
	    !accounts_name_is_valid(account->home + base + 1))
		return refuse(err, "home-not-allowed", "the home is not directly below '%s'",
			      settings->home_base);
	return 0;
}

static int judge_group_name(const struct settings *settings, const char *group, struct err *err)
{
	bool by_name;

	if (!accounts_name_is_valid(group))
		return refuse(err, "group-invalid",
			      "a group's name is not of the form [a-z][a-z0-9_.-]*");
	if (!settings_allow_group(settings, group, &by_name))
		return refuse(err, "group-not-allowed", "'%s' is not in allowed_groups", group);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int sort_groups(const struct settings *settings, struct arena *arena,
		       struct accounts_ensure *account, struct err *err)
{
	const char **groups = arena_alloc_array(arena, account->group_count + 1, sizeof(*groups));
	size_t count = 0;

	if (!groups)
		return err_set(err, ERR_MEMORY, "no room for groups");
	for (size_t i = 0; i < account->group_count; i++) {
		if (judge_group_name(settings, account->groups[i], err) < 0)
			return -1;
		groups[i] = account->groups[i];
	}
	qsort(groups, account->group_count, sizeof(*groups), compare_names);
	for (size_t i = 0; i < account->group_count; i++)
		if (count == 0 || strcmp(groups[count - 1], groups[i]) != 0)
			groups[count++] = groups[i];
	account->groups = groups;
	account->group_count = count;
	return 0;
}

int judge_account(const struct settings *settings, struct arena *arena,
		  struct accounts_ensure *account, struct err *err)
{
	if (judge_name(settings, account->name, err) < 0 ||
	    judge_uid(settings, account->uid, err) < 0 ||
	    fill_shell(settings, &account->shell, err) < 0 ||
	    fill_home(settings, arena, account, err) < 0)
		return -1;
	if (!accounts_text_is_valid(account->gecos, ACCOUNTS_GECOS_MAX))
		return refuse(err, "gecos-invalid",
			      "the full name has ':' or control characters, or is too long");
	if (*account->primary && judge_group_name(settings, account->primary, err) < 0)
		return -1;
	return sort_groups(settings, arena, account, err);
}

int judge_shell(const char *shell, struct err *err)
{
	struct stat status;

	if (stat(shell, &status) < 0 || !S_ISREG(status.st_mode) || !(status.st_mode & S_IXUSR))
		return refuse(err, "shell-missing", "'%s' does not exist or is no program", shell);
	return 0;
}

int judge_group(const struct settings *settings, const char *group, uint32_t gid, struct err *err)
{
	bool by_name;

	if (gid > SYSTEM_GID_MAX)
		return 0;
	settings_allow_group(settings, group, &by_name);
	if (by_name)
		return 0;
	return refuse(err, "group-not-allowed",
		      "'%s' is a group of the system (%u) and not spelled out in allowed_groups",
		      group, gid);
}

bool judge_has_membership(const struct settings *settings, const char *group, uint32_t gid)
{
	bool by_name;

	return settings_allow_group(settings, group, &by_name) && (by_name || gid > SYSTEM_GID_MAX);
}
