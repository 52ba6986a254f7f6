//! What a build leaves in its tree, and what of the caller's lies in it. The numbers are those of the
//! attack cases.

use std::os::unix::{fs::PermissionsExt, net::UnixListener};

use belljar_tests::{Project, Ran};

use crate::{inside, outside};

#[test]
fn case_33_the_git_folder_of_the_host_is_not_written_replaced_or_made() {
    for there in [true, false] {
        let project = Project::empty();
        let picture = "find . -mindepth 1 -path ./artifacts -prune -o -printf '%p %y %m %l %T@\\n' | sort | md5sum; ls -d .git 2>/dev/null; true";
        if there {
            outside(&project, "git init -q .; echo x >f");
        }
        let before = outside(&project, picture);
        let attack = "mkdir -p .git/hooks && echo evil >.git/hooks/post-checkout && chmod 755 .git/hooks/post-checkout && \
            echo '[core] fsmonitor = evil' >>.git/config; mv .git old; ln -s old .git; rm .git; rm -r old; \
            mkdir .git; ln f .git/linked 2>/dev/null; echo evil >.git/config; ls .git";
        let ran = project.belljar(["run", "--allow-empty", "--", "sh", "-c", attack]);
        assert!(ran.exits(0).stdout.contains("config"), "{ran}");
        assert_eq!(outside(&project, picture), before, "{there}: {ran}");
    }
}

#[test]
fn a_git_folder_that_is_a_link_is_shown_where_the_link_leads() {
    let project = Project::empty();
    let git = "git -c user.name=a -c user.email=a@b.example commit -qm x --allow-empty";
    outside(&project, &format!("git init -q . && {git}"));
    let read = "git log --format=%s; (: >.git/x) 2>/dev/null && echo WROTE; true";
    let mut from = ".git";
    for to in ["../tmp/real", "../home/real"] {
        outside(
            &project,
            &format!("mv {from} {to}; rm -f .git; ln -s {to} .git"),
        );
        assert_eq!(inside(&project, read), "x\n", "{to}");
        from = to;
    }
    // the home folder inside stands there
    outside(
        &project,
        &format!("mv {from} ../home/builder; rm .git; ln -s ../home/builder .git"),
    );
    let ran = project.belljar(["run", "--", "true"]);
    assert!(ran.exits(125).stderr.contains("/home/builder"), "{ran}");
}

/// Paths beyond what the kernel takes, the longest names, links that go round.
#[test]
fn case_41_deep_long_and_circular_names_are_recorded_and_exported() {
    let project = Project::empty();
    project.write(
        "deep.py",
        "import os\nfor i in range(40): os.symlink('l%d' % (i + 1), 'l%d' % i)\nos.symlink('round', 'round')\n\
         os.symlink('b', 'a'); os.symlink('a', 'b')\nopen('n' * 255, 'w').close()\n\
         for i in range(30):\n    os.mkdir('d' * 200); os.chdir('d' * 200)\nopen('leaf', 'w').write('x')\n",
    );
    let ran = project.belljar(["run", "--", "python3", "deep.py"]);
    ran.exits(0);
    let exported =
        "find . -name leaf | wc -l; find . -maxdepth 1 -type l | wc -l; ls | grep -c '^n*$'";
    assert_eq!(outside(&project, exported), "1\n43\n1\n");
    outside(&project, "rm -r dd* n* l* a b round");
    project.belljar(["verify", "--", "python3", "deep.py"]);
    let manifest = project.evidence().document("determinism/manifest-a.json");
    let entries = manifest["entries"].as_array().expect("entries");
    let longest = entries
        .iter()
        .filter_map(|e| e["path"].as_str())
        .map(str::len)
        .max();
    assert_eq!(longest, Some(30 * 201 + 4));
    // 41 and two links, the long name, the leaf, the folders
    assert_eq!(entries.len(), 43 + 2 + 30, "{manifest:#}");
}

/// A socket in a folder that is shown leads to whoever listens outside.
#[test]
fn case_104_a_folder_with_a_socket_is_not_shown() {
    let project = Project::empty();
    outside(
        &project,
        "mkdir -p ../tmp/state/deep ../tmp/links; echo f >../tmp/state/f; ln -s ../state/deep/agent.sock ../tmp/links/sock",
    );
    let state = project.beside("state");
    let ro = state.to_str().expect("a path");
    let reach = format!(
        "import socket; s = socket.socket(1)\ntry: s.connect('{ro}/deep/agent.sock'); print('CONNECTED')\nexcept OSError: print('refused')"
    );
    let ran = project.belljar([
        "run",
        "-q",
        "--no-export",
        "--ro",
        ro,
        "--",
        "cat",
        &format!("{ro}/f"),
    ]);
    assert_eq!(ran.exits(0).stdout, "f\n");
    let _listener = UnixListener::bind(state.join("deep/agent.sock")).expect("a socket");

    std::fs::set_permissions(
        state.join("deep/agent.sock"),
        PermissionsExt::from_mode(0o777),
    )
    .expect("a mode");
    let free = Ran::of(project.command("python3").args(["-c", &reach]));
    assert_eq!(free.exits(0).stdout, "CONNECTED\n", "{free}");
    let ran = project.belljar(["run", "--ro", ro, "--", "python3", "-c", &reach]);
    assert!(ran.exits(2).stderr.contains("agent.sock"), "{ran}");
    // by a link: its place inside is empty
    let links = project.beside("links");
    let through = reach.replace(
        &format!("{ro}/deep/agent.sock"),
        &format!("{}/sock", links.display()),
    );
    let ran = project.belljar([
        "run",
        "-q",
        "--no-export",
        "--ro",
        links.to_str().expect("a path"),
        "--",
        "python3",
        "-c",
        &through,
    ]);
    assert_eq!(ran.exits(0).stdout, "refused\n", "{ran}");
}

