"""Days of UTC for tests of what is counted by day: they may not begin just before midnight."""
import datetime
import time

EPOCH = datetime.date(1970, 1, 1)
BEFORE_MIDNIGHT = datetime.time(23, 50)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def keep_off_midnight():
    """For the fixture that a module's tests begin with: all of them see one day."""
    while now().time() >= BEFORE_MIDNIGHT:
        time.sleep(1)


def date(ago):
    return now().date() - datetime.timedelta(days=ago)


def day(ago):
    return date(ago).isoformat()


def day_number(ago):
    return (date(ago) - EPOCH).days
