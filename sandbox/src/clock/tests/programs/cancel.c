// A thread waits until a wall-clock time far away in the way that ARGV[1] names and is then
// cancelled, or looked at from a signal handler: what the C library and unwinders do with a thread that
// took the detour. Prints `cancelled CLEANED`, or the names of the functions on the stack.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *how;
static int cleaned;
static struct timespec until;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void clean(void *unused)
{
	(void)unused;
	cleaned++;
}

static void clean_and_unlock(void *unused)
{
	// Cancelled in pthread_cond_timedwait, the thread holds the mutex again.
	cleaned += pthread_mutex_trylock(&mutex) != 0;
	pthread_mutex_unlock(&mutex);
	clean(unused);
}

__attribute__((noinline)) void wait_far_away(void)
{
	sem_t sem;
	if (!strcmp(how, "cond")) {
		pthread_mutex_lock(&mutex);
		pthread_cleanup_push(clean_and_unlock, 0);
		pthread_cond_timedwait(&cond, &mutex, &until);
		pthread_cleanup_pop(0);
	} else if (!strcmp(how, "sem")) {
		sem_init(&sem, 0, 0);
		sem_timedwait(&sem, &until);
	} else {
		clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, 0);
	}
	__asm__ volatile("");
}

static void *waiter(void *unused)
{
	pthread_cleanup_push(clean, 0);
	wait_far_away();
	pthread_cleanup_pop(0);
	return unused;
}

void look(int unused)
{
	void *frames[64];
	Dl_info info;
	(void)unused;
	int n = backtrace(frames, 64);
	for (int i = 0; i < n; i++)
		if (dladdr(frames[i], &info) && info.dli_sname)
			printf("%s\n", info.dli_sname);
	fflush(stdout);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	void *result;
	if (argc < 3)
		return 2;
	how = argv[1];
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1000;
	if (!strcmp(argv[2], "look")) {
		void *warm[2];
		backtrace(warm, 2);
		signal(SIGALRM, look);
		alarm(1);
		wait_far_away();
		return 3;
	}
	pthread_create(&thread, 0, waiter, 0);
	usleep(500000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("%s %d\n", result == PTHREAD_CANCELED ? "cancelled" : "not", cleaned);
	return 0;
}
