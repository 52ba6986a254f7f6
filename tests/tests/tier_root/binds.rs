//! What the host has mounted, linked and swapped under what belljar is told to show. The numbers
//! are those of the attack cases.

use belljar_tests::{Project, Ran, belljar_bin};

/// Root, and the user that the tests drop to.
const CALLERS: [&str; 2] = ["", "setpriv --reuid=65534 --regid=65534 --clear-groups"];

/// Runs a script in a mount namespace of its own, with an empty file system at /mnt, once for each
/// caller. `$1` is belljar; `$AS $1` starts it as that caller, who owns the folder `/mnt/w`.
#[track_caller]
fn as_each_caller(script: &str, check: impl Fn(&Ran)) {
    for caller in CALLERS {
        let project = Project::empty_for_caller();
        let owner = if caller.is_empty() {
            "0:0"
        } else {
            "65534:65534"
        };
        let script = format!(
            "mount -t tmpfs t /mnt && chmod 755 /mnt && mkdir /mnt/w && chown {owner} /mnt/w && cd /mnt/w\n{script}"
        );
        let ran = Ran::of(
            project
                .command("unshare")
                .args(["-m", "--propagation", "private", "sh", "-c", &script, "sh"])
                .arg(belljar_bin())
                .env("AS", caller),
        );
        check(&ran);
    }
}

#[test]
fn case_19_a_writable_mount_below_a_read_only_bind_is_read_only_too() {
    let script = "mkdir -p /mnt/dir/sub && mount -t tmpfs t /mnt/dir/sub && chmod 777 /mnt/dir /mnt/dir/sub
        try='for d in /mnt/dir /mnt/dir/sub; do (: >$d/x) 2>/dev/null && echo WROTE || echo refused; done'
        $AS sh -c \"$try\"; rm /mnt/dir/x /mnt/dir/sub/x
        $AS $1 run -q --no-export --ro /mnt/dir -- sh -c \"$try\"";
    as_each_caller(script, |ran| {
        let want = "WROTE\nWROTE\nrefused\nrefused\n";
        assert_eq!(ran.exits(0).stdout, want, "{ran}");
    });
}

#[test]
fn case_20_each_kind_of_source_is_bound_as_itself_or_refused() {
    let script = "cd /mnt && mkdir dir && echo in >dir/f && echo file >file && ln -s dir link && ln -s file flink
        mkfifo fifo && mknod device c 1 3 && python3 -c \"import socket; socket.socket(1).bind('socket')\" && ln -s /mnt/nowhere broken
        cd w; $AS $1 run -q --no-export --ro /mnt/dir --ro /mnt/file --ro /mnt/link --ro /mnt/flink -- \
            sh -c 'cd /mnt; stat -c \"%n %F\" *; cat dir/f link/f file flink'
        for f in fifo device socket broken; do $AS $1 run --ro /mnt/$f -- touch ran; echo $f $?; done; [ ! -e ran ]";
    as_each_caller(script, |ran| {
        let want = "dir directory\nfile regular file\nflink regular file\nlink directory\nin\nin\nfile\nfile\n\
            fifo 2\ndevice 2\nsocket 2\nbroken 2\n";
        assert_eq!(ran.exits(0).stdout, want, "{ran}");
    });
}

#[test]
fn case_20_folders_of_fuse_are_bound_and_built_in() {
    let script = "mkdir /mnt/src /mnt/fuse && echo source >/mnt/src/f && chown -R $(stat -c %u:%g .) /mnt/src
        bindfs -o allow_other /mnt/src /mnt/fuse || exit 9
        $AS $1 run -q --no-export --ro /mnt/fuse -- sh -c 'cat /mnt/fuse/f; (: >/mnt/fuse/x) 2>/dev/null && echo WROTE; true'
        cd /mnt/fuse && $AS $1 run -q --evidence /mnt/w/e -- sh -c 'cat f f >twice'; echo $?; cat twice; cd /; umount /mnt/fuse";
    as_each_caller(script, |ran| {
        assert_eq!(ran.exits(0).stdout, "source\n0\nsource\nsource\n", "{ran}");
    });
}

