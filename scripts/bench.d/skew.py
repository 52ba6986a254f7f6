"""The moved clock side by side: what it costs a build, and who sees it, under each tool.

Wall time is of the one build under the moved clock, by a clock that nobody moves; CPU time of all that the tool
and its builds used. belljar and reprotest make two builds: of belljar's, what run A's build used is taken off, and
the rest is counted to run B; of reprotest's, half of the whole is.
"""

import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
DAY = 86400
AHEAD = 398 * DAY
SANDLOCK = "sandlock==0.9.0"
# Times a build by a clock that nobody moves, and says so on stdout.
TIMED = 'read from _ </proc/uptime; sh -c "$0"; code=$?; read to _ </proc/uptime; echo "BENCH $from $to"; exit $code'
BUILDS = {
    "lua5.4": ("lua5.4", "make linux"),
    "xxhash": ("xxhash", "make -j2"),
    "hello": ("hello", "./configure && make"),
    "cargo": ("cargo", "cargo build --offline"),
    "npm": ("npm", "npm run build"),
}
QUICK = ["lua5.4", "xxhash"]


def took(text):
    """The seconds of each build that said so."""
    return [float(to) - float(start) for start, to in re.findall(r"^BENCH ([\d.]+) ([\d.]+)$", text, re.M)]


def cpu():
    """The CPU seconds of everything that was started and has ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def last_line(text):
    """What a tool said last."""
    return text.strip().split("\n")[-1][:200]


class Tool:
    """One way to run a command under a moved clock."""

    def __init__(self, name, builds, command, version):
        self.name, self.builds, self.command, self.version = name, builds, command, version

    def run(self, tree, script, env, limit):
        """What it printed, and the CPU time of the whole; what takes longer than `limit` is ended."""
        start = cpu()
        child = subprocess.Popen(self.command(tree, script), cwd=tree, env=env, stdin=subprocess.DEVNULL, text=True,
                                 errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            out, err = child.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            out, err = child.communicate()
            err += f"\nended after {limit:.0f} s: it hangs"
        done = subprocess.CompletedProcess(child.args, child.returncode, out, err)
        whole = (cpu() - start) / self.builds
        result = tree / "artifacts/result.json"
        if result.exists():
            used = json.loads(result.read_text())["runs"][0]["when"]["usage"]
            whole -= (used["user_ms"] + used["system_ms"]) / 1000
        log = tree / "artifacts/logs/b.log"
        said = log.read_text(errors="replace") if log.exists() else done.stdout
        return said, whole, done


def first_line(command):
    """The version of a tool, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout + done.stderr).strip().split("\n")[0]


