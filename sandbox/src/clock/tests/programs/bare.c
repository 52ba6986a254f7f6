// Reads the clock without any C library: finds the vDSO by its own auxiliary vector and the function
// by the vDSO's own symbol table. With `WAITS` defined it makes the call that C libraries start with
// first; without, nobody can see it come. Prints the seconds.
// Build with -nostdlib -static -fno-stack-protector.
#include <elf.h>
#include <linux/time.h>

static long call(long nr, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static int same(const char *a, const char *b)
{
	for (; *a && *a == *b; a++, b++)
		;
	return *a == *b;
}

static void *find(const char *base, const char *name)
{
	const Elf64_Ehdr *head = (const void *)base;
	const Elf64_Phdr *part = (const void *)(base + head->e_phoff);
	const Elf64_Dyn *dynamic = 0;
	const Elf64_Sym *symbols = 0;
	const char *strings = 0;
	for (int i = 0; i < head->e_phnum; i++)
		if (part[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(base + part[i].p_offset);
	for (; dynamic && dynamic->d_tag; dynamic++) {
		if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const void *)(base + dynamic->d_un.d_ptr);
		if (dynamic->d_tag == DT_STRTAB)
			strings = base + dynamic->d_un.d_ptr;
	}
	// The string table follows the symbols.
	for (const Elf64_Sym *s = symbols; (const char *)s < strings; s++)
		if (s->st_value && same(strings + s->st_name, name))
			return (void *)(base + s->st_value);
	return 0;
}

__attribute__((used)) static void go(long *stack)
{
	long *at = stack + 1 + stack[0] + 1;
	const char *vdso = 0;
	struct __kernel_timespec now = {0, 0};
	char text[24], *end = text + sizeof text, *start = end;
#ifdef WAITS
	call(12, 0, 0, 0); // brk
#endif
	while (*at++)
		;
	for (; at[0]; at += 2)
		if (at[0] == AT_SYSINFO_EHDR)
			vdso = (const char *)at[1];
	int (*read)(int, struct __kernel_timespec *) = vdso ? find(vdso, "__vdso_clock_gettime") : 0;
	if (read)
		read(0, &now);
	else
		call(228, 0, (long)&now, 0);
	*--start = '\n';
	for (long n = now.tv_sec; n; n /= 10)
		*--start = '0' + n % 10;
	call(1, 1, (long)start, end - start);
	call(231, 0, 0, 0);
}

__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call go\n");
