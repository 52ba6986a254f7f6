"""Runs a command in sandlock, with its clock started SECONDS ahead: sandlock_run.py SECONDS FOLDER COMMAND..."""
import datetime
import sys

from sandlock import Sandbox

ahead, folder, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
start = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=ahead) if ahead else None
box = Sandbox(fs_readable=["/"], fs_writable=[folder, "/tmp", "/dev"], cwd=folder, time_start=start)
result = box.run(command)
for stream, text in ((sys.stdout, result.stdout), (sys.stderr, result.stderr)):
    if text:
        stream.write(text if isinstance(text, str) else text.decode("utf-8", "replace"))
sys.exit(0 if result.success else (getattr(result, "exit_code", None) or 1))