/// Where a link of the host leads is decided in the new root, where the host's place is not.
#[test]
fn case_21_a_destination_below_a_link_is_not_made_on_the_host() {
    let script = "mkdir -p /mnt/shown /mnt/out/deep && echo f >/mnt/out/deep/f && ln -s /mnt/out /mnt/shown/l && chmod -R a+rwX /mnt/out
        touch -d @1 /mnt/out/deep/f /mnt/out/deep /mnt/out
        before=$(find /mnt/out /mnt/shown -printf '%p %y %T@ %C@\\n')
        $AS $1 run -q --no-export --ro /mnt/shown --ro /mnt/shown/l/deep/f -- true; echo $?
        $AS sh -c 'ln -s /mnt/out out; ln -s /proc/self/cwd cwd; mkdir .belljar; ln -s /mnt/out .belljar/memory'
        $AS $1 run -q --no-export -- sh -c 'cat out/deep/f; readlink out; cd out' 2>/dev/null; echo $?
        [ \"$before\" = \"$(find /mnt/out /mnt/shown -printf '%p %y %T@ %C@\\n')\" ] && echo untouched";
    as_each_caller(script, |ran| {
        let want = "125\n/mnt/out\n2\nuntouched\n";
        assert_eq!(ran.exits(0).stdout, want, "{ran}");
        assert!(ran.stderr.contains("/mnt/shown/l"), "{ran}");
    });
}

#[test]
fn case_27_locked_flags_of_a_source_stay() {
    let script = "mkdir /mnt/l && mount -t tmpfs -o nosuid,nodev,noexec,noatime t /mnt/l
        mount -t tmpfs t /mnt/l -o remount,nosuid,nodev,noexec,noatime; cp /bin/true /mnt/l/x; cp /bin/true /mnt/x
        $AS $1 run -q --no-export --ro /mnt/l --ro /mnt/x -- \
            sh -c '/mnt/x && echo ran; /mnt/l/x 2>/dev/null || echo $?; grep \" /mnt/l \" /proc/self/mountinfo | cut -d\" \" -f6'";
    as_each_caller(script, |ran| {
        let want = "ran\n126\nro,nosuid,nodev,noexec,noatime\n";
        assert_eq!(ran.exits(0).stdout, want, "{ran}");
    });
}

/// What covers parts of /proc is the null device that was looked at, or there is no run.
#[test]
fn case_45_a_null_device_that_is_none_is_refused() {
    let bad = [
        "touch /mnt/null",
        "mknod /mnt/null c 1 5",
        "mknod /mnt/null c 5 0",
        "ln -s /etc/passwd /mnt/null",
    ];
    for make in bad {
        let script = format!(
            "{make} && chmod 777 /mnt/null; exec 0</dev/zero; mount --bind /mnt/null /dev/null
            $AS $1 run --no-export -- touch ran; echo $?; [ ! -e ran ]"
        );
        as_each_caller(&script, |ran| {
            assert_eq!(ran.stdout, "125\n", "{make}: {ran}");
            assert!(ran.stderr.contains("/dev/null"), "{make}: {ran}");
        });
    }
}

/// Tokens that somebody put below /usr, where the build reads everything else.
#[test]
fn tokens_below_usr_are_covered() {
    let script = "mount -t tmpfs t /usr/local/etc && echo token >/usr/local/etc/npmrc && echo plain >/usr/local/etc/other
        read='cat /usr/local/etc/npmrc /usr/local/etc/other'; $AS $read; $AS $1 run -q --no-export -- $read";
    as_each_caller(script, |ran| {
        assert_eq!(ran.exits(0).stdout, "token\nplain\nplain\n", "{ran}");
    });
}
