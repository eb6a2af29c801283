/*
 * A VFS between SQLite and the disk that fails the nth write or sync, and an
 * allocator that fails the nth allocation of SQLite.
 */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

static struct fault armed;
static long countdown = -1;
static bool met;

static int fault_met(enum fault_kind kind)
{
	if (countdown < 0 || armed.kind != kind)
		return SQLITE_OK;
	if (countdown > 0) {
		countdown--;
		return SQLITE_OK;
	}
	met = true;
	if (!armed.lasts)
		countdown = -1;
	return armed.rc;
}

void fault_arm(const struct fault *fault, long after)
{
	armed = *fault;
	countdown = after;
	met = false;
}

bool fault_disarm(void)
{
	countdown = -1;
	return met;
}

/* --- files: ours first, the real one right behind it --- */

struct shim {
	sqlite3_file base;
	sqlite3_file *real;
};

static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
	return ((struct shim *)file)->real;
}

#define PASS(file, method, ...) real_of(file)->pMethods->method(real_of(file), ##__VA_ARGS__)

static int shim_close(sqlite3_file *file)
{
	return PASS(file, xClose);
}

static int shim_read(sqlite3_file *file, void *data, int size, sqlite3_int64 at)
{
	return PASS(file, xRead, data, size, at);
}

static int shim_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
	int rc = fault_met(FAULT_WRITE);

	/* A write that fails may have written a part. */
	if (rc != SQLITE_OK) {
		PASS(file, xWrite, data, size / 2, at);
		return rc;
	}
	return PASS(file, xWrite, data, size, at);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	return PASS(file, xTruncate, size);
}

static int shim_sync(sqlite3_file *file, int flags)
{
	int rc = fault_met(FAULT_SYNC);

	return rc != SQLITE_OK ? rc : PASS(file, xSync, flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
	return PASS(file, xFileSize, size);
}

static int shim_lock(sqlite3_file *file, int level)
{
	return PASS(file, xLock, level);
}

static int shim_unlock(sqlite3_file *file, int level)
{
	return PASS(file, xUnlock, level);
}

static int shim_check(sqlite3_file *file, int *result)
{
	return PASS(file, xCheckReservedLock, result);
}

static int shim_control(sqlite3_file *file, int operation, void *argument)
{
	return PASS(file, xFileControl, operation, argument);
}

static int shim_sector(sqlite3_file *file)
{
	return PASS(file, xSectorSize);
}

static int shim_device(sqlite3_file *file)
{
	return PASS(file, xDeviceCharacteristics);
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return PASS(file, xShmMap, page, size, extend, ret);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
	return PASS(file, xShmLock, offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
	PASS(file, xShmBarrier);
}

static int shim_shm_unmap(sqlite3_file *file, int delete_it)
{
	return PASS(file, xShmUnmap, delete_it);
}

static const sqlite3_io_methods shim_methods = {
	.iVersion = 2,
	.xClose = shim_close,
	.xRead = shim_read,
	.xWrite = shim_write,
	.xTruncate = shim_truncate,
	.xSync = shim_sync,
	.xFileSize = shim_size,
	.xLock = shim_lock,
	.xUnlock = shim_unlock,
	.xCheckReservedLock = shim_check,
	.xFileControl = shim_control,
	.xSectorSize = shim_sector,
	.xDeviceCharacteristics = shim_device,
	.xShmMap = shim_shm_map,
	.xShmLock = shim_shm_lock,
	.xShmBarrier = shim_shm_barrier,
	.xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
		     int *ret_flags)
{
	struct shim *shim = (struct shim *)file;
	int rc;

	(void)vfs;
	shim->real = (sqlite3_file *)(shim + 1);
	memset(shim->real, 0, (size_t)real_vfs->szOsFile);
	rc = real_vfs->xOpen(real_vfs, name, shim->real, flags, ret_flags);
	shim->base.pMethods = shim->real->pMethods ? &shim_methods : NULL;
	return rc;
}

/* --- memory --- */

static sqlite3_mem_methods real_memory;
static long memory_countdown = -1;
static bool memory_met;

static bool memory_fails(void)
{
	if (memory_countdown < 0)
		return false;
	if (memory_countdown-- > 0)
		return false;
	memory_met = true;
	return true;
}

static void *shim_malloc(int size)
{
	return memory_fails() ? NULL : real_memory.xMalloc(size);
}

static void *shim_realloc(void *memory, int size)
{
	return memory_fails() ? NULL : real_memory.xRealloc(memory, size);
}

void memory_fault_arm(long after)
{
	memory_countdown = after;
	memory_met = false;
}

bool memory_fault_disarm(void)
{
	memory_countdown = -1;
	return memory_met;
}

void faults_install(void)
{
	static sqlite3_vfs vfs;
	sqlite3_mem_methods memory;

	if (real_vfs)
		return;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
	memory = real_memory;
	memory.xMalloc = shim_malloc;
	memory.xRealloc = shim_realloc;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory), SQLITE_OK);
	real_vfs = sqlite3_vfs_find(NULL);
	assert_non_null(real_vfs);
	vfs = *real_vfs;
	vfs.pNext = NULL;
	vfs.zName = "faulty";
	vfs.szOsFile += (int)sizeof(struct shim);
	vfs.xOpen = shim_open;
	assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}
