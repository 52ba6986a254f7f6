// Two threads read the clock raw, by the vDSO, and sleep until a moment from now, while a third
// sends them signals at moments from a generator with a fixed seed. Every reading must lie behind the one
// before; every sleep must end, neither before its time nor much later.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int over;
static int rounds;

static void on_signal(int unused) { (void)unused; struct timespec t; clock_gettime(CLOCK_REALTIME, &t); }

static long long read_clock(int raw)
{
	struct timespec t;
	if (raw)
		syscall(SYS_clock_gettime, CLOCK_REALTIME, &t, 0, 0, 0, 0);
	else
		clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *reader(void *which)
{
	long long before = read_clock(0), after;
	for (int i = 0; i < rounds; i++) {
		after = read_clock(i & 1);
		if (after < before || after - before > 30000000000LL) {
			printf("%lld after %lld\n", after, before);
			exit(1);
		}
		before = after;
		if (i % 20 == 0) {
			long long until = before + 200000;
			struct timespec t = {until / 1000000000, until % 1000000000};
			int r;
			while ((r = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, 0)) == EINTR)
				;
			if (r || read_clock(0) < until) {
				printf("slept badly: %d\n", r);
				exit(1);
			}
		}
	}
	return which;
}

int main(int argc, char **argv)
{
	pthread_t threads[2];
	unsigned seed = 20;
	rounds = atoi(argv[1]);
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGUSR1, &action, 0);
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR2, &action, 0);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], 0, reader, 0);
	for (int i = 0; i < rounds && !over; i++) {
		seed = seed * 1103515245 + 12345;
		struct timespec t = {0, seed / 65536 % 200000};
		nanosleep(&t, 0);
		if (pthread_kill(threads[seed >> 16 & 1], seed & 0x80000 ? SIGUSR1 : SIGUSR2))
			break;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], 0);
	printf("%ld\n", (long)time(0));
	return argc - 2;
}
