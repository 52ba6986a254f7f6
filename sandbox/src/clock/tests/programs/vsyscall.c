// Asks for the time at the fixed addresses of the vsyscall page, or prints `none` where a kernel has it not.
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

int main(void)
{
	char line[256];
	int there = 0;
	struct timeval now;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps))
		there |= strstr(line, "[vsyscall]") != 0;
	fclose(maps);
	if (!there)
		return puts("none") < 0;
	((int (*)(struct timeval *, void *))0xffffffffff600000)(&now, 0);
	printf("%ld %ld\n", (long)now.tv_sec, (long)((time_t(*)(time_t *))0xffffffffff600400)(0));
	return 0;
}