/// A folder that moves out of what is shown, while the build stands in it, stays read-only.
#[test]
fn case_108_renames_between_folders_and_out_of_a_shown_one() {
    let project = Project::empty();
    let moves = "mkdir -p a/b c && cd a/b && mv ../../a/b ../../c/b && echo x >new && cd /build && cat c/b/new && \
        mv c /tmp/c && cat /tmp/c/b/new && ln /tmp/c/b/new /tmp/other && ln /tmp/other out 2>/dev/null || echo apart";
    assert_eq!(inside(&project, moves), "x\nx\napart\n");
    outside(
        &project,
        "mkdir -p ../tmp/shown/sub ../tmp/aside; chmod -R 777 ../tmp/shown",
    );
    let shown = project.beside("shown");
    let shown = shown.to_str().expect("a path");
    let wait = format!(
        "cd {shown}/sub && echo in && read go; (: >x) 2>/dev/null && echo WROTE; (: >../y) 2>/dev/null && echo WROTE; echo end"
    );
    let mut belljar = project
        .belljar_command([
            "run",
            "-q",
            "--no-export",
            "--ro",
            shown,
            "--",
            "sh",
            "-c",
            &wait,
        ])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("belljar starts");
    let mut line = [0; 3];
    let out = belljar.stdout.as_mut().expect("stdout");
    std::io::Read::read_exact(out, &mut line).expect("a line");
    outside(&project, "mv ../tmp/shown/sub ../tmp/aside/sub");
    std::io::Write::write_all(belljar.stdin.as_mut().expect("stdin"), b"go\n").expect("a line");
    let ran = Ran::from(belljar.wait_with_output().expect("belljar ends"));
    assert_eq!(ran.exits(0).stdout, "end\n", "{ran}");
    assert_eq!(
        outside(&project, "find ../tmp/aside ../tmp/shown -type f"),
        ""
    );
}

/// Outputs that are not what they seem: none is followed, waited for or read outside.
#[test]
fn case_115_links_pipes_and_sockets_as_outputs() {
    let project = Project::empty();
    outside(&project, "echo host >../tmp/host; mkdir d; echo old >d/f");
    let host = project.beside("host");
    let script = format!(
        "ln -s {} link; ln -s /etc/passwd passwd; mkfifo fifo; python3 -c \"import socket; socket.socket(1).bind('sock')\"; \
         ln /usr/bin/true hard 2>/dev/null && echo LINKED; rm -r d; ln -s {} d; echo x >out",
        host.display(),
        host.parent().expect("a parent").display()
    );
    // a folder of the host is not replaced by a link to another
    let ran = project.belljar(["run", "--output", "**", "--", "sh", "-c", &script]);
    assert!(
        ran.exits(6).stderr.contains("on the host d is a folder"),
        "{ran}"
    );
    let ran = project.belljar(["verify", "--output", "**", "--", "sh", "-c", &script]);
    assert!(!ran.exits(0).stdout.contains("LINKED"), "{ran}");
    let manifest = project.evidence().document("determinism/manifest-a.json");
    let text = manifest.to_string();
    for name in ["link", "passwd", "d"] {
        let entry = manifest["entries"]
            .as_array()
            .expect("entries")
            .iter()
            .find(|e| e["path"] == name);
        let entry = entry.unwrap_or_else(|| panic!("{name} in {text}"));
        assert!(
            entry["sha256"].is_null() && entry.to_string().contains("symlink"),
            "{entry}"
        );
    }
    assert_eq!(
        outside(&project, "cat ../tmp/host; ls ../tmp"),
        "host\nhost\n"
    );
}

#[test]
fn message_queues_are_the_runs_own() {
    let project = Project::empty();
    project.write("mq.c", "#include <fcntl.h>\n#include <mqueue.h>\n#include <stdio.h>\n#include <string.h>\n\
        int main(int n, char **v) {\n  char text[9000] = {0};\n  int flags = O_RDWR | (strcmp(v[1], \"make\") ? 0 : O_CREAT);\n\
        mqd_t q = mq_open(\"/belljar-test\", flags, 0600, NULL);\n  if (q == -1) { perror(\"mq_open\"); return 1; }\n\
        if (mq_send(q, \"hello\", 5, 0)) { perror(\"mq_send\"); return 1; }\n\
        if (mq_receive(q, text, sizeof text, NULL) != 5) { perror(\"mq_receive\"); return 1; }\n\
        puts(text);\n  return 0;\n}\n");
    outside(&project, "cc -o mq mq.c -lrt");
    assert_eq!(
        inside(&project, "./mq make && ./mq open; ls /dev"),
        "hello\nhello\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n"
    );
    // gone with the run, and never outside
    let none = Ran::of(project.command("./mq").arg("open"));
    assert!(none.exits(1).stderr.contains("No such file"), "{none}");
    let ran = project.belljar(["run", "--no-export", "--", "./mq", "open"]);
    assert!(ran.exits(1).stderr.contains("No such file"), "{ran}");
    outside(&project, "./mq make");
    let host_is_seen = project.belljar(["run", "--no-export", "--", "./mq", "open"]);
    let own = "python3 -c \"import ctypes; ctypes.CDLL(None).mq_unlink(b'/belljar-test')\"";
    outside(&project, own);
    assert!(
        host_is_seen.exits(1).stderr.contains("No such file"),
        "{host_is_seen}"
    );
}
