// `COUNT` children one after the other, `AT_ONCE` at a time, each of which execs this program again
// and reads the clock raw and by the vDSO; then threads that each wait until a moment from now. Prints the
// number of both and of wrong readings.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long from;
static int wrong;

static int is_right(void)
{
	struct timespec raw, read;
	syscall(SYS_clock_gettime, CLOCK_REALTIME, &raw, 0, 0, 0, 0);
	clock_gettime(CLOCK_REALTIME, &read);
	return raw.tv_sec >= from && read.tv_sec >= raw.tv_sec && read.tv_sec < from + 600;
}

static void *in_thread(void *unused)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 2000000;
	if (until.tv_nsec >= 1000000000)
		until.tv_nsec -= 1000000000, until.tv_sec++;
	while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, 0) == EINTR)
		;
	if (!is_right())
		__atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
	return unused;
}

int main(int argc, char **argv)
{
	char number[24];
	if (argc == 2) {
		from = atol(argv[1]);
		return !is_right();
	}
	int count = atoi(argv[1]), threads = atoi(argv[2]), at_once = atoi(argv[3]), running = 0, status;
	from = time(0);
	snprintf(number, sizeof number, "%ld", from);
	for (int i = 0; i < count; i++) {
		if (running == at_once) {
			wait(&status);
			running--;
			wrong += status != 0;
		}
		pid_t child = vfork();
		if (child == 0) {
			execl(argv[0], argv[0], number, (char *)0);
			_exit(127);
		}
		running += child > 0;
		wrong += child < 0;
	}
	while (wait(&status) > 0)
		wrong += status != 0;
	for (int i = 0; i < threads; i += at_once * 4) {
		pthread_t all[64];
		int n = 0;
		for (; n < at_once * 4 && n < 64; n++)
			if (pthread_create(&all[n], 0, in_thread, 0))
				wrong++;
		while (n--)
			pthread_join(all[n], 0);
	}
	printf("%d %d %d\n", count, threads, wrong);
	return 0;
}
