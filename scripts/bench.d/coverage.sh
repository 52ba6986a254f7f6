# Who sees the moved clock: prints `NAME VALUE` lines. Runs under each tool in a folder that holds `input`,
# of long ago, and whichever of the programs could be compiled. Part of scripts/bench.
try() { timeout -k 1 20 "$@" 2>/dev/null; }
has() { command -v "$1" >/dev/null 2>&1; }
echo "date $(date +%s)"
has bash && echo "bash $(try bash -c 'echo $EPOCHSECONDS')"
has python3 && echo "python $(try python3 -c 'import time; print(int(time.time()))')"
has perl && echo "perl $(try perl -e 'print time')"
has node && echo "node $(try node -e 'console.log(Math.floor(Date.now() / 1000))')"
has java && [ -f Now.class ] && echo "java $(try java -cp . Now)"
has strace && echo "strace $(try strace -f -o strace.log date +%s)"
for kind in dynamic static musl; do
  echo fresh >fresh-$kind
  [ ! -x readers-$kind ] || try ./readers-$kind $kind fresh-$kind
done
echo fresh >fresh
[ ! -x readers-go ] || try ./readers-go fresh
echo "stat $(stat -c %Y fresh)"
echo "ctime $(stat -c %Z fresh)"
echo "input $(stat -c %Y input)"
echo "mmin $(find fresh -mmin -5 | wc -l)"
echo "reference $(touch -r fresh copied; [ ! copied -nt fresh ] && [ ! copied -ot fresh ] && echo 1 || echo 0)"
has tar && echo "tar $(tar cf t.tar fresh && tar tvf t.tar --full-time | sed 's/.* \(....-..-.. ..:..:..\).*/\1/' | TZ=UTC date -f - +%s)"
has gzip && echo "gzip $(gzip -c fresh | od -An -tu4 -j4 -N4)"
if has python3; then
  echo "zip $(try python3 -c 'import zipfile,calendar; z=zipfile.ZipFile("z.zip","w"); z.write("fresh"); print(calendar.timegm(z.getinfo("fresh").date_time))')"
  echo 'x = 1' >module.py
  echo "pyc $(try python3 -c 'import py_compile,struct; p=py_compile.compile("module.py"); print(struct.unpack("<I", open(p,"rb").read()[8:12])[0])')"
fi
if has cc; then
  printf '#include <stdio.h>\nint main(void) { puts(__DATE__ " " __TIME__); return 0; }\n' >d.c
  echo "macro $(cc -o d d.c && ./d | TZ=UTC date -f - +%s)"
fi
if has make; then
  printf 'out: fresh\n\tcp fresh out\n' >Makefile
  make -s out 2>make.log; echo "make $(make -q out 2>>make.log && ! grep -q future make.log && echo 1 || echo 0)"
fi
