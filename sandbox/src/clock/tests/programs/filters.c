// Lays a seccomp filter of its own (ARGV[1]: `plain`; `errno`, which lets clock_gettime fail; `listener`,
// with a listener) and goes on with ARGV[2...]. Says why where it can't.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	int verdict = strcmp(argv[1], "errno") ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | ENOTTY;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, verdict),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {4, code};
	int flags = strcmp(argv[1], "listener") ? 0 : SECCOMP_FILTER_FLAG_NEW_LISTENER;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter) < 0) {
		printf("%s\n", strerrorname_np(errno));
		return 1;
	}
	execv(argv[2], argv + 2);
	return 3;
}
