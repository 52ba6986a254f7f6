// Starts ARGV[2...] in the way that ARGV[1] names and waits for it.
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char **program;

static void *from_thread(void *unused)
{
	execv(program[0], program);
	perror("execv");
	return unused;
}

int main(int argc, char **argv)
{
	pid_t child = -1;
	int status;
	if (argc < 3)
		return 2;
	program = argv + 2;
	if (!strcmp(argv[1], "vfork")) {
		child = vfork();
		if (child == 0) {
			execv(program[0], program);
			_exit(127);
		}
	} else if (!strcmp(argv[1], "spawn")) {
		if (posix_spawn(&child, program[0], 0, 0, program, environ))
			return 3;
	} else if (!strcmp(argv[1], "thread")) {
		pthread_t thread;
		pthread_create(&thread, 0, from_thread, 0);
		pthread_join(thread, 0);
		return 4;
	} else if (!strcmp(argv[1], "twice")) {
		// A fork that goes on without an exec, and one exec over another.
		child = fork();
		if (child == 0) {
			char *again[64] = {argv[0], "vfork"};
			int n = 2;
			for (int i = 0; program[i] && n < 63; i++)
				again[n++] = program[i];
			execv(argv[0], again);
			_exit(127);
		}
	} else {
		return 5;
	}
	if (waitpid(child, &status, 0) != child)
		return 6;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 7;
}