def fetch_sandlock(cache, missing):
    """Its package, by pip, into a folder of its own."""
    folder = cache / "sandlock"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, SANDLOCK]
        if subprocess.run(pip, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            missing.append(f"sandlock: `pip install {SANDLOCK}` did not work")
            return None
    return folder


def tools(belljar, peers, rust, missing):
    """Those that are here; belljar last, so that its log is read after its run."""
    found = [Tool("bare", 1, lambda tree, script: ["sh", "-c", script], "")]
    if shutil.which("faketime"):
        found.append(Tool("faketime", 1, lambda tree, script: ["faketime", "-f", f"+{AHEAD}", "sh", "-c", script],
                          first_line(["faketime", "--version"])))
    else:
        missing.append("faketime: not installed (apt-get install faketime)")
    if shutil.which("reprotest"):
        cpus = f"--min-cpus={os.cpu_count()}"
        found.append(Tool("reprotest", 2, lambda tree, script: [
            "reprotest", "--vary=-all,+time", cpus, "--no-diffoscope", "-c",
            f"{script}; code=$?; echo >made-by-the-build; exit $code", ".", "made-by-the-build"],
            first_line(["dpkg-query", "-W", "reprotest"]).replace("\t", " ")))
    else:
        missing.append("reprotest: not installed (apt-get install --no-install-recommends reprotest)")
    if peers:
        for name, ahead in (("sandlock, clock unmoved", 0), ("sandlock", AHEAD)):
            found.append(Tool(name, 1, lambda tree, script, ahead=ahead: [
                "env", f"PYTHONPATH={peers}", "python3", str(HERE / "sandlock_run.py"), str(ahead), str(tree),
                "sh", "-c", script], SANDLOCK.replace("==", " ")))
    found.append(Tool("belljar", 1, lambda tree, script: [
        str(belljar), "verify", "-q", *(["--ro", str(rust)] if rust else []), "--", "sh", "-c", script], first_line([str(belljar), "--version"])))
    return found


def fresh(work, name):
    """A copy of the source with one file of today: reprotest fakes no clock for sources that are older than its skew."""
    tree = work / "skew.tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(work / f"{name}.source", tree, symlinks=True)
    (tree / "fetched-today").write_text("\n")
    return tree


def costs(rounds, work, found, names, rust, env, missing):
    """The table of costs: each build under each tool, in an order that moves on by one each round."""
    rows = []
    for name in names:
        print(f"(builds {name})", file=sys.stderr)
        corpus, command = BUILDS[name]
        shown = command
        if corpus == "cargo" and rust:  # a PATH of belljar's own holds only toolchains that it knows
            command = f"PATH={rust}/bin:$PATH {command}"
        script = f"set -- ; sh -c '{TIMED}' '{command}'"
        times = {tool.name: [] for tool in found}
        wholes = {tool.name: [] for tool in found}
        broken = set()
        limit = 900
        for i in range(rounds + 1):
            for j in range(len(found)):
                tool = found[(i + j) % len(found)]
                if tool.name in broken:
                    continue
                said, whole, done = tool.run(fresh(work, corpus), script, env, limit)
                inner = took(said)
                # reprotest and belljar end with a code of their own where outputs differ
                if not inner or (tool.name not in ("reprotest", "belljar") and done.returncode != 0):
                    broken.add(tool.name)
                    missing.append(f"{name} under {tool.name}: exit {done.returncode}: {last_line(done.stderr)}")
                elif i == 0:  # the first round warms, and says when another tool hangs
                    limit = 60 + 4 * inner[-1] if tool.name == "bare" else limit
                else:
                    times[tool.name].append(inner[-1])
                    wholes[tool.name].append(whole)
        bare = times["bare"]
        for tool in found:
            mine = times[tool.name]
            if mine and bare:
                rows.append({
                    "build": f"{name}: `{shown}`", "under": tool.name, "n": len(mine),
                    "median_s": round(statistics.median(mine), 2),
                    "ratio_of_medians": round(statistics.median(mine) / statistics.median(bare), 3),
                    "ratio_of_minima": round(min(mine) / min(bare), 3),
                    "cpu_ratio_of_medians": round(statistics.median(wholes[tool.name]) / statistics.median(wholes["bare"]), 3),
                    "cpu_ratio_of_minima": round(min(wholes[tool.name]) / min(wholes["bare"]), 3),
                })
    print("| build | under | n | median, s | ratio of medians | of minima | CPU, ratio of medians | of minima |")
    print("|---|---|---|---|---|---|---|---|")
    for r in rows:
        print(f"| {r['build']} | {r['under']} | {r['n']} | {r['median_s']:.2f} | {r['ratio_of_medians']:.2f} "
              f"| {r['ratio_of_minima']:.2f} | {r['cpu_ratio_of_medians']:.2f} | {r['cpu_ratio_of_minima']:.2f} |")
    print()
    return rows


# name in the scripts' output, what it is, what is to be seen
READERS = [
    ("date", "coreutils `date`", "clock"),
    ("bash", "bash `$EPOCHSECONDS`", "clock"),
    ("python", "Python `time.time()`", "clock"),
    ("perl", "Perl `time`", "clock"),
    ("node", "node `Date.now()`", "clock"),
    ("java", "Java `currentTimeMillis`", "clock"),
    ("go-now", "Go `time.Now()`, static", "clock"),
    ("strace", "`date` under `strace -f`", "clock"),
    ("macro", "gcc `__DATE__`", "clock"),
    *[(f"{kind}-{call}", f"{words}: {shown}", "clock")
      for kind, words in (("dynamic", "C, glibc"), ("static", "C, glibc, static"), ("musl", "C, musl, static"))
      for call, shown in (("clock_gettime", "`clock_gettime`"), ("tai", "`CLOCK_TAI`"), ("gettimeofday", "`gettimeofday`"),
                          ("time", "`time()`"), ("raw", "the raw system call"))],
    *[(f"{kind}-wait", f"{words}: a wait until the clock's next second takes a second", "wait")
      for kind, words in (("dynamic", "C, glibc"), ("static", "C, glibc, static"))],
    ("stat", "a new file's mtime: `stat`", "clock"),
    ("ctime", "its ctime: `stat`", "clock"),
    ("dynamic-btime", "its birth time: `statx`", "clock"),
    ("static-stat", "its mtime: C, static", "clock"),
    ("musl-stat", "its mtime: C, musl, static", "clock"),
    ("go-stat", "its mtime: Go, static", "clock"),
    ("tar", "its mtime in a tar archive", "clock"),
    ("zip", "in a zip archive", "clock"),
    ("gzip", "in a gzip header", "clock"),
    ("pyc", "in a .pyc", "clock"),
    ("mmin", "`find -mmin -5` finds it", "true"),
    ("make", "make: up to date, and no file of the future", "true"),
    ("reference", "`touch -r`: the same time, to the nanosecond", "true"),
    *[(f"{kind}-roundtrip", f"{words}: a time set to last month is read back", "true")
      for kind, words in (("dynamic", "C, glibc"), ("static", "C, glibc, static"))],
    ("input", "an input of 2001 keeps its time", "input"),
]
INPUT = 981173106


def answer(value, sort):
    """Whether one reader saw what it should."""
    if value is None:
        return "-"
    if sort == "true":
        return "yes" if value == 1 else "no"
    if sort == "wait":
        return "yes" if 900 <= value <= 3000 else "no"
    if sort == "input":
        return "yes" if value == INPUT else "no"
    return "yes" if abs(value - time.time()) > DAY else "no"


def coverage(work, found, env, missing):
    """The table of coverage: who sees the moved clock under each tool."""
    source = work / "coverage.source"
    source.mkdir()
    shutil.copy(HERE / "coverage.sh", source)
    compile_ = [
        ["cc", "-O1", "-pthread", "-o", "readers-dynamic", HERE / "readers.c"],
        ["cc", "-O1", "-pthread", "-static", "-o", "readers-static", HERE / "readers.c"],
        ["musl-gcc", "-O1", "-pthread", "-static", "-o", "readers-musl", HERE / "readers.c"],
        ["env", "CGO_ENABLED=0", f"GOCACHE={work}/gocache", "go", "build", "-o", "readers-go", HERE / "readers.go"],
        ["javac", "-d", ".", HERE / "Now.java"],
    ]
    for command in compile_:
        try:
            subprocess.run(command, cwd=source, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except OSError:
            pass
    (source / "input").write_text("\n")
    seen = {}
    for tool in found:
        if "unmoved" in tool.name:
            continue
        tree = fresh(work, "coverage")
        os.utime(tree / "input", (INPUT, INPUT))
        said, _, done = tool.run(tree, "sh coverage.sh", env, 300)
        values = {}
        for line in said.splitlines():
            words = line.split()
            # of the two runs of reprotest the second is the varied one
            if len(words) == 2 and words[1].lstrip("-").isdigit():
                values[words[0]] = int(words[1])
        if not values:
            missing.append(f"coverage under {tool.name}: exit {done.returncode}: {last_line(done.stderr)}")
        seen[tool.name] = values
    rows = []
    columns = [tool for tool in found if tool.name in seen and tool.name != "bare"]
    print("| who | " + " | ".join(t.name for t in columns) + " |\n|---|" + "---|" * len(columns))
    for name, what, sort in READERS:
        if name not in seen["bare"]:
            continue
        answers = {t.name: answer(seen[t.name].get(name), sort) for t in columns}
        rows.append({"who": what, **answers})
        print(f"| {what} | " + " | ".join(answers.values()) + " |")
    count = {t.name: sum(r[t.name] == "yes" for r in rows) for t in columns}
    print(f"| of {len(rows)} | " + " | ".join(str(n) for n in count.values()) + " |\n")
    print("`-`: it said nothing (failed, hung, or was not allowed)\n")
    return rows


def toolchain(work):
    """The Rust toolchain, where whoever runs the builds may read it: its own files, linked where that can be."""
    done = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True)
    if done.returncode != 0:
        return None
    sysroot, to = Path(done.stdout.strip()), work / "toolchain"
    to.mkdir()
    for part in ("bin", "lib"):
        for how in ("-al", "-a"):
            if subprocess.run(["cp", how, sysroot / part, to / part], stderr=subprocess.DEVNULL).returncode == 0:
                break
            shutil.rmtree(to / part, ignore_errors=True)
    return to


def prepare(work, names, cache, missing):
    """What needs the caller's rights and the network: sources, peers, the toolchain."""
    corpora = sorted({BUILDS[name][0] for name in names})
    if corpora:
        listed = subprocess.run([TOP / "scripts/corpus", *corpora], check=True, capture_output=True, text=True)
        for name, folder in (line.split(" ", 1) for line in listed.stdout.splitlines()):
            shutil.copytree(folder, work / f"{name}.source", symlinks=True)
    peers = fetch_sandlock(cache, missing)
    if peers:
        peers = shutil.copytree(peers, work / "sandlock")
    return peers, toolchain(work) if "cargo" in names else None


def measure(options, work, belljar, peers, rust, env, missing):
    """Both tables."""
    names = list(BUILDS) if "all" in options.build else options.build or QUICK
    found = [t for t in tools(belljar, peers, rust, missing) if t.name == "bare" or not options.under or t.name in options.under]
    for tool in found:
        if tool.version:
            print(f"- {tool.name}: {tool.version}")
    print()
    rows = {"cost": costs(options.rounds, work, found, names, rust, env, missing)} if options.rounds else {}
    rows["coverage"] = coverage(work, found, env, missing)
    return rows
