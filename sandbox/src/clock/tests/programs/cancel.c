// A thread waits until a wall-clock time far away in the way that ARGV[1] names and is then
// cancelled, or looked at from a signal handler: what the C library and unwinders do with a thread that
// took the detour. Prints `cancelled CLEANED`, or the names of the functions on the stack.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <mqueue.h>
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

// glibc from 2.41 on: a thread is cancelled at once if its signal finds it between these two, or when
// its call was broken by it.
static int own_cancelled;
static mqd_t queue;
extern char own_start[], own_end[];
long own_call(long nr, long a, long b, long c, long d, long e, long f);
__asm__(".pushsection .text\n.globl own_call\n.type own_call,@function\nown_call:\n.cfi_startproc\n"
	"mov %rdi,%rax\nmov %rsi,%rdi\nmov %rdx,%rsi\nmov %rcx,%rdx\nmov %r8,%r10\nmov %r9,%r8\nmov 8(%rsp),%r9\n"
	".globl own_start\nown_start:\nsyscall\n.globl own_end\nown_end:\nret\n"
	".cfi_endproc\n.size own_call,.-own_call\n.popsection");

static void *own_waiter(void *unused)
{
	pthread_cleanup_push(clean, 0);
	unsigned word = 0;
	char text[16];
	long r;
	if (!strcmp(how, "own-nanosleep"))
		r = own_call(230, 0, 1, (long)&until, 0, 0, 0);
	else if (!strcmp(how, "own-mq"))
		r = own_call(243, queue, (long)text, sizeof text, 0, (long)&until, 0);
	else // FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME
		r = own_call(202, (long)&word, 0x109, 0, (long)&until, 0, -1);
	if (r == -EINTR && own_cancelled)
		pthread_exit(PTHREAD_CANCELED);
	pthread_cleanup_pop(0);
	return unused;
}

static void on_own_cancel(int number, siginfo_t *info, void *context)
{
	(void)number, (void)info;
	own_cancelled = 1;
	char *at = (char *)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	// As there: the call is about to be made, or waits and will be restarted.
	if (at >= own_start && at < own_end)
		pthread_exit(PTHREAD_CANCELED);
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
	if (!strcmp(how, "own-mq")) {
		struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 16};
		char name[32];
		snprintf(name, sizeof name, "/belljar-cancel-%d", getpid());
		queue = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);
		mq_unlink(name);
	}
	int own = !strncmp(how, "own-", 4);
	pthread_create(&thread, 0, own ? own_waiter : waiter, 0);
	usleep(500000);
	if (own) {
		struct sigaction action = {.sa_sigaction = on_own_cancel, .sa_flags = SA_SIGINFO | SA_RESTART};
		sigaction(SIGUSR1, &action, 0);
		pthread_kill(thread, SIGUSR1);
	} else {
		pthread_cancel(thread);
	}
	pthread_join(thread, &result);
	printf("%s %d\n", result == PTHREAD_CANCELED ? "cancelled" : "not", cleaned);
	return 0;
}
