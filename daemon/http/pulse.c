/*
 * Do the loops of all servers turn? Enters: each turn, and the question. Leaves: the answer. Nothing fails.
 *
 * A loop runs handlers itself, those that are fast. One that does not return is all that this loop does from then on, and its
 * connections wait for ever.
 */
#include <rolebridge/http/server.h>

#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pulse pulses = { .previous = &pulses, .next = &pulses }; /* by lock */

void pulse_begin(struct pulse *pulse)
{
	pthread_mutex_lock(&lock);
	pulse->looked_at = false;
	pulse->next = &pulses;
	pulse->previous = pulses.previous;
	pulse->previous->next = pulse->next->previous = pulse;
	pthread_mutex_unlock(&lock);
}

void pulse_end(struct pulse *pulse)
{
	pthread_mutex_lock(&lock);
	pulse->previous->next = pulse->next;
	pulse->next->previous = pulse->previous;
	pthread_mutex_unlock(&lock);
}

bool http_loops_turn(void)
{
	bool all = true;

	pthread_mutex_lock(&lock);
	for (struct pulse *pulse = pulses.next; pulse != &pulses; pulse = pulse->next) {
		unsigned turns = atomic_load_explicit(&pulse->turns, memory_order_relaxed);

		all &= !pulse->looked_at || turns != pulse->seen;
		pulse->seen = turns;
		pulse->looked_at = true;
	}
	pthread_mutex_unlock(&lock);
	return all;
}
