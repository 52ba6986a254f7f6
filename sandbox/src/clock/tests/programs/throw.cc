// Throws from a signal handler through a wait that took the detour: needs its unwind records.
#include <csignal>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <unistd.h>

static void raise_it(int) { throw std::runtime_error("thrown"); }

int main()
{
	struct timespec until;
	struct sigaction action = {};
	action.sa_handler = raise_it;
	sigaction(SIGALRM, &action, nullptr);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1000;
	alarm(1);
	try {
		clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, nullptr);
	} catch (const std::exception &e) {
		std::puts(e.what());
		return 0;
	}
	return 3;
}
